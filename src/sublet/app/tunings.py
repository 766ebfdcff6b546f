"""Fine-tuning jobs: a batch lease each, and what comes out of it is a model that can be served.

The job's lease is like any other: it waits for a round, may be reclaimed, saves itself and goes on. What it prints is all that
is read of it, so it runs wherever leases run. `collect` is part of the loop that keeps models.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sublet.app import leases as leasing
from sublet.app import names
from sublet.app.forecasting import Forecaster
from sublet.app.tasks import LeaseRequest
from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import LeaseId, ModelName, TenantId, TuningId, lease_run
from sublet.core.lease import Cause, Lease, LeaseClass, State
from sublet.core.model import Model
from sublet.core.residency import Label
from sublet.core.tuning import Tuning, TuningState
from sublet.core.workload import Workload
from sublet.engines.protocol import Engine
from sublet.store import events, leases, models
from sublet.store import tunings as store
from sublet.store.database import Database, Tx
from sublet.store.events import Entry
from sublet.weights import gguf
from sublet.weights.llama import opened
from sublet.weights.tune import ASKED, TOLD, Asked, examples, unpacked

_LINE_MAX = 64 << 20
BOUNDS: Mapping[str, tuple[float, float]] = {
    "epochs": (1, 50),
    "batch": (1, 256),
    "rate": (1e-6, 0.1),
    "rank": (1, 64),
    "alpha": (0.1, 256),
    "seed": (0, 2**31),
}
"""What may be asked for, least and most."""


def create(
    tx: Tx,
    forecaster: Forecaster,
    *,
    tenant: TenantId,
    model: str,
    training_file: str,
    data: Path,
    asked: Mapping[str, int | float],
    bid_micro: int | None = None,
    now_us: int,
) -> Tuning:
    """Ask for a job; raises what is wrong with the model, the file or the terms before any lease is asked for."""
    base = next((one for one in models.everything(tx) if one.answers_to(model) and one.tenant in {None, tenant}), None)
    if base is None:
        raise NotFound(f"there is no model {model}", field="model", hint="the models page lists them")
    _check(base, data, asked)
    known = Asked(base=base.path, data=str(data), **asked)  # type: ignore[arg-type]  # names and kinds were checked
    work = Workload(
        run="exec python -P -m sublet.weights.tune",
        env={ASKED: json.dumps(asdict(known)), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        checkpoints=True,
        reads=(base.path, str(data)),
    )
    wanted = LeaseRequest(
        work, name=f"tune {base.name}", lease_class=LeaseClass.SPOT, bid_micro=bid_micro, label=Label(residency=base.sites)
    )
    lease = leasing.request(tx, forecaster, wanted, tenant=tenant, now_us=now_us)
    made = Tuning(TuningId(names.fresh("ftjob")), tenant, base.name, lease.id, training_file, now_us, asked=dict(asked))
    store.insert_one(tx, made)
    return made


def _check(base: Model, data: Path, asked: Mapping[str, int | float]) -> None:
    if not base.path or not base.path.endswith(".gguf"):
        hint = "fine-tuning takes GGUF models of our small Llama's kind, whose weights are here"
        raise Invalid(f"{base.name} cannot be tuned here", field="model", hint=hint)
    head = gguf.read(Path(base.path))
    for name, value in asked.items():
        if name not in BOUNDS or not BOUNDS[name][0] <= value <= BOUNDS[name][1]:
            known = ", ".join(f"{one} from {least:g} to {most:g}" for one, (least, most) in BOUNDS.items())
            raise Invalid(f"{name}={value} cannot be had", field="hyperparameters", hint=known)
    examples(
        data.read_text(), opened(head).tokenizer, length=base.context_length or int(head.of_architecture("context_length"))
    )


def cancel(tx: Tx, name: str, *, tenant: TenantId | None, now_us: int) -> Tuning:
    """End a job; one that is over stays as it is."""
    found = store.get(tx, name, tenant=tenant)
    after = replace(found, state=TuningState.CANCELLED, finished_us=now_us)
    if not store.close(tx, after):
        return found
    leasing.release(tx, found.lease, tenant=None, now_us=now_us)
    return after


def told(engine: Engine, lease: Lease) -> Iterator[dict[str, Any]]:
    """What the attempts of a job have said so far, the oldest first."""
    for attempt in range(1, lease.attempt + 1):
        with suppress(NotFound):  # an attempt that was not carried out yet, or was forgotten
            yield from _lines(engine, lease.id, attempt)


def _lines(engine: Engine, lease: LeaseId, attempt: int) -> Iterator[dict[str, Any]]:
    rest = b""
    for part in engine.logs(lease_run(lease, attempt)):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(TOLD.encode()):
                with suppress(ValueError):
                    yield json.loads(line.removeprefix(TOLD.encode()))
        if len(rest) > _LINE_MAX:
            return


def collect(database: Database, engine: Engine, folder: Path, *, now_us: int) -> None:
    """Close the jobs whose leases are over: what they found becomes a model in `folder`."""
    with database.read() as tx:
        waiting = store.opened(tx)
        found = {lease.id: lease for lease in leases.some(tx, [one.lease for one in waiting])} if waiting else {}
    for tuning in waiting:
        lease = found.get(tuning.lease)
        if lease is not None and lease.state is State.ENDED:
            _close(database, engine, folder, tuning, lease, now_us=now_us)


def _close(database: Database, engine: Engine, folder: Path, tuning: Tuning, lease: Lease, *, now_us: int) -> None:
    said_last = deque(told(engine, lease), maxlen=1)
    last: dict[str, Any] = said_last[0] if said_last else {}
    with database.read() as tx:
        base = next((one for one in models.everything(tx) if one.name == tuning.model), None)
    made: Model | None = None
    if lease.cause is Cause.COMPLETED and last.get("event") == "done" and base is not None:
        made = _merged(base, tuning, last["adapter"], folder, now_us=now_us)
        after = replace(tuning, state=TuningState.SUCCEEDED, result=made.name, trained_tokens=int(last["trained_tokens"]))
    elif lease.cause is Cause.RELEASED:
        after = replace(tuning, state=TuningState.CANCELLED)
    else:
        said = last.get("message") or f"its run ended: {lease.reason}"
        after = replace(tuning, state=TuningState.FAILED, error=str(said))
    with database.write() as tx:
        if not store.close(tx, replace(after, finished_us=now_us)):
            return
        if made is not None and all(one.name != made.name for one in models.everything(tx)):
            models.insert_one(tx, made)
        data = {"tuning": tuning.id, "model": tuning.model, "result": after.result, "state": after.state}
        said = f"fine-tuning job {tuning.id} {after.state}"
        events.append(tx, [Entry(now_us, f"tuning.{after.state}", said, tuning.tenant, lease.id, lease.pool, data)])


def _merged(base: Model, tuning: Tuning, adapter: str, folder: Path, *, now_us: int) -> Model:
    """The base with the adapter in it, as a model of its own with the base's terms."""
    name = ModelName(f"ft-{base.name}-{tuning.id.removeprefix('ftjob-')}"[:64])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.gguf"
    whole = opened(gguf.read(Path(base.path)))
    whole.saved(path, unpacked(adapter).merged(whole.weights), general__name=name)
    found = replace(base, name=name, source=str(path), path=str(path), checksum="", aliases=(), detail="")
    return replace(found, tenant=tuning.tenant, created_us=now_us)
