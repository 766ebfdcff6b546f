"""The audit log: entries of which each carries the hash of the one before, so that no byte of it changes unseen.

An entry's hash is SHA-256 over the JSON array of the hash before it, its number, instant, kind and document, without spaces and
in ASCII. Numbers count from 1 without a gap; the first entry follows on 64 zeros. The last hash, the *head*, stands for all
that came before: who keeps it elsewhere can prove that nothing was cut off either.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from sublet.core.errors import Conflict

GENESIS = "0" * 64
"""What the first entry follows on."""


class Tampered(Conflict):
    """The audit log is not what was written."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry. `document` is JSON text, kept as it was hashed; `at_us` µs since the epoch."""

    seq: int
    at_us: int
    kind: str
    document: str
    previous: str
    hash: str


def entry_after(previous: AuditEntry | None, *, at_us: int, kind: str, document: object) -> AuditEntry:
    """The next entry after one, or the first."""
    seq, before = (1, GENESIS) if previous is None else (previous.seq + 1, previous.hash)
    text = _plain(document)
    return AuditEntry(seq, at_us, kind, text, before, hash_of(before, seq, at_us, kind, text))


def hash_of(previous: str, seq: int, at_us: int, kind: str, document: str) -> str:
    """The hash of an entry with these parts, as 64 hexadecimal digits."""
    return hashlib.sha256(_plain([previous, seq, at_us, kind, document]).encode("ascii")).hexdigest()


def line_of(entry: AuditEntry) -> bytes:
    """The entry as a line of an export."""
    return _plain(asdict(entry)).encode("ascii") + b"\n"


def entries_of(lines: Iterable[bytes]) -> Iterator[AuditEntry]:
    """The entries of an export; raises `Tampered` at the first line that is not exactly as it was written."""
    for number, line in enumerate(lines, 1):
        try:
            entry = AuditEntry(**json.loads(line))
            same = line_of(entry) == line
        except (ValueError, TypeError, RecursionError):
            same = False
        if not same:
            raise Tampered(
                f"line {number} is not as it was exported", field=f"line {number}", hint="compare it with another copy"
            )
        yield entry


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that holds together: how many entries it has, and its head."""

    entries: int
    head: str


def verified(entries: Iterable[AuditEntry], *, head: str | None = None) -> Verified:
    """Follow the chain from its first entry; raises `Tampered` with the first entry at fault.

    `head`: the hash that the last entry must have; without it a log that lost its last entries looks whole.
    """
    last, count = GENESIS, 0
    for entry in entries:
        count += 1
        wrong = _wrong(entry, count, last)
        if wrong:
            raise Tampered(f"entry {count}: {wrong}", field=f"entry {count}", hint="compare it with an earlier export")
        last = entry.hash
    if head is not None and head != last:
        raise Tampered(
            f"the log ends with {last} after {count} entries, and {head} was expected",
            field="head",
            hint="entries are missing at its end, or were added since that head was noted",
        )
    return Verified(count, last)


def _wrong(entry: AuditEntry, number: int, previous: str) -> str | None:
    if entry.seq != number:
        return f"it has number {entry.seq}"
    if entry.previous != previous:
        return "it does not follow on the entry before it"
    if entry.hash != hash_of(entry.previous, entry.seq, entry.at_us, entry.kind, entry.document):
        return "its hash is not that of its contents"
    return None


def _plain(value: object) -> str:
    """JSON in the one form that is hashed."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
