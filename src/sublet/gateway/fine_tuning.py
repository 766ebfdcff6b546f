"""`/fine_tuning/jobs`: an adapter of a model, trained in a lease that the owner may take back at any time."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from sublet.app import names, tunings
from sublet.app.residency import Atlas
from sublet.core.ids import TuningId
from sublet.core.lease import Lease
from sublet.core.model import Model
from sublet.core.tuning import LIVE, Step, Tuning, TuningState, status
from sublet.core.units import SECOND_US
from sublet.gateway.files import fetched, listed, page_limit, place
from sublet.gateway.reception import Reception
from sublet.gateway.refusals import Refusal, invalid, no_address, only
from sublet.gateway.tuning_asks import TuningAsk, hyperparameters, read
from sublet.gateway.visitors import Visitor
from sublet.store import leases, pools
from sublet.store import tunings as store

_PAGE_MAX = 100
_FAILED = "run_failed"
_OF_FILES = frozenset({"invalid_training_file", "invalid_validation_file"})
_Known = tuple[Tuning, Lease | None]
_SAID: Mapping[str, Callable[[Tuning, Mapping[str, Any]], str]] = {
    "created": lambda job, _: f"Created fine-tuning job: {job.id}",
    "started": lambda _, data: f"Fine-tuning job started: {data.get('steps')} steps",
    "resumed": lambda _, data: f"Went on after step {data.get('step')}",
    "step": lambda _, data: f"Step {data.get('step')}/{data.get('steps')}: {_losses(data)}",
    "checkpointed": lambda _, data: f"The owner needs the machine: saved after step {data.get('step')}, to go on from there",
    "done": lambda _, data: f"Trained all {data.get('step')} steps",
    "failed": lambda _, data: str(data.get("message")),
    "succeeded": lambda job, _: f"New fine-tuned model created: {job.result}",
    "cancelled": lambda _job, _data: "The job was cancelled",
}
"""What each event says."""
_LEVELS: Mapping[str, str] = {"failed": "error", "checkpointed": "warn"}


async def handle(reception: Reception, request: web.BaseRequest, rest: tuple[str, ...]) -> web.StreamResponse:
    """`POST` and `GET /fine_tuning/jobs`, `GET` of one and of its events and checkpoints, `POST` of its cancel."""
    visitor = await reception.welcome(request)
    if rest == ("jobs",):
        only(request.method, "GET", "POST")
        return await (_make if request.method == "POST" else _list)(reception, request, visitor)
    if len(rest) == 2 and rest[0] == "jobs":
        only(request.method, "GET")
        return await reception.send(request, view(*await _known(reception, visitor, rest[1])))
    if len(rest) == 3 and rest[0] == "jobs" and rest[2] in _DEEDS:
        method, deed = _DEEDS[rest[2]]
        only(request.method, method)
        return await reception.send(request, await deed(reception, request, visitor, rest[1]))
    raise no_address(request.path)


def view(job: Tuning, lease: Lease | None) -> dict[str, Any]:
    """A job in OpenAI's form."""
    numbers = hyperparameters(job.asked)
    error = None
    if job.state is TuningState.FAILED:
        param = job.error_code.removeprefix("invalid_") if job.error_code in _OF_FILES else None
        error = {"code": job.error_code or _FAILED, "message": job.error, "param": param}
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "model": job.model,
        "created_at": job.created_us // SECOND_US,
        "finished_at": None if job.finished_us is None else job.finished_us // SECOND_US,
        "fine_tuned_model": job.result,
        "organization_id": job.tenant,
        "result_files": [],
        "status": status(job, lease),
        "validation_file": job.validation_file or None,
        "training_file": job.training_file,
        "hyperparameters": numbers,
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "trained_tokens": job.trained_tokens,
        "error": error,
        "seed": int(job.asked.get("seed", 0)),
        "user_provided_suffix": job.suffix or None,
        "estimated_finish": None,
        "integrations": [],
        "metadata": dict(job.metadata) or None,
    }


