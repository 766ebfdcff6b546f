"""The journal: what was confirmed is read again, whichever way it was written; files go when nothing in them is needed."""

import asyncio
from pathlib import Path

import orjson
import pytest

from event_loop import run
from sublet.app import token_journal
from sublet.core.ids import ModelName, TenantId
from sublet.core.model_request import Counted, ModelRequest, Outcome
from sublet.gateway import journal as journals
from sublet.gateway.journal import Journal

REQUEST = ModelRequest(
    id="chatcmpl-1",
    tenant=TenantId("acme"),
    key="key-1",
    kind="chat",
    model=ModelName("llama"),
    tier="flex",
    at_us=5,
    took_us=4,
    first_us=3,
    input_tokens=2,
    cached_tokens=0,
    output_tokens=1,
    amount_micro=7,
    outcome=next(iter(Outcome)),
    counted=next(iter(Counted)),
    replica="a",
    moves=0,
    purse="purse-1",
)


@pytest.mark.parametrize("alone", [True, False])
def test_files_are_turned_and_go_when_all_is_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, alone: bool
) -> None:
    monkeypatch.setattr(journals, "_FILE_BYTES", 1_000)
    written = [f'{{"nth": {nth}, "rest": "{"x" * 200}"}}'.encode() for nth in range(12)]

    async def story() -> list[int]:
        journal = Journal(tmp_path, alone=lambda: alone)
        journal.begin()
        numbers = [await journal.write(one) for one in written[:6]]
        numbers += await asyncio.gather(*(journal.write(one) for one in written[6:]))
        assert list(token_journal.records(tmp_path)) == written and max(numbers) > 1
        for number in sorted(set(numbers)):
            journal.drop(number, numbers.count(number))
        assert [int(file.stem) for file in token_journal.files(tmp_path)] == [max(numbers)], "the last one is still written"
        journal.close()
        assert token_journal.files(tmp_path) == []
        return numbers

    run(story())


def test_a_disk_that_is_full_spoils_one_file_and_what_was_confirmed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        journal = Journal(tmp_path, alone=lambda: True)
        journal.begin()
        await journal.write(b'{"nth": 1}')

        def full(_fd: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fdatasync", full)
            with pytest.raises(OSError, match="No space"):
                await journal.write(b'{"nth": 2}')
        await journal.write(b'{"nth": 3}')
        found = list(token_journal.records(tmp_path))
        assert found[0] == b'{"nth": 1}' and found[-1] == b'{"nth": 3}'
        assert len(token_journal.files(tmp_path)) == 2

    run(story())


def test_what_cannot_be_read_is_set_aside_once_and_holds_nothing_up(tmp_path: Path) -> None:
    damaged = [b'{"id": "half', b'{"id": "no more than this"}', b"[1, 2]", b"\xff\xfe"]
    good = orjson.dumps(REQUEST)
    (tmp_path / "1.journal").write_bytes(b"\n".join([damaged[0], good, *damaged[1:], good]) + b"\n" + bytes(50))
    for _ in range(2):
        assert token_journal.left_in(tmp_path) == [REQUEST, REQUEST]
    assert (tmp_path / token_journal.DAMAGED).read_bytes() == b"\n".join(damaged) + b"\n"
    (tmp_path / "2.journal").write_bytes(b"more\n")
    token_journal.left_in(tmp_path)
    assert (tmp_path / token_journal.DAMAGED).read_bytes().splitlines() == [*damaged, b"more"]
