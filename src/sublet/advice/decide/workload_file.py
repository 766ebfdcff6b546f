"""A workload as people write it: one YAML file, checked field by field, with the line of every mistake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError, model_validator

from sublet.advice.finance.units import HourPrice, Money, bounded, money, said
from sublet.app.complaints import InvalidFields, explain
from sublet.app.quantities import YEAR_US, Hours, Seconds, Text, duration_us
from sublet.app.task_files import document_of, text_of
from sublet.core.decide.models import plain
from sublet.core.decide.offer import SOFTWARE, Needs
from sublet.core.decide.rank import CRITERIA
from sublet.core.errors import Invalid
from sublet.core.finishing import Habit
from sublet.core.residency import Label, Party, Sensitivity
from sublet.core.residency.words import countries_of, country_of, site_of, written
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US

EXAMPLE = "sublet decide --example prints one to start from"
Word = Annotated[Text, Field(min_length=1, max_length=64)]
_GB, _GB_SCHEMA = bounded(0, 1e9, "gigabytes, so write 500 for 500 GB and 2000 for 2 TB")
Gigabytes = Annotated[float, _GB, _GB_SCHEMA]
_SPEED = bounded(0.001, 1_000, "a factor against the GPU that `work` was measured on, so write 0.4 for less than half as fast")
_WEIGHT = bounded(0, 1_000, "a weight, 0 for none")
_GBPS = bounded(0.001, 100_000, "gigabits a second")
_DATA, _DATA_SCHEMA = money(10, "money for one GB, so write 0.09 for 90 a TB")
DataPrice = Annotated[int, _DATA, _DATA_SCHEMA]


def _norway(value: Any) -> Any:
    """YAML 1.1 reads a bare `NO` as false."""
    return "NO" if value is False else value


def _country(value: Any) -> Any:
    value = _norway(value)
    if not isinstance(value, str):
        return value
    try:
        return country_of(value)
    except Invalid as error:
        raise ValueError(f"{error.message} ({error.hint})") from error


Country = Annotated[str, BeforeValidator(_country)]
Model = Annotated[str, BeforeValidator(lambda value: plain(value) if isinstance(value, str) else value), Field(min_length=1)]


class Part(BaseModel):
    """A block of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckpointPart(Part):
    """`checkpoint:`; without the block the work starts again after an interruption."""

    every: Seconds = said("s", "of running, from one to the next", default=HOUR_US)
    save: Seconds = said("s", "writing one takes so long", default=30 * SECOND_US)
    restart: Seconds = said("s", "work that is repeated after an interruption", default=MINUTE_US)


class DataPart(Part):
    """`data:`."""

    gb_in: Gigabytes = said("GB", "that go there for each run", default=0.0)
    gb_out: Gigabytes = said("GB", "that come back after each run", default=0.0)
    gb_kept: Gigabytes = said("GB", "kept there until all runs are done", default=0.0)
    gbit_s: Annotated[float, *_GBPS] = said("Gbit/s", "of the way there", default=1.0)
    egress_gb: DataPrice = said("{currency}/GB", "what leaving home costs you", default=0)


class HomePart(Part):
    """`home:` keeping it where it is; or `surplus:` your own idle GPUs, leased to yourself."""

    gpu_model: Model
    gpu_h: HourPrice = said("{currency}/GPU-h", "what a GPU-hour costs there")
    country: Country | None = None
    wait: Hours | None = said("h", "in the queue before a run starts", default=None)
    node_gpus: Annotated[int, Field(ge=1, le=64)] = 8


class SurplusPart(HomePart):
    """`surplus:`; interruptions an hour as `sublet study` found them."""

    interruptions_h: Annotated[float, *bounded(0, 100, "interruptions an hour of a run")] | None = None


class SitePart(SurplusPart):
    """`sites:` other Sublet sites that lend."""

    name: Word
    operator: Word | None = None
    operator_country: Country | None = None
    mode: Literal["spot", "on demand"] = "spot"
    regimes: tuple[Word, ...] = ()
    certifications: tuple[Word, ...] = ()
    safeguards: tuple[Word, ...] = ()