async def _make(reception: Reception, request: web.BaseRequest, visitor: Visitor) -> web.StreamResponse:
    async with reception.bodies.read(request) as raw:
        ask = read(raw)
    tenant = visitor.guest.tenant

    def look() -> Model:
        with reception.database.read() as tx:
            _check_places(reception, Atlas.read(tx, [tenant]), [row.pool.site for row in pools.everything(tx)], visitor)
            return tunings.base_of(tx, ask.model, tenant=tenant)

    base = await reception.looking.do(look)
    for file, param in ((ask.training_file, "training_file"), (ask.validation_file, "validation_file")):
        if file and (await reception.looking.do(partial(fetched, reception, file, tenant))).purpose != "fine-tune":
            raise invalid("the file was not sent with the purpose fine-tune", param=param)
    job = TuningId(names.fresh("ftjob"))
    made = await asyncio.to_thread(_keep, reception, visitor, ask, base, job)
    return await reception.send(request, view(made, None))


def _check_places(reception: Reception, atlas: Atlas, sites: list[str], visitor: Visitor) -> None:
    """Raise `Refusal` where this tenant's data may be at none of the sites at which anything is leased."""
    verdicts = [reception.borders.of_tuning(atlas, visitor.guest, site) for site in dict.fromkeys(sites)]
    if verdicts and all(verdicts):
        message = f"your training file may be at no site where models are tuned: {verdicts[0]}; nothing was sent"
        raise Refusal(403, message, param="training_file", code="data_residency_mismatch")


def _keep(reception: Reception, visitor: Visitor, ask: TuningAsk, base: Model, job: TuningId) -> Tuning:
    """Check and copy the files, and put the job into the books. In a thread of its own: files may be large."""
    tenant = visitor.guest.tenant
    kept: dict[str, Path] = {}
    try:
        for what, file in (("training", ask.training_file), ("validation", ask.validation_file)):
            if file:
                kept[what] = tunings.copied(place(reception, file), reception.tunings_dir, job, what=what)
                tunings.check_data(base, kept[what], what=what)
        with reception.database.write() as tx:
            return tunings.ask(
                tx,
                tenant=tenant,
                base=base,
                training_file=ask.training_file,
                data=kept["training"],
                asked=ask.asked,
                now_us=reception.desk.clock.now_us(),
                name=job,
                suffix=ask.suffix,
                metadata=ask.metadata,
                validation_file=ask.validation_file,
                validation=str(kept.get("validation", "")),
            )
    except BaseException:
        for copy in kept.values():
            copy.unlink(missing_ok=True)
        raise


async def _known(reception: Reception, visitor: Visitor, job: str) -> _Known:
    def look() -> _Known:
        with reception.database.read() as tx:
            found = store.get(tx, job, tenant=visitor.guest.tenant)
            held = [] if found.lease is None or found.state not in LIVE else leases.some(tx, [found.lease])
            return found, held[0] if held else None

    return await reception.looking.do(look)


async def _list(reception: Reception, request: web.BaseRequest, visitor: Visitor) -> web.StreamResponse:
    tenant, asked = visitor.guest.tenant, request.query
    limit = page_limit(asked.get("limit"), most=_PAGE_MAX)
    if any(name.startswith("metadata") for name in asked):
        raise invalid("jobs are not looked up by their metadata here: list them all", param="metadata")

    def look() -> list[_Known]:
        with reception.database.read() as tx:
            found = store.page(tx, tenant=tenant, after=asked.get("after"), limit=limit + 1)
            of_jobs = [one.lease for one in found if one.lease is not None and one.state in LIVE]
            held = {lease.id: lease for lease in leases.some(tx, of_jobs)} if of_jobs else {}
            return [(one, None if one.lease is None else held.get(one.lease)) for one in found]

    found = await reception.looking.do(look)
    return await reception.send(request, listed([view(*one) for one in found], limit))


