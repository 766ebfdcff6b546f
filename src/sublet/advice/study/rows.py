"""The table of all figures of all policies, row by row, with the clairvoyant bound beside them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sublet.advice.study.fleet import Bound
from sublet.advice.study.headline import yearly
from sublet.advice.study.words import count, length, money, number, price, share
from sublet.sim.figures import Figures, Windows

NONE = "\u2013"
"""Stands where a figure has no meaning."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: `cells` by policy, then that of the bound. Below a line's end stands what is small print."""

    label: str
    says: str
    cells: tuple[str, ...]
    alarm: bool = False  # something is wrong that must not be overlooked


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """What a table is of: policies over some GPUs, with the bounds of the same GPUs."""

    figures: Sequence[Figures]
    bounds: Sequence[Bound]
    gpus: int
    currency: str

    def row(self, label: str, says: str, of: Callable[[Figures], str], bound: str = NONE, *, alarm: bool = False) -> Row:
        """A figure of each policy."""
        return Row(label, says, (*(of(one) for one in self.figures), bound), alarm=alarm)

    def money(self, amount: float) -> str:
        """An amount."""
        return money(amount, self.currency)

    def a_year(self, value: float, like: Figures) -> float:
        """Scaled to a year."""
        return yearly(value, like, self.gpus)


def groups(columns: Columns) -> tuple[Group, ...]:
    """The whole table."""
    return (
        Group("GPU time", tuple(_gpu_time(columns))),
        Group("Guarantees and reclaims", tuple(_reclaims(columns))),
        Group("The owner's jobs", tuple(_owner(columns))),
        Group("Money", tuple(_money(columns))),
    )


def _gpu_time(table: Columns) -> Iterator[Row]:
    idle, like = table.bounds[0], table.figures[0]
    yield table.row("leased, GPU-hours", "over the studied period", lambda one: number(one.leased_gpu_h), number(idle.gpu_h))
    yield table.row(
        "leased, GPU-hours a year",
        "the same, scaled",
        lambda one: number(table.a_year(one.leased_gpu_h, one)),
        number(table.a_year(idle.gpu_h, like)),
    )
    yield table.row(
        "share of the fleet",
        "leased of capacity x time",
        lambda one: share(one.leased_gpu_h / one.fleet_gpu_h),
        share(idle.share),
    )
    for bound in table.bounds:
        what = "of all idle time" if not bound.hours else f"of what is idle {_hours(bound.hours)} in one piece"
        says = f"the bound is {number(bound.gpu_h)} GPU-hours"
        if bound.gpu_h:
            yield table.row(what, says, lambda one, hours=bound.hours: share(one.captured[hours]), share(1.0))  # type: ignore[misc]
        else:
            yield table.row(what, says, lambda _: NONE)
    yield table.row(
        "hand-over", "start, wipe and check: nobody's time", lambda one: share(one.handover_gpu_h / one.fleet_gpu_h)
    )
    yield table.row("kept in reserve", "free on purpose", lambda one: share(one.reserve_gpu_h / one.fleet_gpu_h))


def _reclaims(table: Columns) -> Iterator[Row]:
    for i, window in enumerate(table.figures[0].windows):
        says = "of those offered under a guarantee; 95 % interval, and how many were offered"
        yield table.row(f"windows reclaimed, {_hours(window.hours)}", says, lambda one, i=i: _window(one.windows[i]))  # type: ignore[misc]
    yield table.row(
        "guaranteed leases broken", "of those granted; others were taken back first", lambda one: share(one.broken_guarantees)
    )
    yield table.row("leases", "granted, each attempt once", lambda one: count(one.leases), NONE)
    yield table.row("reclaims", "leases taken back", lambda one: count(one.reclaims), "0")
    yield table.row(
        "reclaims per leased GPU-day", "", lambda one: f"{one.reclaims_per_gpu_day:.3g}" if one.leased_gpu_h else NONE, "0"
    )
    yield table.row("work lost, GPU-hours", "since the last checkpoint", lambda one: number(one.lost_gpu_h), "0")
    yield table.row("work lost, of the leased time", "", lambda one: share(one.lost_share), share(0))


def _window(one: Windows) -> str:
    if not one.offered:
        return NONE
    low = share(one.low).removesuffix("%").rstrip()
    return f"{share(one.reclaimed)}\n{low}\u2013{share(one.high)}\n{count(one.offered)}"


def _owner(table: Columns) -> Iterator[Row]:
    yield table.row("jobs", "that came or started while the market was open", lambda one: count(one.delays.jobs))
    yield table.row("jobs that waited", "at all, for leased GPUs", lambda one: count(one.delays.waited), "0")
    for label, says, of in (
        ("wait, mean", "over all jobs", lambda one: length(one.delays.mean_s)),
        ("wait, half of the jobs at most", "", lambda one: length(one.delays.p50_s)),
        ("wait, 99 of 100 jobs at most", "", lambda one: length(one.delays.p99_s)),
        ("wait, the longest", "", lambda one: length(one.delays.max_s)),
        ("promised", "the hand-back promise", lambda one: length(one.delays.promise_s)),
    ):
        yield table.row(label, says, of, NONE if label == "promised" else length(0))
    broken = any(one.delays.broken for one in table.figures)
    yield table.row("promises broken", "jobs that waited longer", lambda one: count(one.delays.broken), "0", alarm=broken)
    if all(one.later is not None for one in table.figures):
        yield from _against(table)
    yield table.row("never started", "still waited for the owner's own work at the end", lambda one: count(one.unstarted))


def _against(table: Columns) -> Iterator[Row]:
    said = "against the replay with nothing leased"
    for label, of in (
        ("start later by, mean", lambda one: _signed(one.later.mean_s)),
        ("start later by, 99 of 100 at most", lambda one: _signed(one.later.p99_s)),
        ("start later by, the most", lambda one: _signed(one.later.max_s)),
        ("jobs later by more than the promise", lambda one: count(one.later.broken)),
        ("jobs earlier by more than the promise", lambda one: count(one.later.earlier)),
    ):
        yield table.row(label, said, of)


def _money(table: Columns) -> Iterator[Row]:
    idle, like = table.bounds[0], table.figures[0]
    for label, says, of in (
        ("revenue", "over the studied period, billed", lambda one: table.money(one.revenue)),
        ("refunds", "of broken guarantees", lambda one: table.money(-one.refunds)),
        ("credits", "owed for broken guarantees", lambda one: table.money(-one.credits)),
        ("cost", "energy, wear and operations of the leased time", lambda one: table.money(-one.cost)),
    ):
        yield table.row(label, says, of)
    yield table.row("net", "over the studied period", lambda one: table.money(one.net), table.money(idle.net))
    yield table.row(
        "net a year",
        "the same, scaled",
        lambda one: table.money(table.a_year(one.net, one)),
        table.money(table.a_year(idle.net, like)),
    )
    bound = price(idle.net / like.fleet_gpu_h, table.currency) if like.fleet_gpu_h else NONE
    yield table.row("net for each GPU-hour of the fleet", "", lambda one: price(one.net_per_gpu_h, table.currency), bound)


def _signed(seconds: float) -> str:
    return f"-{length(-seconds)}" if seconds < 0 else length(seconds)


def _hours(hours: float) -> str:
    return f"{hours:g} h" if hours <= 48 else f"{hours / 24:g} days"
