"""The pool's terms for a compressed day: those of a real pool, in seconds instead of minutes.

Everything that protects the owner and the tenant is in force, only shorter: a minute's demo would otherwise end inside the
first notice. Prices stay per GPU-hour, so bills come out small and exact. On a cluster, whose scheduler needs a second or two
for every start, all of it takes three times as long.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sublet.core.units import SECOND_US, from_seconds

FIRST_PRICE_MICRO = 1_200_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long everything takes, `stretch` times what this machine needs."""

    stretch: int = 1

    @property
    def promise_us(self) -> int:
        """The hand-back promise."""
        return 8 * self.stretch * SECOND_US

    @property
    def notice_us(self) -> int:
        """Notice of every class."""
        return from_seconds(1.5 * self.stretch)

    @property
    def guarded_us(self) -> int:
        """The one length that guarded leases are sold for."""
        return 8 * self.stretch * SECOND_US


HERE = Pace()
"""On this machine."""


def pool_terms(pace: Pace) -> Mapping[str, Any]:
    """The body of `PUT /v1/pools/{pool}`."""
    notice = {"grace_us": pace.notice_us, "exempt_us": 2 * pace.stretch * SECOND_US}
    return {
        "classes": ["spot", "guarded"],
        "terms": {"spot": notice, "guarded": {**notice, "terms_us": [pace.guarded_us]}},
        "promise": {"within_us": pace.promise_us},
        "detection_us": from_seconds(0.5 * pace.stretch),
        "stop_us": pace.stretch * SECOND_US,
        "handover_us": pace.stretch * SECOND_US,
        "start_us": pace.stretch * SECOND_US,
        "price_micro": FIRST_PRICE_MICRO,
        "price_period_us": SECOND_US,
        "reserve_quantile": 0.7,
        "restart_us": SECOND_US,
        "backoff_us": from_seconds(0.5 * pace.stretch),
        "backoff_max_us": 4 * pace.stretch * SECOND_US,
        "hold_us": 60 * pace.stretch * SECOND_US,
    }
