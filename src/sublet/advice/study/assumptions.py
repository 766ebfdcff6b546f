"""What a study assumes beyond the trace: costs, prices, terms, and who would lease. Two TOML files, each key with a default.

An unknown key is an error: an assumption that is misspelt must not look as if it were made.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sublet.app.complaints import InvalidFields, explain
from sublet.app.quantities import Hours, Price, Seconds, money_micro
from sublet.core.errors import Invalid
from sublet.core.ids import PoolId, TenantId
from sublet.core.lease import LeaseClass
from sublet.core.terms import TERMS, CostSheet, Pool, Promise
from sublet.core.units import HOUR_US
from sublet.sim.scene import Engine, Habits, Wish

Money = Annotated[int, BeforeValidator(money_micro)]
Share = Annotated[float, Field(ge=0, le=1)]
Given = TypeVar("Given", bound=BaseModel)
NO_LIMIT_MICRO = 10**12
"""A bid that never loses: tenants of a study pay the posted price."""


class Part(BaseModel):
    """A table of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CostPart(Part):
    """Costs of one GPU with its share of the node; money in whole units of the currency."""

    busy_w: Annotated[int, Field(ge=0, le=20_000)] = 1_275
    idle_w: Annotated[int, Field(ge=0, le=20_000)] = 320
    pue: Annotated[float, Field(ge=1, le=5)] = 1.2
    tariff_kwh: Money = 80_000
    wear_gpu_h: Money = 10_000
    operations_gpu_h: Money = 50_000
    depreciation_gpu_h: Money = 850_000

    def sheet(self) -> CostSheet:
        """As the core takes it."""
        return CostSheet(
            busy_w=self.busy_w,
            idle_w=self.idle_w,
            pue_permille=round(self.pue * 1_000),
            tariff_micro_kwh=self.tariff_kwh,
            wear_micro=self.wear_gpu_h,
            operations_micro=self.operations_gpu_h,
            depreciation_micro=self.depreciation_gpu_h,
        )


class Costs(Part):
    """`costs.toml`: `[cost]` for all GPUs, `[models.NAME]` for what is different for one model."""

    cost: CostPart = CostPart()
    models: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    def of(self, model: str | None) -> CostSheet:
        """The cost sheet of a GPU model."""
        return self.part(model).sheet()

    def part(self, model: str | None) -> CostPart:
        """The costs of a GPU model: what the file says of it, and else what it says of all."""
        own = CostPart.model_validate(self.models.get(model or "", {}))
        return self.cost.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


class PricePart(Part):
    """What a GPU-hour is sold for."""

    default: Price = 1_650_000
    models: Mapping[str, Price] = Field(default_factory=dict)


class TermsPart(Part):
    """The contracts."""

    spot_notice: Seconds = TERMS[LeaseClass.SPOT].grace_us
    guarded_notice: Seconds = TERMS[LeaseClass.GUARDED].grace_us
    guarded_hours: tuple[Hours, ...] = (HOUR_US, 4 * HOUR_US, 8 * HOUR_US, 24 * HOUR_US)
    credit_multiple: Annotated[int, Field(ge=0, le=100)] = 1
    promise: Seconds = Promise().within_us


class WorkPart(Part):
    """How the tenants' workloads save their work."""

    checkpoint: Seconds | None = Habits().checkpoint_us
    save: Seconds = Habits().save_us
    heed_notice: bool = True
    restart: Seconds = Habits().restart_us


class ReservePart(Part):
    """The hot buffer."""

    quantile: Share = 0.95
    min: Annotated[int, Field(ge=0)] = 0