class WorkloadFile(Part):
    """All of it."""

    name: Word
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = said("", "three letters; all money is in it", default="USD")
    gpus: Annotated[int, Field(ge=1, le=100_000)] = said("GPUs", "of one run, all at once")
    gpu_model: Model | None = said("", "the one that `work` was measured on", default=None)
    speeds: Mapping[Model, Annotated[float, *_SPEED]] = said(
        "", "other models that would do, and how fast", default_factory=dict
    )
    work: Annotated[int, BeforeValidator(lambda value: duration_us(value, unit_us=HOUR_US))] = said(
        "h", "that one run takes without an interruption: 72h"
    )
    runs: Annotated[int, Field(ge=1, le=1_000_000)] = said("", "one after the other", default=1)
    idle: Hours | None = said("h", "of a run that its GPUs are held and do nothing", default=None)
    interruptible: StrictBool = True
    checkpoint: CheckpointPart | None = None
    data: DataPart = DataPart()
    must: tuple[Literal[SOFTWARE], ...] = said("", "software it cannot do without", default=())  # type: ignore[valid-type]
    wants: tuple[Literal[SOFTWARE], ...] = said("", "software it would use", default=())  # type: ignore[valid-type]
    deadline: Hours | None = said("h", "until all runs are done", default=None)
    most: Money | None = said("{currency}", "all of it may cost", default=None)
    company: Word = said("", "who asks", default="us")
    country: Country | None = said("", "where that company has its seat", default=None)
    residency: tuple[Annotated[Word, BeforeValidator(_norway)], ...] = said(
        "", "countries, blocs or sites where its data may be", default=()
    )
    sensitivity: Literal["public", "internal", "confidential", "restricted"] = "public"
    kinds: tuple[Word, ...] = said("", "of data: personal, health and so on", default=())
    regimes: tuple[Word, ...] = ()
    safeguards: tuple[Word, ...] = ()
    home: HomePart | None = None
    surplus: SurplusPart | None = None
    sites: Annotated[tuple[SitePart, ...], Field(max_length=200)] = ()
    weights: Mapping[Literal[tuple(CRITERIA)], Annotated[float, *_WEIGHT]] = Field(default_factory=dict)  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _sound(self) -> "WorkloadFile":
        if self.gpu_model is None and not self.speeds:
            raise ValueError("gpu_model is missing: name the GPU that `work` was measured on, for example H100")
        known = [site.name for site in self.sites]
        for item in self.residency:
            if countries_of(item) is None and site_of(item) not in known:
                raise ValueError(f"residency: {item!r} is no country, no bloc and none of `sites`: write DE, EU or site:NAME")
        if self.work > YEAR_US:
            raise ValueError("work is longer than a year: split it into runs")
        return self

    def needs(self) -> Needs:
        """As the core takes it."""
        saves = self.checkpoint is not None
        part = self.checkpoint or CheckpointPart()
        label = Label(
            tuple(written(item) for item in self.residency), Sensitivity(self.sensitivity), self.kinds, self.regimes,
            self.safeguards,
        )  # fmt: skip
        return Needs(
            name=self.name,
            gpus=self.gpus,
            models=dict(self.speeds) | ({} if self.gpu_model is None else {self.gpu_model: 1.0}),
            work_h=self.work / HOUR_US,
            runs=self.runs,
            habit=Habit(heeds=True, checkpoint_us=part.every, save_us=part.save, restart_us=part.restart),
            saves=saves,
            interruptible=self.interruptible,
            in_gb=self.data.gb_in,
            out_gb=self.data.gb_out,
            kept_gb=self.data.gb_kept,
            gb_per_h=self.data.gbit_s * 450.0,
            idle_h=(self.idle or 0) / HOUR_US,
            must=frozenset(self.must),
            wants=frozenset(self.wants),
            deadline_h=None if self.deadline is None else self.deadline / HOUR_US,
            most_micro=self.most,
            label=label,
            tenant=Party(self.company, self.country),
            weights=dict(self.weights),
            home_egress_micro_gb=self.data.egress_gb,
        )


def read(path: Path) -> WorkloadFile:
    """The workload in a YAML file; raises `InvalidFields` with every mistake and its line."""
    return parsed(text_of(path), str(path))


def parsed(text: str, what: str) -> WorkloadFile:
    """The workload in a YAML text."""
    document, lines, doubled = document_of(text, what=what)
    if not isinstance(document, dict):
        raise Invalid(f"{what} has no fields", field="workload", hint=EXAMPLE)
    try:
        made = WorkloadFile.model_validate(document)
    except ValidationError as error:
        raise InvalidFields(what, [*doubled, *explain(error.errors(), WorkloadFile, lines)]) from error
    if doubled:
        raise InvalidFields(what, doubled)
    return made
