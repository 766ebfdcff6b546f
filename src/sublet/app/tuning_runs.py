"""The loop behind fine-tuning jobs: it asks for their leases, hears what they tell, and makes models of what they found.

A job's lease is like any other: it waits for a round, may be reclaimed, saves itself and goes on. What it prints is all that
is read of it, so it runs wherever leases run. Every pass may be repeated: jobs and what was heard are in the database.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sublet.app import leases as leasing
from sublet.app import residency
from sublet.app.forecasting import Forecaster
from sublet.app.own_programs import own_program
from sublet.app.residency import Atlas, Denied
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import NotFound, OverBudget, ResidencyDenied, Stale, SubletError, Unavailable
from sublet.core.ids import LeaseId, lease_run
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.model import Model
from sublet.core.residency import Purpose
from sublet.core.tuning import END, Step, Tuning, TuningState, label_of, made_name
from sublet.core.units import MINUTE_US, SECOND_US
from sublet.core.workload import Workload
from sublet.engines.protocol import Engine
from sublet.store import events, leases, models, pools, token_terms
from sublet.store import tunings as store
from sublet.store.database import Database, Tx
from sublet.store.events import Entry
from sublet.weights import gguf
from sublet.weights.llama import opened
from sublet.weights.tune import ASKED, TOLD, Asked, unpacked

HEAR_US = SECOND_US
"""What runs have printed is read so often."""
_LINE_MAX = 64 << 20
_KEPT_US = 10 * MINUTE_US
_NOT_KEPT = frozenset({"event", "at", "adapter", "asked", "hint"})
_FRESH: Mapping[str, Any] = {"asked_us": 0, "busy_us": 0, "idle_us": 0, "failures": 0, "retry_us": 0, "detail": ""}


class TuningRuns:
    """`folder` is where the weights of new models go, `data` where copies of training files lie."""

    def __init__(
        self, database: Database, engine: Engine, forecaster: Forecaster, *, folder: Path, data: Path, wake: Callable[[], None]
    ) -> None:
        self._database, self._engine, self._forecaster = database, engine, forecaster
        self._folder, self._data, self._wake = folder, data, wake
        self._hear_us = 0

    def tick(self, now_us: int) -> bool:
        """One pass; whether any job is alive."""
        with self._database.read() as tx:
            living = store.living(tx)
            of_jobs = [one.lease for one in living if one.lease is not None]
            held = {lease.id: lease for lease in leases.some(tx, of_jobs)} if of_jobs else {}
        for tuning in living:
            if tuning.lease is None:
                self._begin(tuning, now_us)
        hear = now_us >= self._hear_us
        for tuning in living:
            lease = held.get(tuning.lease) if tuning.lease is not None else None
            if lease is not None and (hear or lease.state is State.ENDED):
                self._hear(tuning, lease, now_us)
            if lease is not None and lease.state is State.ENDED:
                self._close(tuning, lease, now_us)
        if hear:
            self._hear_us = now_us + HEAR_US
            self._let_go(now_us)
            self._sweep(living, now_us)
        return bool(living)

    def _begin(self, tuning: Tuning, now_us: int) -> None:
        """Ask for a job's lease; what stands in its way ends the job, and says so."""
        try:
            with self._database.write() as tx:
                lease = self._asked_for(tx, tuning, now_us)
                opened_ = replace(tuning, state=TuningState.OPEN, lease=lease.id)
                if not store.move(tx, opened_, out_of=[TuningState.NEW]):
                    leasing.release(tx, lease.id, tenant=None, now_us=now_us)
                    return
                site = next(row.pool.site for row in pools.everything(tx) if row.pool.id == lease.pool)
                label = token_terms.get(tx, tuning.tenant).label
                purpose = Purpose.FINE_TUNE
                residency.ask(
                    tx, label, tenant=tuning.tenant, site=site, purpose=purpose, subject=str(tuning.id), now_us=now_us
                )
        except (Unavailable, Stale):
            return  # the next pass tries again
        except SubletError as error:
            if isinstance(error, Denied):
                residency.record_denial(self._database, error, now_us=now_us)
            self._fail(tuning, error, now_us)
            return
        self._wake()

    def _asked_for(self, tx: Tx, tuning: Tuning, now_us: int) -> Lease:
        base = models.get(tx, tuning.model)
        known = Asked(base=base.path, data=tuning.data, validation=tuning.validation, **tuning.asked)  # type: ignore[arg-type]  # names and kinds were checked
        work = Workload(
            run=own_program("sublet.weights.tune", programs=self._engine.capabilities.programs),
            env={ASKED: json.dumps(asdict(known)), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            checkpoints=True,
            reads=tuple(one for one in (base.path, tuning.data, tuning.validation) if one),
        )
        stated = token_terms.get(tx, tuning.tenant).label
        atlas = Atlas.read(tx, [tuning.tenant])
        fit = tuple(
            site
            for site in base.sites
            if atlas.judge(stated, tuning.tenant, site, Purpose.FINE_TUNE, Purpose.PLACEMENT).allowed
        )
        if base.sites and not stated.silent and not fit:
            hint = f"its weights are kept at {', '.join(base.sites)}"
            raise ResidencyDenied(f"your data may not be where {base.name} is tuned", field="training_file", hint=hint)
        label = label_of(stated, base.sites, fit)
        wanted = LeaseRequest(
            work, name=f"tune {base.name}", lease_class=LeaseClass.SPOT, bid_micro=tuning.bid_micro, label=label
        )
        return leasing.request(tx, self._forecaster, wanted, tenant=tuning.tenant, now_us=now_us)

    def _fail(self, tuning: Tuning, error: SubletError, now_us: int) -> None:
        said = f"{error.message}: {error.hint}" if error.hint else error.message
        code = "invalid_request"
        if isinstance(error, ResidencyDenied):
            code = ResidencyDenied.code
        elif isinstance(error, OverBudget):
            code = "insufficient_quota"
        self._end(replace(tuning, state=TuningState.FAILED, error=said, error_code=code, finished_us=now_us), None, None)

    def _hear(self, tuning: Tuning, lease: Lease, now_us: int) -> None:
        """Put into the books what a job has printed since it was last heard."""
        with self._database.read() as tx:
            attempt, number = store.heard(tx, tuning.id)
        news: list[Step] = []
        for one in range(max(1, attempt), lease.attempt + 1):
            skip = number if one == attempt else 0
            lines = list(_lines(self._engine, lease.id, one))
            news += [_step(one, nth, line, now_us) for nth, line in enumerate(lines[skip:], skip)]
        if news:
            with self._database.write() as tx:
                store.tell(tx, tuning.id, news)

    def _close(self, tuning: Tuning, lease: Lease, now_us: int) -> None:
        """A job whose lease is over: what it found becomes a model."""
        kept = deque(told(self._engine, lease), maxlen=1)
        said_last: dict[str, Any] = kept[0] if kept else {}
        with self._database.read() as tx:
            base = next((one for one in models.everything(tx) if one.name == tuning.model), None)
        made: Model | None = None
        if lease.cause is Cause.COMPLETED and said_last.get("event") == "done" and base is not None:
            made = _merged(base, tuning, said_last["adapter"], self._folder, now_us=now_us)
            trained = int(said_last["trained_tokens"])
            after = replace(tuning, state=TuningState.SUCCEEDED, result=made.name, trained_tokens=trained)
        elif lease.cause is Cause.RELEASED:
            after = replace(tuning, state=TuningState.CANCELLED)
        else:
            hint = f": {said_last['hint']}" if said_last.get("hint") else ""
            said = f"{said_last['message']}{hint}" if said_last.get("message") else f"its run ended: {lease.reason}"
            code = f"invalid_{said_last.get('field', 'training_file')}" if said_last.get("event") == "failed" else ""
            after = replace(tuning, state=TuningState.FAILED, error=said, error_code=code)
        self._end(replace(after, finished_us=now_us), lease, made)

    def _end(self, after: Tuning, lease: Lease | None, made: Model | None) -> None:
        """Write the end of a job, once, with its model and how that is served: as its base is, once somebody asks."""
        assert after.finished_us is not None
        now_us, state = after.finished_us, str(after.state)
        with self._database.write() as tx:
            if not store.close(tx, after):
                return
            if made is not None and all(one.name != made.name for one in models.everything(tx)):
                models.insert_one(tx, made)
                for serving in models.servings_all(tx, model=after.model):
                    most = max(1, serving.replicas_max)
                    models.put_serving(tx, replace(serving, model=made.name, replicas_min=0, replicas_max=most, **_FRESH))
            data: dict[str, Any] = {"tuning": after.id, "model": after.model, "result": after.result, "state": state}
            last = Step(END, 0, now_us, state, {"message": after.error} if after.error else {})
            store.tell(tx, after.id, [last])
            said = f"fine-tuning job {after.id} {state}"
            held, pool = (lease.id, lease.pool) if lease else (None, None)
            events.append(tx, [Entry(now_us, f"tuning.{state}", said, after.tenant, held, pool, data)])
        for copy in (after.data, after.validation):
            if copy:
                Path(copy).unlink(missing_ok=True)

    def _let_go(self, now_us: int) -> None:
        """Give back the leases of jobs that were cancelled."""
        with self._database.read() as tx:
            held = store.leases_of_cancelled(tx)
        for lease in held:
            with self._database.write() as tx:
                leasing.release(tx, lease, tenant=None, now_us=now_us)
        if held:
            self._wake()

    def _sweep(self, living: Sequence[Tuning], now_us: int) -> None:
        """Remove copies of files that no job needs; a young one may belong to a job that is just being asked for."""
        needed = {file for one in living for file in (one.data, one.validation)}
        for file in self._data.glob("*.jsonl"):
            with suppress(OSError):
                if str(file) not in needed and file.stat().st_mtime_ns // 1_000 < now_us - _KEPT_US:
                    file.unlink()


def told(engine: Engine, lease: Lease) -> Iterator[dict[str, Any]]:
    """What the attempts of a job have said so far, the oldest first."""
    for attempt in range(1, lease.attempt + 1):
        yield from _lines(engine, lease.id, attempt)


def _lines(engine: Engine, lease: LeaseId, attempt: int) -> Iterator[dict[str, Any]]:
    rest = b""
    with suppress(NotFound):  # an attempt that was not carried out yet, or was forgotten
        for part in engine.logs(lease_run(lease, attempt)):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                if line.startswith(TOLD.encode()):
                    with suppress(ValueError):
                        yield json.loads(line.removeprefix(TOLD.encode()))
            if len(rest) > _LINE_MAX:
                return


def _step(attempt: int, nth: int, line: dict[str, Any], now_us: int) -> Step:
    at_us = min(now_us, int(line.get("at", 0) * SECOND_US) or now_us)
    kept = {name: value for name, value in line.items() if name not in _NOT_KEPT}
    return Step(attempt, nth, at_us, str(line.get("event", ""))[:16], kept)


def _merged(base: Model, tuning: Tuning, adapter: str, folder: Path, *, now_us: int) -> Model:
    """The base with the adapter in it, as a model of its own with the base's terms."""
    name = made_name(tuning)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.gguf"
    whole = opened(gguf.read(Path(base.path)))
    whole.saved(path, unpacked(adapter).merged(whole.weights), general__name=name)
    found = replace(base, name=name, source=str(path), path=str(path), checksum="", aliases=(), detail="")
    return replace(found, tenant=tuning.tenant, created_us=now_us)
