"""Fine-tuning jobs as tenants have them: ask, look, cancel. The lease behind a job is asked for by the loop (`tuning_runs`).

Here is nothing that needs the control plane's forecasts or engine, so any gateway may do it.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sublet.app import names
from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import TenantId, TuningId
from sublet.core.model import Model
from sublet.core.tuning import END, LIVE, Step, Tuning, TuningState, check_asked, check_tunable
from sublet.store import leases, models
from sublet.store import tunings as store
from sublet.store.database import Tx

CHECKED_BYTES = 1024 * 1024
"""A training file up to this size is cut into tokens at once; of a larger one the job's own run says what is wrong."""


def base_of(tx: Tx, model: str, *, tenant: TenantId) -> Model:
    """The model that a tenant means; raises `NotFound` without one that it may see, `Invalid` if it cannot be tuned."""
    open_ones = [one for one in models.everything(tx) if one.open_to(tenant) and one.answers_to(model)]
    base = next((one for one in open_ones if one.name == model), open_ones[0] if open_ones else None)
    if base is None:
        raise NotFound(f"there is no model {model}", field="model", hint="the models page lists them")
    check_tunable(base)
    return base


def check_data(base: Model, data: Path, *, what: str = "training") -> None:
    """Raise `Invalid` that names the first line of a file which cannot be learnt, as far as that is quick."""
    if data.stat().st_size > CHECKED_BYTES:
        return
    from sublet.weights import gguf  # noqa: PLC0415 (memory that a gateway without fine-tuning jobs does without)
    from sublet.weights.llama import opened  # noqa: PLC0415 (the same)
    from sublet.weights.tune import examples  # noqa: PLC0415 (the same)

    head = gguf.read(Path(base.path))
    length = base.context_length or int(head.of_architecture("context_length"))
    examples(data.read_text(), opened(head).tokenizer, length=length, what=what)


def ask(
    tx: Tx,
    *,
    tenant: TenantId,
    base: Model,
    training_file: str,
    data: Path,
    asked: Mapping[str, int | float],
    now_us: int,
    name: TuningId | None = None,
    **more: Any,
) -> Tuning:
    """Put a job into the books; the loop asks for its lease. `more`: further fields of it."""
    check_asked(asked)
    id_ = name or TuningId(names.fresh("ftjob"))
    made = Tuning(
        id_, tenant, base.name, None, training_file, now_us, TuningState.NEW, dict(asked), data=str(data), **more
    )  # fmt: skip
    store.insert_one(tx, made)
    store.tell(tx, made.id, [Step(0, 0, now_us, "created")])
    return made


def copied(source: Path, folder: Path, tuning: TuningId, *, what: str = "training") -> Path:
    """The job's own copy of its training or validation file: deleting the file leaves the job alone.

    Runs have users of their own: they may walk through the folder and read a file whose name they know, and list nothing.
    """
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    target = folder / (f"{tuning}.jsonl" if what == "training" else f"{tuning}-{what}.jsonl")
    try:
        with source.open("rb") as given, target.open("xb") as kept:
            shutil.copyfileobj(given, kept)
            kept.flush()
            os.fsync(kept.fileno())
        target.chmod(0o444)
    except FileNotFoundError as error:
        hint = "its content lies at the gateway that took it: ask there"
        raise Invalid(f"the {what} file is not here", field=f"{what}_file", hint=hint) from error
    return target


def cancel(tx: Tx, name: str, *, tenant: TenantId | None, now_us: int) -> Tuning:
    """End a job; one that is over stays as it is. The loop gives its lease back."""
    found = store.get(tx, name, tenant=tenant)
    if found.state not in LIVE:
        return found
    after = replace(found, state=TuningState.CANCELLED, finished_us=now_us)
    if not store.close(tx, after):
        return store.get(tx, name, tenant=tenant)
    store.tell(tx, after.id, [Step(END, 0, now_us, after.state.value)])
    return after


def forget_model(tx: Tx, name: str, *, tenant: TenantId) -> Path | None:
    """Delete a model that a tenant's job has made; returns where its weights lie, or None while replicas of it still end.

    Raises `NotFound` for any other model: only the owner removes those.
    """
    mine = next((one for one in models.everything(tx) if one.tenant == tenant and one.answers_to(name)), None)
    if mine is None:
        raise NotFound(f"there is no model {name} of yours", field="model", hint="only what your own jobs have made is yours")
    for serving in models.servings_all(tx, model=mine.name):
        models.drop_serving(tx, serving.model, serving.tier)
    if any(one.name.startswith(f"{mine.name}:") for one in leases.serving(tx)):
        return None
    models.remove(tx, mine.name)
    return Path(mine.path)
