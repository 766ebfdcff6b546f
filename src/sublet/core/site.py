"""A site: where it is and whose, and what its power and storage bear at once. Pools name theirs in `Pool.site`."""

from dataclasses import dataclass

from sublet.core.residency.lists.accelerators import NOTHING_RUNS
from sublet.core.residency.values import Place
from sublet.core.terms import Pool


@dataclass(frozen=True, slots=True)
class Site:
    """The owner's settings for one site. None sets no bound, and as a fact is unknown; a site without settings has neither."""

    id: str
    ramp_kw_per_min: int | None = None  # load that may fall away within any minute
    save_gb_s: int | None = None  # that all checkpoints together may be written with
    state_gb: int = 80  # that are to be saved for one GPU
    country: str | None = None  # ISO 3166-1 alpha-2
    operator: str | None = None
    operator_country: str | None = None  # the seat of the operator, or of the parent that controls it
    regimes: tuple[str, ...] = ()  # keys of residency.lists
    certifications: tuple[str, ...] = ()
    safeguards: tuple[str, ...] = ()
    checkpoints_at: str | None = None  # the site that keeps its checkpoints; None: itself
    logs_at: str | None = None  # the site that keeps what its workloads print; None: itself

    def place(self, accelerator: str | None = None) -> Place:
        """The site as residency rules see it; without an accelerator nothing runs there, it keeps files only."""
        return Place(
            name=self.id,
            country=self.country,
            operator=self.operator,
            operator_country=self.operator_country,
            regimes=self.regimes,
            certifications=self.certifications,
            safeguards=self.safeguards,
            accelerator=accelerator or NOTHING_RUNS,
        )

    @property
    def bounds(self) -> bool:
        """Whether it bounds anything."""
        return self.ramp_kw_per_min is not None or self.save_gb_s is not None

    @property
    def ramp_w(self) -> int | None:
        """Watts that may fall away within any minute."""
        return None if self.ramp_kw_per_min is None else self.ramp_kw_per_min * 1_000

    @property
    def save_mb_s(self) -> int | None:
        """Megabytes a second."""
        return None if self.save_gb_s is None else self.save_gb_s * 1_000

    @property
    def state_mb(self) -> int:
        """Megabytes that are to be saved for one GPU."""
        return self.state_gb * 1_000


def shed_w(pool: Pool) -> int:
    """Watts by which the site's load falls when one GPU of the pool goes from busy to idle, rounded up."""
    cost = pool.cost
    return -(-max(0, cost.busy_w - cost.idle_w) * cost.pue_permille // 1_000)
