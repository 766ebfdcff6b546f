"""What each lease class promises, and what a pool is sold under.

`TERMS` holds the defaults of the contract; a pool may set its own lengths (`Pool.terms`). Durations in µs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.units import DAY_US, HOUR_US, MINUTE_US, SECOND_US


class Breaking(StrEnum):
    """What it takes the owner to end a lease early."""

    FREE = "free"  # notice
    CREDIT = "credit"  # notice, refund and credit
    FORCE = "force"  # the owner's explicit, audited force, and a credit
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ClassTerms:
    """The contract of one class."""

    grace_us: int  # length of the notice
    exempt_us: int  # a lease runs at least this long from its grant before a reclaim can end it
    breaking: Breaking
    refunds: bool = False  # a reclaim gives back what the attempt was billed
    credit_multiple: int = 0  # times the price of the whole term, owed on a reclaim
    terms_us: tuple[int, ...] = ()  # the lengths it is sold for; empty: open-ended or any


BACK_OFF_PER_LOSS = 12
"""A reclaimed lease waits at most so many times what its reclaim cost (docs/decisions/0037)."""

TERMS: Mapping[LeaseClass, ClassTerms] = {
    LeaseClass.SPOT: ClassTerms(grace_us=120 * SECOND_US, exempt_us=120 * SECOND_US, breaking=Breaking.FREE),
    LeaseClass.GUARDED: ClassTerms(
        grace_us=300 * SECOND_US,
        exempt_us=300 * SECOND_US,
        breaking=Breaking.CREDIT,
        refunds=True,
        credit_multiple=1,
        terms_us=(HOUR_US, 4 * HOUR_US, 8 * HOUR_US, 24 * HOUR_US),
    ),
    LeaseClass.BLOCK: ClassTerms(grace_us=24 * HOUR_US, exempt_us=0, breaking=Breaking.FORCE, refunds=True, credit_multiple=10),
    LeaseClass.DEDICATED: ClassTerms(grace_us=30 * 24 * HOUR_US, exempt_us=0, breaking=Breaking.NEVER),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """The hand-back promise: `gpus` of the pool within `within_us` of the owner asking. None: every GPU of the pool."""

    within_us: int = 600 * SECOND_US
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class CostSheet:
    """What a leased GPU-hour costs the owner beyond leaving it idle; the published floor is computed from it.

    Watts are for one GPU with its share of the node; `tariff_micro_kwh` is micro-units a kWh; the rest micro-units a GPU-hour.
    """

    busy_w: int = 1_000
    idle_w: int = 250
    pue_permille: int = 1_100
    tariff_micro_kwh: int = 80_000
    wear_micro: int = 10_000
    operations_micro: int = 20_000
    depreciation_micro: int = 850_000  # runs whether leased or not: shown beside the margin, not in the floor


@dataclass(frozen=True, slots=True)
class BlockSale:
    """How a pool sells blocks: whole nodes from a start to an end, bought ahead. Durations in µs."""

    limit: int | None = None  # whole nodes that may be blocks at once; None: no block is sold
    window_us: int = HOUR_US  # blocks start and end on this grid; the time between two of its lines is a delivery window
    lead_us: int = 30 * MINUTE_US  # a block is sold at the latest so long before its start
    ahead_us: int = 28 * DAY_US  # and starts at most so far ahead
    length_min_us: int = HOUR_US
    length_max_us: int = 14 * DAY_US
    auction_us: int = 5 * MINUTE_US  # orders compete in auctions on this grid
    least_micro: int = 0  # a GPU-hour of a block costs at least this, where that is more than the floor
    sell_back_bps: int = 5_000  # the owner buys what a tenant does not need for this share of its price


@dataclass(frozen=True, slots=True)
class Pool:
    """Like nodes sold on equal terms, and the owner's settings for them."""

    id: PoolId
    gpu_model: str
    site: str = "local"
    currency: str = "USD"
    classes: tuple[LeaseClass, ...] = (LeaseClass.SPOT, LeaseClass.GUARDED)
    terms: Mapping[LeaseClass, ClassTerms] = field(default_factory=lambda: dict(TERMS))
    promise: Promise = field(default_factory=Promise)
    detection_us: int = 5 * SECOND_US  # longest from the owner's submission to our seeing it
    stop_us: int = 10 * SECOND_US  # from the end signal to the kill
    handover_us: int = 60 * SECOND_US  # longest wipe and check
    start_us: int = 10 * SECOND_US  # longest from a start order to a running process
    pricing: str = "uniform"  # a key of PRICING
    price_micro: int = 1_600_000  # of the fixed policy, and where the uniform policy starts
    price_period_us: int = MINUTE_US  # the clearing price moves at most once in this time
    smoothing_bps: int = 2_000  # and then by at most this share of itself; 0: no bound
    cost: CostSheet = field(default_factory=CostSheet)
    forecast: str = "window_max_quantile"  # a key of FORECASTS
    reserve_quantile: float = 0.9  # of the owner's rise within detection + notice + hand-over
    reserve_min: int = 0
    lending_limit: int | None = None  # GPUs lent at once at most; None: all
    lending_risk: float | None = None  # lend no more than the owner leaves over with at most this risk; None: whatever is idle
    lending_horizon_us: int = 4 * HOUR_US  # the time over which that risk is judged
    reclaim_limit: int | None = None  # GPUs one plan may reclaim unless forced; None: no limit
    evictions_per_tenant: int | None = None  # a tenant with more reclaims in the window below is taken last; None: no bound
    evictions_window_us: int = 24 * HOUR_US
    victim_order: str = "least_loss"  # a key of VICTIM_ORDERS
    restart_us: int = MINUTE_US  # assumed cost of a restart, in the victim's loss and for the back-off after it
    backoff_us: int = MINUTE_US  # a reclaimed lease waits this long, doubling
    backoff_max_us: int = HOUR_US
    hold_us: int = HOUR_US  # spend reserved ahead for a running lease
    blocks: BlockSale = field(default_factory=BlockSale)

    @property
    def turnround_us(self) -> int:
        """From the end of a lease until its GPUs may be given to the next, at most: stop, hand-over, and our seeing both."""
        return self.detection_us + self.stop_us + self.handover_us

    def back_off_us(self, reclaims: int, *, lost_us: int | None = None) -> int:
        """How long a lease waits at most after its n-th reclaim (`lifecycle.after_handover`).

        It doubles; where it is known what the reclaim cost, it is no more than `BACK_OFF_PER_LOSS` times that.
        """
        doubled = min(self.backoff_us << min(max(0, reclaims - 1), 30), self.backoff_max_us)
        return doubled if lost_us is None else min(doubled, max(self.backoff_us, BACK_OFF_PER_LOSS * lost_us))

    def longest_handback_us(self, grace_us: int, exempt_left_us: int) -> int:
        """From the owner's submission to GPUs in the owner's hands, at the latest: notice and exempt window overlap."""
        return max(grace_us, exempt_left_us) + self.turnround_us + self.start_us


def term_of(terms: ClassTerms, term_us: int | None, hold_us: int) -> int:
    """The horizon over which a lease's risk is judged: its term, or the stretch that is paid ahead."""
    return term_us or (terms.terms_us[0] if terms.terms_us else hold_us)


def hold_window_us(pool: Pool, term_us: int | None) -> int:
    """How far ahead the spend of a lease is reserved: the pool's window, or its whole term where that is shorter."""
    return min(pool.hold_us, term_us) if term_us else pool.hold_us


def is_unbreakable(terms: ClassTerms) -> bool:
    """Whether only force ends a lease on these terms, or nothing does."""
    return terms.breaking in {Breaking.FORCE, Breaking.NEVER}


def worst_handback_us(pool: Pool, terms: ClassTerms, grace_us: int) -> int | None:
    """The longest hand-back of a lease on these terms, right after its grant; None: not without force."""
    return None if is_unbreakable(terms) else pool.longest_handback_us(grace_us, terms.exempt_us)
