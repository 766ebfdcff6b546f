"""The owner's statement: what leasing earned, what it cost, what of the depreciation it won back. Micro-units throughout.

Cost is only what leasing adds: energy beyond idling, wear, operations (the cost sheet's floor) for every GPU-hour that was
leased, paid or free. Depreciation runs either way, so it is set beside the margin and not subtracted from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sublet.core.ids import PoolId
from sublet.core.pricing.floor import floor
from sublet.core.terms import CostSheet
from sublet.core.units import HOUR_US, charge_micro


@dataclass(frozen=True, slots=True)
class Earned:
    """What the books say of one pool in a period: micro-units, and GPU-microseconds that tenants paid for or had free."""

    pool: PoolId
    currency: str
    cost: CostSheet
    billed_gpu_us: int
    free_gpu_us: int
    revenue_micro: int
    refund_micro: int
    credit_micro: int


@dataclass(frozen=True, slots=True)
class PoolStatement:
    """One pool's result."""

    pool: PoolId
    currency: str
    billed_gpu_us: int
    free_gpu_us: int
    revenue_micro: int
    refund_micro: int
    credit_micro: int
    energy_micro: int
    wear_micro: int
    operations_micro: int
    depreciation_micro: int  # of the leased time

    @property
    def leased_gpu_us(self) -> int:
        """GPU time that tenants had, paid or free."""
        return self.billed_gpu_us + self.free_gpu_us

    @property
    def cost_micro(self) -> int:
        """What leasing added to the owner's costs."""
        return self.energy_micro + self.wear_micro + self.operations_micro

    @property
    def margin_micro(self) -> int:
        """Revenue less refunds, credits and cost."""
        return self.revenue_micro - self.refund_micro - self.credit_micro - self.cost_micro

    @property
    def margin_bps(self) -> int | None:
        """Margin in basis points of the revenue; None without revenue."""
        return self.margin_micro * 10_000 // self.revenue_micro if self.revenue_micro else None

    @property
    def depreciation_recovered_bps(self) -> int | None:
        """Margin in basis points of the depreciation of the leased time; None where nothing depreciated."""
        return self.margin_micro * 10_000 // self.depreciation_micro if self.depreciation_micro else None

    def per_gpu_hour_micro(self, amount_micro: int) -> int | None:
        """An amount spread over the leased GPU-hours; None where nothing was leased."""
        return amount_micro * HOUR_US // self.leased_gpu_us if self.leased_gpu_us else None


@dataclass(frozen=True, slots=True)
class Statement:
    """All pools of one currency over a period, and their sum."""

    currency: str
    from_us: int
    to_us: int
    pools: tuple[PoolStatement, ...]
    total: PoolStatement


def pool_statement(earned: Earned) -> PoolStatement:
    """The result of one pool."""
    rates = floor(earned.cost)
    leased = earned.billed_gpu_us + earned.free_gpu_us
    return PoolStatement(
        pool=earned.pool,
        currency=earned.currency,
        billed_gpu_us=earned.billed_gpu_us,
        free_gpu_us=earned.free_gpu_us,
        revenue_micro=earned.revenue_micro,
        refund_micro=earned.refund_micro,
        credit_micro=earned.credit_micro,
        energy_micro=charge_micro(leased, rates.energy_micro),
        wear_micro=charge_micro(leased, rates.wear_micro),
        operations_micro=charge_micro(leased, rates.operations_micro),
        depreciation_micro=charge_micro(leased, earned.cost.depreciation_micro),
    )


def statements(earned: Sequence[Earned], *, from_us: int, to_us: int) -> list[Statement]:
    """One statement a currency, in order of its name: amounts of two currencies are never added."""
    made = [pool_statement(one) for one in earned]
    out = []
    for currency in sorted({one.currency for one in made}):
        mine = tuple(one for one in made if one.currency == currency)
        out.append(Statement(currency, from_us, to_us, mine, _total(currency, mine)))
    return out


def _total(currency: str, parts: Sequence[PoolStatement]) -> PoolStatement:
    summed = [name for name in PoolStatement.__dataclass_fields__ if name not in {"pool", "currency"}]
    return PoolStatement(
        pool=PoolId("all"), currency=currency, **{name: sum(getattr(one, name) for one in parts) for name in summed}
    )
