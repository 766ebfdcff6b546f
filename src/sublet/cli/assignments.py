"""NAME=VALUE as it is given on the command line; a field of a block by its dotted name."""

from collections.abc import Iterable
from typing import Any

import typer
import yaml


def assigned(items: Iterable[str]) -> dict[str, Any]:
    """What SETTING=VALUE items say: values read as YAML, blocks as mappings; raises `BadParameter` for what is no such item."""
    change: dict[str, Any] = {}
    for item in items:
        put(change, *pair(item, "SETTING=VALUE", form="SETTING=VALUE"), typed=True)
    return change


def pair(text: str, option: str, *, form: str = "NAME=VALUE") -> tuple[str, str]:
    """The two sides; raises `BadParameter`, in which `option` is at fault, where there are not two."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"{text!r}: write {form}", param_hint=option)
    return name, value


def put(target: dict[str, Any], path: str, value: str, *, typed: bool = False) -> None:
    """Set the field at a dotted path, making the blocks above it; `typed`: the value is YAML, else text."""
    *blocks, last = path.split(".")
    for block in blocks:
        inner = target.get(block)
        if not isinstance(inner, dict):
            inner = target[block] = {}
        target = inner
    target[last] = yaml.safe_load(value) if typed else value
