"""Slurm's nodes: `sinfo -N -o "%N|%G|%P|%T"` as text, `sinfo --json` and `scontrol show nodes --json`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from sublet.traces.files import UNREADABLE, Sample, opened, unreadable
from sublet.traces.findings import FIRST, Fault, Note
from sublet.traces.json_stream import elements, word
from sublet.traces.sieve import LINE
from sublet.traces.tres import gpus_of_gres

EXPECTED = 'output of sinfo -N -o "%N|%G|%P|%T", of sinfo --json or of scontrol show nodes --json'

HEADER = ("NODELIST", "GRES", "PARTITION", "STATE")
"""What sinfo calls the four columns, in the order of that command."""

_SCHEMA: dict[str, type[pl.DataType]] = {
    LINE: pl.Int64, "node": pl.String, "gpus": pl.Int64, "gpu_model": pl.String, "pool": pl.String, "down": pl.Boolean,
}  # fmt: skip
_DOWN = re.compile(r"down|drain|fail|not_responding|power(ed|ing)_down|unk|maint", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Nodes:
    """`frame` has a row for each node and partition: `node`, `gpus`, and `gpu_model`, `pool`, `down` if they are known."""

    frame: pl.DataFrame
    rows: int
    faults: tuple[Fault, ...] = ()
    notes: tuple[Note, ...] = ()


def is_sinfo_json(seen: Sample) -> bool:
    """A JSON object with nodes or groups of nodes."""
    return seen.shape == "json" and seen.head.lstrip().startswith("{") and ('"sinfo"' in seen.head or '"nodes"' in seen.head)


def is_sinfo_text(seen: Sample) -> bool:
    """Text with sinfo's own column names, or without them in the order of the command above."""
    if seen.shape != "text":
        return False
    first = _fields(seen.lines[0])
    if {"NODELIST", "GRES"} <= {name.upper() for name in first}:
        return True
    return len(first) == len(HEADER) and bool(re.match(r"\(null\)$|(gres[:/])?gpu:", first[1]))


def sinfo_text(seen: Sample) -> Nodes:
    """The nodes in the text of sinfo."""
    try:
        with opened(seen.path) as file:
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except UNREADABLE as error:
        raise unreadable(seen.path, "text", error, name="nodes") from error
    header: list[str] = []
    rows: list[tuple[Any, ...]] = []
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        fields = _fields(line)
        if not line.strip():
            continue
        if {"NODELIST", "GRES"} <= {name.upper() for name in fields}:
            header = [name.upper() for name in fields]
            continue
        named = dict(zip(header or HEADER, fields, strict=False))
        if len(fields) != len(header or HEADER):
            bad.append(number)
            continue
        rows.append(_row(number, named["NODELIST"], named["GRES"], named.get("PARTITION"), named.get("STATE", "")))
    width = len(header or HEADER)
    faults = (Fault(f"has not {width} fields", len(bad), tuple(bad[:FIRST])),) if bad else ()
    return Nodes(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), len(rows) + len(bad), faults)


def sinfo_json(seen: Sample) -> Nodes:
    """The nodes in the JSON of sinfo or scontrol, whichever list it has."""
    key = "sinfo" if re.search(r'"sinfo"\s*:\s*\[', seen.head) else "nodes"
    rows: list[tuple[Any, ...]] = []
    bad: list[int] = []
    for number, entry in enumerate(elements(seen.path, key, expected=EXPECTED), start=1):
        try:
            rows += list(_group(number, entry) if key == "sinfo" else _node(number, entry))
        except (KeyError, TypeError, ValueError, AttributeError):
            bad.append(number)
    faults = (Fault("is no node: name, gres or partition is missing", len(bad), tuple(bad[:FIRST])),) if bad else ()
    return Nodes(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), len(rows) + len(bad), faults)


def _group(number: int, entry: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Nodes that are alike and in one partition, as sinfo groups them."""
    names = entry["nodes"].get("nodes") or entry["nodes"]["hostnames"]
    for name in names:
        partition, state = word(entry["partition"]["name"]), _words(entry["node"]["state"])
        yield _row(number, _named(name), entry["gres"]["total"], partition, state)


def _node(number: int, entry: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """One node, once for each of its partitions."""
    state = _words(entry.get("state")) + " " + _words(entry.get("state_flags"))
    for partition in entry.get("partitions") or [None]:
        yield _row(number, _named(entry["name"]), entry["gres"], word(partition), state)


def _row(number: int, node: str, gres: str, partition: str | None, state: str) -> tuple[Any, ...]:
    gpus, model = gpus_of_gres(gres, 1)
    return number, node, gpus or 0, model, partition.rstrip("*") if partition else None, bool(_DOWN.search(state))


def _named(node: Any) -> str:
    name = word(node)
    if name is None:
        raise ValueError(node)
    return name


def _words(state: Any) -> str:
    return " ".join(state) if isinstance(state, list) else str(state or "")


def _fields(line: str) -> list[str]:
    """The fields of a line, between bars if it has any, else between blanks."""
    return [part.strip() for part in line.split("|")] if "|" in line else line.split()
