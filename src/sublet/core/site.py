"""A site: what its power and its storage bear when many leases end there at once. Pools name theirs in `Pool.site`."""

from dataclasses import dataclass

from sublet.core.terms import Pool


@dataclass(frozen=True, slots=True)
class Site:
    """The owner's settings for one site; None sets no bound. A pool whose site has no settings is bound by nothing."""

    id: str
    ramp_kw_per_min: int | None = None  # load that may fall away within any minute
    save_gb_s: int | None = None  # that all checkpoints together may be written with
    state_gb: int = 80  # that are to be saved for one GPU

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
