"""The pool's terms for a compressed day: those of a real pool, in seconds instead of minutes.

Everything that protects the owner and the tenant is in force, only shorter: a minute's demo would otherwise end inside the
first notice. Prices stay per GPU-hour, so bills come out small and exact.
"""

from collections.abc import Mapping
from typing import Any

from sublet.core.units import SECOND_US, from_seconds

PROMISE_US = 8 * SECOND_US
NOTICE_US = from_seconds(1.5)
EXEMPT_US = 2 * SECOND_US
GUARDED_US = 8 * SECOND_US
FIRST_PRICE_MICRO = 1_200_000


def pool_terms() -> Mapping[str, Any]:
    """The body of `PUT /v1/pools/{pool}`."""
    notice = {"grace_us": NOTICE_US, "exempt_us": EXEMPT_US}
    return {
        "classes": ["spot", "guarded"],
        "terms": {"spot": notice, "guarded": {**notice, "terms_us": [GUARDED_US]}},
        "promise": {"within_us": PROMISE_US},
        "detection_us": from_seconds(0.5),
        "stop_us": SECOND_US,
        "handover_us": SECOND_US,
        "start_us": SECOND_US,
        "price_micro": FIRST_PRICE_MICRO,
        "price_period_us": SECOND_US,
        "reserve_quantile": 0.7,
        "restart_us": SECOND_US,
        "backoff_us": from_seconds(0.5),
        "backoff_max_us": 4 * SECOND_US,
        "hold_us": 60 * SECOND_US,
    }
