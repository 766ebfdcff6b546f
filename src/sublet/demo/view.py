"""The view of a running day: the fleet, the leases, the price and what happens, drawn from the public API.

On a terminal it redraws itself; elsewhere (a log, CI) it prints a line of progress now and then.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sublet.core.units import SECOND_US
from sublet.demo.director import Watch
from sublet.demo.options import Options
from sublet.demo.schedule import Schedule
from sublet.demo.stage import Stage
from sublet.traces import JobTable

COLOURS = {
    "owner": "blue",
    "leased": "green",
    "noticed": "yellow",
    "handover": "magenta",
    "reserve": "cyan",
    "idle": "bright_black",
}
_SPARK = "▁▂▃▄▅▆▇█"
_EVENTS = 9
_PLAIN_EVERY_US = 5 * SECOND_US
_TOLD = ("lease.granted", "lease.noticed", "lease.ended", "lease.queued", "owner.running", "owner.waiting", "alarm.")
_RUNNING = {"active", "noticed"}
_ENDING = {"reserved", "starting", "stopping", "handover"}


@dataclass(slots=True)
class Scene:
    """What the API said last."""

    slots: dict[int, tuple[str, str]] = field(default_factory=dict)  # slot -> (state, whose)
    leases: list[Any] = field(default_factory=list)
    waiting: list[Any] = field(default_factory=list)  # the owner's jobs
    price_micro: int = 0
    reserve: int = 0
    prices: deque[int] = field(default_factory=lambda: deque(maxlen=40))
    told: deque[Any] = field(default_factory=lambda: deque(maxlen=_EVENTS))
    fresh: list[Any] = field(default_factory=list)
    seq: int = 0

    def look(self, stage: Stage) -> None:
        """Ask again."""
        self.leases = stage.owner.get("/v1/leases", limit=50)["items"]
        jobs = stage.owner.get("/v1/jobs", limit=100)["items"]
        pool = stage.owner.get(f"/v1/pools/{stage.pool}")
        self.waiting = [job for job in jobs if job["state"] == "waiting"]
        self.price_micro, self.reserve = pool["price_micro"], pool["reserve"]
        self.prices.append(self.price_micro)
        page = stage.owner.get("/v1/events", after=self.seq, limit=500)
        self.seq = page["last"]
        self.fresh = [event for event in page["items"] if event["kind"].startswith(_TOLD)]
        self.told.extend(self.fresh)
        first = stage.first_slot
        self.slots = {first[node] + gpu: whose for node, gpu, whose in _held(self.leases, jobs)}

    def counts(self, slots: int) -> Mapping[str, int]:
        """GPUs by state, as the bar shows them."""
        held = [state for state, _ in self.slots.values()]
        free = slots - len(held)
        kept = min(free, self.reserve)
        found = {state: held.count(state) for state in ("owner", "leased", "noticed", "handover")}
        return {**found, "reserve": kept, "idle": free - kept}


def _held(leases: list[Any], jobs: list[Any]) -> Iterator[tuple[str, int, tuple[str, str]]]:
    """(node, GPU, (state, whose)) of everything that is held."""
    for lease in leases:
        if lease["state"] not in _RUNNING | _ENDING:
            continue
        state = {"active": "leased", "noticed": "noticed"}.get(lease["state"], "handover")
        for place in lease["placement"]:
            yield from ((place["node"], gpu, (state, lease["tenant"])) for gpu in place["gpus"])
    for job in jobs:
        if job["state"] in {"waiting", "ended"}:
            continue
        state = "handover" if job["state"] == "handover" else "owner"
        for place in job["placement"]:
            yield from ((place["node"], gpu, (state, job["name"])) for gpu in place["gpus"])


def prologue(screen: Console, options: Options, table: JobTable, day: Schedule) -> None:
    """What is about to be played, and what was done to the trace for it."""
    name = str(options.trace) if options.trace else "a team's day on Microsoft's Philly cluster (packaged, real)"
    jobs = f"{len(day.pieces)} owner jobs in {options.hours:g} h"
    remarks = [f"{jobs}, {options.speed:g} times as fast: {options.length_s:.0f} s"]
    if day.share < 1:
        asked = f"the trace asks for more than {options.slots} slots bear"
        remarks.append(f"{asked}: a random {day.share:.1%} of its jobs is played")
    if day.shrunk:
        remarks.append(f"{day.shrunk} jobs were larger than the machine and take all of it")
    remarks += [f"left out {fault.rows} rows: {fault.reason} (first at {fault.first})" for fault in table.faults]
    _say(screen, "trace", name)
    for remark in remarks:
        _say(screen, "", remark)
    pace = options.pace
    promise = f"notice {pace.notice_us / SECOND_US:g} s, GPUs back within {pace.promise_us / SECOND_US:g} s"
    _say(screen, "terms", f"{promise}: a pool's terms with seconds for minutes")


def _say(screen: Console, label: str, text: str) -> None:
    screen.print(Text.assemble((f"{label:<9}", "dim"), text), soft_wrap=True)


@contextmanager
def viewing(screen: Console, stage: Stage, options: Options, day: Schedule) -> Iterator[Watch]:
    """A view for the time of the block; gives what is to be called as time passes."""
    scene = Scene(seq=stage.owner.get("/v1/events", limit=1)["last"])
    _say(screen, "page", stage.page_url)
    if not (options.live and screen.is_terminal):
        yield _plain(screen, scene, stage, options, day)
        return
    with Live(console=screen, auto_refresh=False, transient=True) as live:

        def watch(into_us: int) -> None:
            scene.look(stage)
            live.update(_drawn(scene, stage, options, day, into_us), refresh=True)

        yield watch


def _plain(screen: Console, scene: Scene, stage: Stage, options: Options, day: Schedule) -> Watch:
    due = 0

    def watch(into_us: int) -> None:
        nonlocal due
        if into_us < due:
            return
        due = into_us + _PLAIN_EVERY_US
        scene.look(stage)
        counts = ", ".join(f"{gpus} {state}" for state, gpus in scene.counts(options.slots).items() if gpus)
        screen.print(
            f"{into_us / SECOND_US:5.0f} s of {day.length_us / SECOND_US:.0f}  {counts};"
            f" price {scene.price_micro / 1e6:.4f}; {len(scene.waiting)} owner jobs wait",
            soft_wrap=True,
        )

    return watch


def _drawn(scene: Scene, stage: Stage, options: Options, day: Schedule, into_us: int) -> RenderableType:
    hour = into_us / day.length_us * options.hours
    head = Table.grid(expand=True, padding=(0, 1))
    head.add_column(ratio=1)
    head.add_column(justify="right")
    clock = f"[bold]{int(hour):02d}:{int(hour * 60) % 60:02d}[/] of the day"
    head.add_row(
        f"[bold]Sublet demo[/]   {clock}", f"[dim]page[/] [link={stage.page_url}]{stage.server.settings.base_url}/[/link]"
    )
    bar = ProgressBar(total=day.length_us, completed=min(into_us, day.length_us), complete_style="blue")
    market = Table.grid(expand=True, padding=(0, 2))
    market.add_column(ratio=1)
    market.add_column(ratio=1)
    market.add_row(_price(scene), _queue(scene))
    body = Group(
        head, bar, Text(), _fleet(scene, options.slots), Text(), market, Text(), _leases(scene), Text(), _happened(scene)
    )
    return Panel(body, border_style="bright_black", padding=(0, 1))


def _fleet(scene: Scene, slots: int) -> RenderableType:
    """Each slot as a block in its state's colour, and the count of each state."""
    blocks = Text()
    for slot in range(slots):
        state, _ = scene.slots.get(slot, ("idle", ""))
        blocks.append("██ ", style=COLOURS[state])
    counts = Text("   ")
    for state, gpus in scene.counts(slots).items():
        counts.append(f"{gpus} {state}   ", style=COLOURS[state] if gpus else "dim")
    return Group(blocks + Text() + counts)


