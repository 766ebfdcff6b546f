"""The feedback of GFS: one factor on what is offered, moved by how many leases have failed of late.

It is here for the schedulers that are compared with each other. Our own way is `calibration`: a factor on GPUs has no meaning
as a probability, and it learns from leases, which come and go with the market, not from windows.
"""

from dataclasses import dataclass

from sublet.core.errors import Invalid
from sublet.core.forecast.window import Bools, Ints
from sublet.core.units import HOUR_US

ETA_MIN, ETA_MAX = 0.05, 1.5
TRAILING_US = 4 * HOUR_US
WAITED_US = HOUR_US
"""Only if a request has waited for so long is more offered."""


@dataclass(frozen=True, slots=True)
class Ends:
    """How many leases ended within the last four hours: reclaimed, and as they wished."""

    failed: int
    succeeded: int

    @property
    def failed_share(self) -> float:
        """0 when nothing ended: nobody has failed then."""
        return self.failed / max(1, self.failed + self.succeeded)


def recent_ends(ended_us: Ints, failed: Bools, now_us: int) -> Ends:
    """The ends of the last four hours, from the instants (µs) of all ends and whether each was a failure."""
    recent = (ended_us > now_us - TRAILING_US) & (ended_us <= now_us)
    return Ends(int((recent & failed).sum()), int((recent & ~failed).sum()))


def next_eta(eta: float, ends: Ends, *, risk: float, waited_us: int) -> float:
    """The factor for the next period.

    Fewer GPUs are offered when at least one and a half times the accepted share failed, in proportion. More are offered when at
    most half of it failed and the first request in the queue has waited for over an hour: by 1.5 less the failed part of the
    accepted share. (The published code has that fraction upside down, which makes the factor negative.)
    """
    if not 0 < risk < 1:
        raise Invalid(f"a risk of {risk:g}", field="risk", hint="give the accepted reclaim probability, between 0 and 1")
    share = ends.failed_share
    if share >= 1.5 * risk:
        eta *= risk / share
    elif share <= 0.5 * risk and waited_us > WAITED_US:
        eta *= 1.5 - share / risk
    return min(max(eta, ETA_MIN), ETA_MAX)
