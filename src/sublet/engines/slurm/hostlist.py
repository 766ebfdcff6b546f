"""Slurm's way of naming many nodes at once: `gpu[01-03,7],login-a`."""

import re
from collections.abc import Iterator

_BRACKETS = re.compile(r"\[([^\]]*)\]")


def expand(text: str) -> list[str]:
    """Every name, in order. `a[1-2]b[3,5]` has four; numbers keep their leading zeros."""
    return [name for part in _parts(text) for name in _expand_one(part)]


def _parts(text: str) -> Iterator[str]:
    """The pieces between commas that are not inside brackets."""
    if "[" not in text:
        yield from filter(None, text.split(","))
        return
    depth, begin = 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == "," and not depth:
            yield text[begin:at]
            begin = at + 1
    if text[begin:]:
        yield text[begin:]


def _expand_one(part: str) -> list[str]:
    found = _BRACKETS.search(part)
    if found is None:
        return [part]
    head, tail = part[: found.start()], _expand_one(part[found.end() :])
    return [f"{head}{number}{rest}" for number in _numbers(found[1]) for rest in tail]


def _numbers(text: str) -> Iterator[str]:
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        if not last:
            yield first
            continue
        width = len(first)
        for number in range(int(first), int(last) + 1):
            yield f"{number:0{width}d}"
