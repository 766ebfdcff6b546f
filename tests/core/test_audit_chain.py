"""The audit log's chain: every change of every byte of an export is found, and so is what is missing."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublet.core.audit_log import GENESIS, AuditEntry, Tampered, entries_of, entry_after, hash_of, line_of, verified

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def chain(contents: Sequence[object]) -> list[AuditEntry]:
    made: list[AuditEntry] = []
    for nth, document in enumerate(contents):
        made.append(entry_after(made[-1] if made else None, at_us=1_000 + nth, kind="residency.verdicts", document=document))
    return made


CHAIN = chain(
    [{"site": "Tromsø", "country": "NO"}, {"bound": [{"subjects": ["lease-1"], "allowed": True}]}, {"n": [1, 2.5, None]}]
)
EXPORT = b"".join(line_of(entry) for entry in CHAIN)


def proven(export: bytes, head: str | None = None) -> str:
    return verified(entries_of(BytesIO(export)), head=head).head


@given(st.lists(documents, max_size=5))
def test_what_was_written_is_whole(contents: list[object]) -> None:
    made = chain(contents)
    export = b"".join(line_of(entry) for entry in made)
    assert export.isascii() and [json.loads(entry.document) for entry in made] == contents
    assert list(entries_of(BytesIO(export))) == made
    head = made[-1].hash if made else GENESIS
    assert proven(export, head) == head
    assert all(after.previous == before.hash for before, after in pairwise(made))


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_of_every_byte_of_an_export_is_found(bit: int) -> None:
    for place in range(len(EXPORT)):
        changed = bytearray(EXPORT)
        changed[place] ^= 1 << bit
        with pytest.raises(Tampered):
            proven(bytes(changed), CHAIN[-1].hash)
        with pytest.raises(Tampered):
            proven(bytes(changed))


@given(st.integers(0, len(EXPORT) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_bytes_that_are_added_or_cut_out_are_found(place: int, more: bytes, cut: int) -> None:
    changed = EXPORT[:place] + more + EXPORT[place + cut :]
    if changed != EXPORT:
        with pytest.raises(Tampered):
            proven(changed, CHAIN[-1].hash)


@pytest.mark.parametrize("lines", [(1, 2), (0, 2), (0, 1), (1, 0, 2), (0, 0, 1, 2), ()])
def test_entries_that_are_missing_or_moved_are_found_by_the_head(lines: tuple[int, ...]) -> None:
    kept = [CHAIN[nth] for nth in lines]
    with pytest.raises(Tampered):
        verified(kept, head=CHAIN[-1].hash)
    if lines not in {(0, 1), ()}:
        with pytest.raises(Tampered, match="entry"):
            verified(kept)


@pytest.mark.parametrize("name", [field.name for field in fields(AuditEntry)])
@pytest.mark.parametrize("nth", range(len(CHAIN)))
def test_a_changed_field_of_any_entry_is_found(name: str, nth: int) -> None:
    found = getattr(CHAIN[nth], name)
    changed = [*CHAIN]
    changed[nth] = replace(CHAIN[nth], **{name: found + 1 if isinstance(found, int) else found + " "})
    with pytest.raises(Tampered, match=f"entry {nth + 1}"):
        verified(changed)


def test_who_hashes_anew_is_found_at_the_next_entry_or_by_the_head() -> None:
    forged = replace(CHAIN[1], document='{"bound":[]}')
    forged = replace(forged, hash=hash_of(forged.previous, forged.seq, forged.at_us, forged.kind, forged.document))
    with pytest.raises(Tampered, match="entry 3"):
        verified([CHAIN[0], forged, CHAIN[2]])
    with pytest.raises(Tampered, match="was expected"):
        verified([CHAIN[0], forged], head=CHAIN[1].hash)


def test_the_parts_of_an_entry_cannot_lend_each_other_bytes() -> None:
    assert hash_of(GENESIS, 1, 23, "a", "b") != hash_of(GENESIS, 12, 3, "a", "b")
    assert hash_of(GENESIS, 1, 2, 'a","b', "c") != hash_of(GENESIS, 1, 2, "a", 'b","c')
