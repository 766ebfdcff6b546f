"""Tasks as people write them: SkyPilot's fields, unchanged, and a `lease:` block with the terms.

Fields of SkyPilot that mean nothing here (where to launch, what disk) are accepted and said to be ignored; any other
unknown field is a mistake.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationInfo, WithJsonSchema, field_validator

from sublet.app.addresses import callable_url
from sublet.app.quantities import Hours, Instant, Price, Quantity, Seconds, Text
from sublet.core.lease import Access, LeaseClass
from sublet.core.residency import Label, Sensitivity
from sublet.core.residency.lists.regimes import for_workloads
from sublet.core.residency.lists.terms import KINDS, SAFEGUARDS
from sublet.core.residency.words import checked_keys, written
from sublet.core.units import SECOND_US
from sublet.core.workload import Workload

SIGNALS = ("TERM", "USR1", "USR2", "INT", "HUP")
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
_MIB_PER_GIB = 1_024
_NO_EFFECT = "a field of SkyPilot that has no effect here"
Ignored = Annotated[Any, _NO_EFFECT]


@dataclass(frozen=True, slots=True)
class Accelerators:
    """GPUs on each node, of one model."""

    model: str
    count: int


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a tenant (or, without terms, the owner) asks for. Durations in µs, prices in micro-units a GPU-hour.

    None means "as the pool has it".
    """

    workload: Workload
    name: str = "task"
    pool: str | None = None
    gpu_model: str | None = None
    gpus_per_node: int = 1
    nodes: int = 1
    lease_class: LeaseClass = LeaseClass.SPOT
    access: Access = Access.BATCH
    term_us: int | None = None
    start_us: int | None = None
    grace_us: int | None = None
    bid_micro: int | None = None
    label: Label = field(default_factory=Label)
    restartable: bool = True
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def gpus(self) -> int:
        """GPUs in all."""
        return self.gpus_per_node * self.nodes


def _accelerators(value: Any) -> Accelerators | None:
    if value is None or isinstance(value, Accelerators):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((model, count),) = value.items()
    elif isinstance(value, str) and value.strip():
        model, _, count = value.partition(":")
        count = count or 1
    else:
        raise ValueError("write MODEL:COUNT, for example H100:8")
    try:
        gpus = int(str(count))
    except ValueError:
        raise ValueError(f"{count!r} is no number of GPUs: write MODEL:COUNT, for example H100:8") from None
    if not 1 <= gpus <= 64:
        raise ValueError(f"{gpus} GPUs on one node: between 1 and 64 are possible; use num_nodes for more")
    if not 1 <= len(str(model).strip()) <= 64 or "\0" in str(model):
        raise ValueError("write MODEL:COUNT, for example H100:8")
    return Accelerators(str(model).strip(), gpus)


AcceleratorsField = Annotated[
    Accelerators | None,
    BeforeValidator(_accelerators),
    WithJsonSchema(
        {
            "description": "GPUs of each node: MODEL:COUNT",
            "examples": ["H100:8"],
            "anyOf": [
                {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_-]{0,40}(:([1-9]|[1-5][0-9]|6[0-4]))?$"},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 64},
                },
                {"type": "null"},
            ],
        }
    ),
]


class _Block(BaseModel):
    """A block of a task file: an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def ignored(self) -> list[str]:
        """The fields that were given and mean nothing here."""
        given = [name for name in type(self).model_fields if getattr(self, name) is not None and name in self.model_fields_set]
        return [name for name in given if _NO_EFFECT in type(self).model_fields[name].metadata]


class Resources(_Block):
    """What each node must have. `cpus` and `memory` are SkyPilot's; an exact `memory` (GiB) is also the limit."""

    accelerators: AcceleratorsField = None
    cpus: Annotated[Quantity | None, _NO_EFFECT] = None
    memory: Quantity | None = None
    infra: Ignored = None
    cloud: Ignored = None
    region: Ignored = None
    zone: Ignored = None
    instance_type: Ignored = None
    use_spot: Ignored = None
    disk_size: Ignored = None
    disk_tier: Ignored = None
    network_tier: Ignored = None
    image_id: Ignored = None
    ports: Ignored = None
    labels: Ignored = None
    autostop: Ignored = None
    any_of: Ignored = None
    ordered: Ignored = None
    job_recovery: Ignored = None
    accelerator_args: Ignored = None


Words = Annotated[list[Annotated[Text, Field(min_length=1, max_length=64)]], Field(max_length=64)]
_LISTS = {
    "data": (tuple(KINDS), "kind of data"),
    "regimes": (tuple(for_workloads()), "regime for workloads"),
    "safeguards": (tuple(SAFEGUARDS), "safeguard"),
}


class Checkpoint(_Block):
    """Where the workload saves what it resumes from: `path`, below its working directory, survives attempts."""

    path: Annotated[Text, Field(max_length=255)] | None = None
    every: Seconds | None = None

    @field_validator("path")
    @classmethod
    def _below_home(cls, value: str | None) -> str | None:
        if value is not None and (not value or value.startswith(("/", "~", "-")) or ".." in PurePosixPath(value).parts):
            raise ValueError("write a path below the working directory, without .. (it will lead to $SUBLET_CHECKPOINT_DIR)")
        return value


