"""Time and money as integers.

Instants are microseconds since the Unix epoch (`*_us`), on a grid of 1/64 s: a whole number of 15,625 µs. On that grid a
count of seconds is exact as an integer *and* as a binary floating-point number, so sums come out the same in SQL, JSON, a
spreadsheet and a browser. Money is micro-units of one currency (`*_micro`); prices are micro-units for one GPU-hour.
"""

TICK_US = 15_625  # 1/64 s
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
MICRO = 1_000_000  # micro-units in one unit of currency


def on_grid(us: int) -> int:
    """The last grid instant not after `us`."""
    return us - us % TICK_US


def seconds(us: int) -> float:
    """`us` in seconds; exact for any duration on the grid."""
    return us / SECOND_US


def from_seconds(s: float) -> int:
    """A duration of `s` seconds in µs, rounded up to the grid (a promise must not shrink by rounding)."""
    return -(-round(s * SECOND_US) // TICK_US) * TICK_US


def charge_micro(gpu_us: int, price_micro: int) -> int:
    """What `gpu_us` GPU-microseconds cost at `price_micro` for a GPU-hour, in micro-units, half a unit rounded up.

    The only place where time becomes money; rating, holds and credits all call it.
    """
    assert gpu_us >= 0 and price_micro >= 0
    return (2 * gpu_us * price_micro + HOUR_US) // (2 * HOUR_US)


def said(us: int) -> str:
    """A length of time as people say it: in hours, minutes or seconds, whichever comes out whole."""
    for unit_us, name in ((HOUR_US, "h"), (MINUTE_US, "min")):
        if us >= unit_us and us % unit_us == 0:
            return f"{us // unit_us} {name}"
    return f"{us / SECOND_US:g} s"