def _price(scene: Scene) -> Text:
    return Text.assemble(("price ", "dim"), f"{scene.price_micro / 1e6:.4f} USD a GPU-hour  ", (spark(scene.prices), "cyan"))


def _queue(scene: Scene) -> Text:
    if not scene.waiting:
        return Text("no owner job waits", style="dim")
    wanted = ", ".join(f"{job['name']} ({job['gpus']})" for job in scene.waiting[:4])
    return Text.assemble(("owner waits  ", "bold yellow"), wanted)


def _leases(scene: Scene) -> RenderableType:
    made = Table(box=None, pad_edge=False, header_style="dim", expand=True)
    for heading in ("tenant", "lease", "class", "state"):
        made.add_column(heading, no_wrap=True)
    for heading in ("GPUs", "bid", "pays", "attempt", "reclaimed"):
        made.add_column(heading, justify="right")
    living = [lease for lease in scene.leases if lease["state"] != "ended"]
    order = sorted(living, key=lambda lease: (lease["state"] not in _RUNNING | _ENDING, lease["tenant"], lease["requested_us"]))
    for lease in order[:8]:
        state = lease["state"]
        colour = "green" if state == "active" else "yellow" if state == "noticed" else "magenta" if state in _ENDING else "dim"
        pays = f"{lease['price_micro'] / 1e6:.4f}" if state in _RUNNING and lease["price_micro"] is not None else "-"
        made.add_row(
            escape(lease["tenant"]), escape(lease["name"]), lease["class"], f"[{colour}]{state}[/]", str(lease["gpus"]),
            f"{lease['bid_micro'] / 1e6:.2f}", pays, str(lease["attempt"]), str(lease["reclaims"]),
        )  # fmt: skip
    return made if order else Text("no lease", style="dim")


def _happened(scene: Scene) -> RenderableType:
    lines = Text(no_wrap=True, overflow="ellipsis")
    for event in list(scene.told):
        who = event["tenant"] or "owner"
        colour = "yellow" if event["kind"] == "lease.noticed" else "blue" if event["kind"].startswith("owner") else "default"
        what = event["data"].get("name") or ""
        lines.append(f"{who:<9}", style="dim")
        lines.append(f"{event['kind'].partition('.')[2]:<9}", style=colour)
        lines.append(f"{what:<11}")
        lines.append(f"{event['reason']}\n", style="dim")
    return lines


def spark(values: "deque[int] | list[float]") -> str:
    """A line of bars from the lowest to the highest value."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return _SPARK[0] * len(values)
    return "".join(_SPARK[int((value - low) / (high - low) * (len(_SPARK) - 1))] for value in values)