class Terms(_Block):
    """The `lease:` block."""

    pool: Annotated[Text, Field(max_length=64)] | None = None
    lease_class: Literal["spot", "guarded", "block", "dedicated"] = Field(default="spot", alias="class")
    hours: Hours | None = Field(default=None, description="how long it is wanted; guarded leases are sold for set lengths")
    start: Instant | None = Field(default=None, description="when a block starts, in UTC; only blocks have a start")
    notice: Seconds | None = Field(default=None, description="length of the notice; the pool's terms are the most")
    max_price: Price | None = Field(default=None, description="most you pay for a GPU-hour")
    residency: Words | None = Field(
        default=None, description="countries, blocs and sites where it may be: DE, EU, oslo; any, if not given"
    )
    sensitivity: Literal["public", "internal", "confidential", "restricted"] | None = None
    data: Words | None = Field(default=None, description="kinds of data in it: `sublet residency words` lists them")
    regimes: Words | None = Field(default=None, description="laws and contracts that its data is under: gdpr, hipaa")
    safeguards: Words | None = Field(default=None, description="what you have agreed with the operator: scc, hipaa-baa")
    checkpoint: Checkpoint | None = None
    access: Literal["batch", "ssh", "endpoint", "runner"] = "batch"
    webhook: Annotated[Text, Field(max_length=2_048)] | None = Field(default=None, description="told of notices")
    notice_signal: Literal["TERM", "USR1", "USR2", "INT", "HUP"] = "TERM"
    restart: StrictBool = Field(default=True, description="queue it again after a reclaim")
    processes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @field_validator("webhook")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None and not callable_url(value):
            raise ValueError("a webhook is an http:// or https:// address")
        return value

    @field_validator("residency", "data", "regimes", "safeguards", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("data", "regimes", "safeguards", mode="after")
    @classmethod
    def _known(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        known, what = _LISTS[str(info.field_name)]
        return None if value is None else list(checked_keys(value, known, what=what))

    @property
    def label(self) -> Label:
        """What it states about its data; the names in `residency` are checked against the sites when it is asked for."""
        lists = {name: tuple(getattr(self, name) or ()) for name in ("data", "regimes", "safeguards")}
        places = tuple(dict.fromkeys(written(item) for item in self.residency or ()))
        return Label(places, Sensitivity(self.sensitivity or Sensitivity.PUBLIC), **lists)


Environment = Annotated[dict[Annotated[str, Field(pattern=_ENV_NAME)], str | int | float | bool | None], Field(max_length=256)]


class Task(_Block):
    """A task as people write it, in YAML for the command line and in JSON for the API."""

    name: Annotated[Text, Field(min_length=1, max_length=128)] | None = None
    num_nodes: int = Field(default=1, ge=1, le=10_000)
    resources: Resources = Resources()
    envs: Environment = {}
    secrets: Environment = {}
    setup: Annotated[Text, Field(max_length=65_536)] | None = None
    run: Annotated[Text, Field(min_length=1, max_length=65_536)]
    lease: Terms = Terms()
    workdir: Ignored = None
    file_mounts: Ignored = None
    service: Ignored = None
    config: Ignored = None
    event_callback: Ignored = None

    @field_validator("envs", "secrets", mode="after")
    @classmethod
    def _given(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, given in value.items():
            if given is None:
                raise ValueError(f"{name} has no value: write one, or give it with --env {name}=...")
            if isinstance(given, str) and "\0" in given:
                raise ValueError(f"{name} must be text without NUL")
        return value

    @field_validator("resources", "lease", mode="before")
    @classmethod
    def _empty_block(cls, value: Any) -> Any:
        return {} if value is None else value

    def request(self) -> LeaseRequest:
        """What is asked for, in our words."""
        terms, asked = self.lease, self.resources.accelerators
        return LeaseRequest(
            workload=self._workload(),
            name=self.name or "task",
            pool=terms.pool,
            gpu_model=asked.model if asked else None,
            gpus_per_node=asked.count if asked else 1,
            nodes=self.num_nodes,
            lease_class=LeaseClass(terms.lease_class),
            access=Access(terms.access),
            term_us=terms.hours,
            start_us=terms.start,
            grace_us=terms.notice,
            bid_micro=terms.max_price,
            label=terms.label,
            restartable=terms.restart,
            remarks=tuple(self.remarks()),
        )

    def remarks(self) -> list[str]:
        """What was given and has no effect."""
        said = [f"{name} is {_NO_EFFECT}" for name in self.ignored]
        said += [f"resources.{name} has no effect here: the pool's slots decide" for name in self.resources.ignored]
        return said

    def _workload(self) -> Workload:
        terms = self.lease
        env = {name: _env_text(value) for name, value in {**self.envs, **self.secrets}.items()}
        setup = self.setup or ""
        if terms.checkpoint is not None and terms.checkpoint.every is not None:
            env.setdefault("SUBLET_CHECKPOINT_EVERY_S", f"{terms.checkpoint.every / SECOND_US:g}")
        if terms.checkpoint is not None and terms.checkpoint.path is not None:
            setup = f"{_link(terms.checkpoint.path)}\n{setup}"
        memory = self.resources.memory
        return Workload(
            run=self.run,
            setup=setup,
            env=env,
            notice_signal=terms.notice_signal,
            checkpoints=terms.checkpoint is not None,
            memory_mib=int(memory.number * _MIB_PER_GIB) if memory and not memory.at_least else None,
            processes=terms.processes,
            webhook=terms.webhook,
        )


def _env_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _link(path: str) -> str:
    """Shell that makes `path` lead to the storage that survives attempts."""
    parent = str(PurePosixPath(path).parent)
    link = f'mkdir -p {shlex.quote(parent)} && ln -sfn "$SUBLET_CHECKPOINT_DIR" {shlex.quote(path)}'
    return f'if [ -n "$SUBLET_CHECKPOINT_DIR" ]; then {link}; fi  # a job of the owner has no such storage'
