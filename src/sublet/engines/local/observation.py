"""What a run's files prove about it."""

import os
from pathlib import Path

from sublet.core.ids import RunId
from sublet.engines.local import records
from sublet.engines.local.records import Record
from sublet.engines.local.rundir import RunDir, keeper_lives, try_lock
from sublet.engines.local.volumes import last_checkpoint
from sublet.engines.protocol import Phase, Seen


class Observer:
    """Reads runs. What can change no more is read once."""

    def __init__(self) -> None:
        self._fixed: dict[Path, Record] = {}
        self._final: dict[RunId, Seen] = {}

    def forget(self, name: RunId, run: RunDir) -> None:
        """Drop what is remembered of a run whose files are gone."""
        self._final.pop(name, None)
        for path in (run.spec, run.claim, run.started, run.exited):
            self._fixed.pop(path, None)

    def see(self, name: RunId, run: RunDir, *, now_us: int) -> Seen:
        """The run as it is now."""
        final = self._final.get(name)
        if final is not None:
            return final
        ended = self.ended(run, now_us=now_us)
        if ended is None:
            return self._living(name, run, now_us)
        cleaned = records.read(run.cleaned)
        evidence = _evidence(ended) | (cleaned["evidence"] if cleaned else {})
        seen = Seen(
            run=name,
            phase=Phase(cleaned["phase"]) if cleaned else Phase.EXITED,
            started_us=ended["started_us"],
            exited_us=ended["exited_us"],
            exit_code=ended["code"],
            checkpoint_us=ended["checkpoint_us"],
            evidence=evidence,
        )
        if seen.phase is Phase.CLEAN:
            self._final[name] = seen
        return seen

    def ended(self, run: RunDir, *, now_us: int) -> Record | None:
        """The record of the run's end, or None while it lives or may yet be started.

        A keeper that died without a word is found here: its lock is free although it had claimed the run. The end is then
        put down as the keeper's last sign of life, the latest instant that can be proved.
        """
        exit_record = self._once(run.exited)
        if exit_record is not None or self._once(run.claim) is None or keeper_lives(run):
            return exit_record
        lock = try_lock(run, shared=False)
        if lock is None:
            return None
        try:
            exit_record = self._once(run.exited)  # written between the two looks
            if exit_record is None:
                run.publish(run.exited, self._lost(run, now_us))
                exit_record = self._once(run.exited)
        finally:
            os.close(lock)
        return exit_record

    def _lost(self, run: RunDir, now_us: int) -> Record:
        claim, started, spec = self._once(run.claim), self._once(run.started), self._once(run.spec)
        assert claim is not None and spec is not None
        started_us = started["started_us"] if started else None
        alive_us = min(run.lock.stat().st_mtime_ns // 1_000, now_us)
        volume = Path(spec["volume"]) if spec["volume"] else None
        return {
            "started_us": started_us,
            "exited_us": max(alive_us, started_us or claim["at_us"]),
            "code": None,
            "checkpoint_us": last_checkpoint(volume, claimed_us=claim["at_us"], started_us=started_us, now_us=now_us),
            "ended_by": "",
            "error": f"its keeper (process {claim['keeper']}) died; the end is its last sign of life{_last_words(run)}",
            "outlived": 0,
            "out_of_memory": False,
        }

    def _living(self, name: RunId, run: RunDir, now_us: int) -> Seen:
        started = self._once(run.started)
        if started is None:
            return Seen(name, Phase.STARTING)
        claim, spec = self._once(run.claim), self._once(run.spec)
        assert claim is not None and spec is not None
        started_us = started["started_us"]
        volume = Path(spec["volume"]) if spec["volume"] else None
        marked_us = last_checkpoint(volume, claimed_us=claim["at_us"], started_us=started_us, now_us=now_us)
        return Seen(name, Phase.RUNNING, started_us=started_us, checkpoint_us=marked_us)

    def _once(self, path: Path) -> Record | None:
        record = self._fixed.get(path)
        if record is None:
            record = records.read(path)
            if record is not None:
                self._fixed[path] = record
        return record


def _last_words(run: RunDir) -> str:
    """What the keeper itself complained of, if it did."""
    lines = run.complaints.read_text(errors="replace").split("\n") if run.complaints.exists() else []
    said = [line for line in lines if line.strip()]
    return f" ({said[-1]})" if said else ""


def never_started(now_us: int, why: str) -> Record:
    """The end of a run that was stopped before it began."""
    return {
        "started_us": None,
        "exited_us": now_us,
        "code": None,
        "checkpoint_us": None,
        "ended_by": "",
        "error": why,
        "outlived": 0,
        "out_of_memory": False,
    }


def _evidence(ended: Record) -> dict[str, str]:
    found = {
        "ended_by": ended["ended_by"],
        "error": ended["error"],
        "outlived": f"{ended['outlived']} processes outlived the main one" if ended["outlived"] else "",
        "memory": "the kernel ended a process at the memory limit" if ended["out_of_memory"] else "",
        **ended.get("limits", {}),
    }
    return {key: text for key, text in found.items() if text}