async def _cancel(reception: Reception, _request: web.BaseRequest, visitor: Visitor, job: str) -> dict[str, Any]:
    def write() -> Tuning:
        with reception.database.write() as tx:
            return tunings.cancel(tx, job, tenant=visitor.guest.tenant, now_us=reception.desk.clock.now_us())

    found = await reception.books.do(write)
    if found.state is not TuningState.CANCELLED:
        raise invalid(f"{job} is over: it has {found.state}", param="fine_tuning_job_id", code="invalid_job_status")
    return view(found, None)


async def _no_pause(reception: Reception, _request: web.BaseRequest, visitor: Visitor, job: str) -> dict[str, Any]:
    await _known(reception, visitor, job)
    message = "a job is paused and resumed by the machine's owner alone, from its last step; cancel it, and create another"
    raise invalid(message, code="not_supported")


async def _events(reception: Reception, request: web.BaseRequest, visitor: Visitor, job: str) -> dict[str, Any]:
    limit, after = page_limit(request.query.get("limit"), most=_PAGE_MAX), request.query.get("after")

    def look() -> tuple[Tuning, list[Step]]:
        with reception.database.read() as tx:
            found = store.get(tx, job, tenant=visitor.guest.tenant)
            return found, store.told(tx, found.id, before=_position(found, after), limit=limit + 1)

    found, steps = await reception.looking.do(look)
    return listed([_event(found, step) for step in steps], limit)


async def _checkpoints(reception: Reception, request: web.BaseRequest, visitor: Visitor, job: str) -> dict[str, Any]:
    """The one state of a job that can be asked: the model it has made. What a run saves on its way only it can go on from."""
    limit = page_limit(request.query.get("limit"), most=_PAGE_MAX)

    def look() -> tuple[Tuning, list[Step]]:
        with reception.database.read() as tx:
            found = store.get(tx, job, tenant=visitor.guest.tenant)
            return found, store.told(tx, found.id, event="step", limit=1)

    found, steps = await reception.looking.do(look)
    shown = [] if found.result is None or "after" in request.query else [_checkpoint(found, step) for step in steps]
    return listed(shown, limit)


def _checkpoint(job: Tuning, step: Step) -> dict[str, Any]:
    number = int(step.data["step"])
    return {
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}-{number}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": step.at_us // SECOND_US,
        "fine_tuned_model_checkpoint": job.result,
        "fine_tuning_job_id": job.id,
        "metrics": {"step": number, **_metrics(step)},
        "step_number": number,
    }


def _metrics(step: Step) -> dict[str, Any]:
    """Losses under OpenAI's names. A validation is always one of the whole file, so both of its names mean the same."""
    judged = step.data.get("valid_loss")
    found = {"train_loss": step.data.get("loss")}
    return found if judged is None else found | {"valid_loss": judged, "full_valid_loss": judged}


def _losses(data: Mapping[str, Any]) -> str:
    said = f"training loss={data.get('loss')}"
    return f"{said}, validation loss={data['valid_loss']}" if "valid_loss" in data else said


def _event(job: Tuning, step: Step) -> dict[str, Any]:
    metrics = step.event == "step"
    data = {"step": step.data.get("step"), **_metrics(step), "total_steps": step.data.get("steps")}
    return {
        "id": f"ftevent-{job.id.removeprefix('ftjob-')}-{step.attempt}-{step.nth}",
        "object": "fine_tuning.job.event",
        "created_at": step.at_us // SECOND_US,
        "level": _LEVELS.get(step.event, "info"),
        "message": _SAID[step.event](job, step.data) if step.event in _SAID else step.event,
        "type": "metrics" if metrics else "message",
        "data": data if metrics else dict(step.data),
    }


def _position(job: Tuning, after: str | None) -> tuple[int, int] | None:
    """Where among a job's events the one with this name stands."""
    if after is None:
        return None
    numbers = after.removeprefix(f"ftevent-{job.id.removeprefix('ftjob-')}-").split("-")
    if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise invalid(f"{after} is no event of {job.id}", param="after")
    return int(numbers[0]), int(numbers[1])


_DEEDS = {
    "cancel": ("POST", _cancel),
    "pause": ("POST", _no_pause),
    "resume": ("POST", _no_pause),
    "events": ("GET", _events),
    "checkpoints": ("GET", _checkpoints),
}