class TenantPart(Part):
    """Tenants of one kind who are always there: as soon as one lease is granted, the next is asked for."""

    name: str = "market"
    lease_class: Annotated[Literal["spot", "guarded"], Field(alias="class")] = "spot"
    gpus: Annotated[int, Field(ge=1, le=64)] = 1
    nodes: Annotated[int, Field(ge=1, le=10_000)] = 1
    work: Hours = 24 * HOUR_US
    hours: Hours | None = None

    def wish(self) -> Wish:
        """As the replay takes it; a guarded lease has work for its whole term."""
        guarded = self.lease_class == "guarded"
        term = (self.hours or 4 * HOUR_US) if guarded else None
        return Wish(
            tenant=TenantId(self.name),
            lease_class=LeaseClass(self.lease_class),
            gpus_per_node=self.gpus,
            nodes=self.nodes,
            work_us=term or self.work,
            bid_micro=NO_LIMIT_MICRO,
            term_us=term,
        )


EVERYBODY = tuple(TenantPart(gpus=gpus) for gpus in (8, 4, 2, 1)) + tuple(
    TenantPart.model_validate({"class": "guarded", "gpus": gpus, "hours": 4}) for gpus in (8, 1)
)
"""A saturated market: whatever is for sale finds somebody, whole nodes first."""


class Market(Part):
    """`market.toml`: currency, prices, terms, how workloads behave, and who would lease."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    price: PricePart = PricePart()
    terms: TermsPart = TermsPart()
    work: WorkPart = WorkPart()
    reserve: ReservePart = ReservePart()
    tenants: tuple[TenantPart, ...] = EVERYBODY

    def habits(self) -> Habits:
        """As the replay takes them."""
        work = self.work
        return Habits(work.checkpoint, work.save, work.heed_notice, work.restart)

    def pool(self, name: str, model: str | None, cost: CostSheet, engine: Engine) -> Pool:
        """The settings of a pool in the study: a posted price, and the terms of this file."""
        terms = dict(TERMS)
        spot, guarded = terms[LeaseClass.SPOT], terms[LeaseClass.GUARDED]
        part = self.terms
        terms[LeaseClass.SPOT] = replace(spot, grace_us=part.spot_notice, exempt_us=part.spot_notice)
        terms[LeaseClass.GUARDED] = replace(
            guarded,
            grace_us=part.guarded_notice,
            exempt_us=part.guarded_notice,
            terms_us=part.guarded_hours,
            credit_multiple=part.credit_multiple,
        )
        return Pool(
            id=PoolId(name),
            gpu_model=model or name,
            currency=self.currency,
            terms=terms,
            promise=Promise(within_us=part.promise),
            stop_us=engine.stop_us,
            handover_us=engine.handover_us,
            start_us=engine.start_us,
            pricing="fixed",
            price_micro=self.price.models.get(model or name, self.price.default),
            cost=cost,
            reserve_quantile=self.reserve.quantile,
            reserve_min=self.reserve.min,
            restart_us=self.work.restart,
        )


def read_costs(path: Path | None) -> Costs:
    """The costs in a file; the defaults without one."""
    costs = _read(path, Costs, field="cost")
    for model in costs.models:
        try:
            costs.of(model)
        except ValidationError as error:
            raise InvalidFields(f"{path}: [models.{model}]", explain(error.errors(), CostPart)) from error
    return costs


def read_market(path: Path | None) -> Market:
    """The market in a file; the defaults without one."""
    market = _read(path, Market, field="price")
    terms = set(market.terms.guarded_hours)
    for tenant in market.tenants:
        if tenant.lease_class == "guarded" and (tenant.hours or 4 * HOUR_US) not in terms:
            said = f"{path or 'the market'}: tenant {tenant.name!r} wants guarded hours that are not sold"
            sold = ", ".join(f"{us / HOUR_US:g}" for us in sorted(terms))
            raise Invalid(said, field="tenants.hours", hint=f"terms.guarded_hours has {sold}")
    return market


def _read(path: Path | None, model: type[Given], *, field: str) -> Given:
    if path is None:
        return model()
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field=field, hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {error}", field=field, hint="docs/reference/study.md has an example") from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidFields(str(path), explain(error.errors(), model)) from error
