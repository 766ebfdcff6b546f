"""An engine in memory that obeys like a real one: for tests, simulations and dry runs.

Time is its clock and nothing else: a run starts, ends by itself or meets its deadline when the clock has passed that
instant, whenever somebody looks. How workloads act is scripted by `behave`, or from outside with `finish`, `crash_node`,
`checkpoint` and `fail_clean`. It is fast: ten thousand runs start and are seen in well under a second, and a later look costs
what has happened since.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import NodeId, RunId
from sublet.core.units import SECOND_US
from sublet.engines.protocol import Capabilities, NodeSeen, NoticeOrder, OwnerWork, Phase, Seen, StartOrder, StopOrder
from sublet.engines.showing import Showcase

KILLED = -9
TERMINATED = -15


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a workload acts. Durations in µs."""

    runs_us: int | None = None  # None: it never ends by itself
    exit_code: int = 0
    stops_us: int | None = 0  # from the signal of a stop to its end; None: it ignores it
    stop_code: int = TERMINATED
    notice_us: int | None = None  # from notice to its own end; None: it goes on till the deadline
    notice_code: int = 85
    saves: bool = False  # marks a checkpoint when it heeds a notice


@dataclass(slots=True)
class _Run:
    """One run and the instants at which something happens to it."""

    name: RunId
    order: StartOrder | None  # None: stopped before it was started
    behaviour: Behaviour
    ready_us: int  # when it is RUNNING
    kills: dict[str, int] = field(default_factory=dict)  # reason -> instant at which the engine ends it
    own_end: tuple[int, int] | None = None  # (instant, exit code) at which it ends itself
    exited: tuple[int, int | None, str] | None = None  # (instant, exit code, reason)
    saved_us: int | None = None
    save_at_us: int | None = None
    notice: NoticeOrder | None = None
    verdict: Phase | None = None
    taken: tuple[int, int] | None = None  # (said, done) by the owner's own scheduler
    output: bytes = b""


def ordinary(_: StartOrder) -> Behaviour:
    """Runs until it is told to end, and then obeys."""
    return Behaviour()


class FakeEngine:
    """Runs that exist only here."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        nodes: int | Sequence[NodeSeen] = 1,
        gpus: int = 8,
        gpu_model: str = "fake",
        start_us: int = 0,
        behave: Callable[[StartOrder], Behaviour] = ordinary,
    ) -> None:
        self._clock = clock
        self._start_us = start_us
        self._behave = behave
        self._runs: dict[RunId, _Run] = {}
        self._showcase = Showcase()
        self._touched: deque[RunId] = deque()  # runs to which something was done since the last look
        self._ahead: list[tuple[int, RunId]] = []  # a heap: instants at which the clock alone changes something
        self._unclean: set[RunId] = set()
        if isinstance(nodes, int):
            nodes = [NodeSeen(NodeId(f"node-{number:05d}"), gpus, gpu_model) for number in range(nodes)]
        self._nodes = {node.id: node for node in nodes}
        self.volumes: set[str] = set()
        self.queue: list[OwnerWork] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Everything, for nothing."""
        return Capabilities(
            name="fake",
            isolation="nothing runs, so nothing is separated",
            survives_control_plane=False,
            endpoint_host="127.0.0.1",
            owner_queue=self.queue is not None,
        )

    @property
    def looked_us(self) -> int | None:
        """Always now."""
        return None

    def nodes(self) -> Sequence[NodeSeen]:
        """All nodes, those that crashed too."""
        return list(self._nodes.values())

    def start(self, orders: Sequence[StartOrder]) -> None:
        """Take each order unless the run is known."""
        failures = [failure for order in orders if (failure := self._start(order))]
        if failures:
            raise failures[0]

    def _start(self, order: StartOrder) -> Invalid | None:
        if order.run in self._runs:
            return None
        for node, mask in order.placement:
            seen = self._nodes.get(node)
            if seen is None or mask <= 0 or mask >> seen.gpus:
                return Invalid(f"run {order.run} wants GPUs {mask:#x} of {node}, which are not there", field="placement")
        ready = self._clock() + self._start_us
        behaviour = self._behave(order)
        run = _Run(order.run, order, behaviour, ready)
        if order.kill_at_us is not None:
            run.kills["term"] = order.kill_at_us
        if order.workload.max_seconds is not None:
            run.kills["max_seconds"] = ready + order.workload.max_seconds * SECOND_US
        if behaviour.runs_us is not None:
            run.own_end = (ready + behaviour.runs_us, behaviour.exit_code)
        if order.volume is not None:
            self.volumes.add(order.volume)
        self._runs[order.run] = run
        self._touched.append(order.run)
        return None

    def notify(self, orders: Sequence[NoticeOrder]) -> None:
        """The first notice of a run is heeded; an earlier deadline replaces a later one."""
        for order in orders:
            run = self._alive(order.run)
            if run is None or (run.notice is not None and order.deadline_us >= run.notice.deadline_us):
                continue
            heeds = run.notice is None and run.behaviour.notice_us is not None
            run.notice = order
            run.kills["notice"] = order.deadline_us
            if heeds:
                assert run.behaviour.notice_us is not None
                end = max(self._clock(), run.ready_us) + run.behaviour.notice_us
                run.save_at_us = end if run.behaviour.saves else None
                self._end_self(run, end, run.behaviour.notice_code)
            self._touched.append(run.name)

    def stop(self, orders: Sequence[StopOrder]) -> None:
        """The first stop is heeded; a shorter grace replaces a longer one."""
        for order in orders:
            now = self._clock()
            if order.run not in self._runs:
                self._runs[order.run] = _Run(order.run, None, Behaviour(), now)
                self._runs[order.run].exited = (now, None, "stopped before it was started")
                self._touched.append(order.run)
                continue
            run = self._alive(order.run)
            if run is None:
                continue
            first = "stop" not in run.kills
            run.kills["stop"] = min(run.kills.get("stop", now + order.grace_us), now + order.grace_us)
            if now < run.ready_us:
                run.exited = (now, None, "stopped before it was started")
            elif first and run.behaviour.stops_us is not None:
                self._end_self(run, now + run.behaviour.stops_us, run.behaviour.stop_code)
            self._touched.append(run.name)

    def clean(self, runs: Sequence[RunId]) -> None:
        """A verdict for each exited run; CLEAN is for good."""
        for name in runs:
            run = self._runs.get(name)
            if run is not None and self._advance(run).exited is not None and run.verdict is not Phase.CLEAN:
                run.verdict = Phase.DIRTY if name in self._unclean else Phase.CLEAN
                self._touched.append(name)

    def observe(self) -> Mapping[RunId, Seen]:
        """All runs as the clock makes them."""
        now, anew = self._clock(), set[RunId]()
        while self._ahead and self._ahead[0][0] <= now:
            anew.add(heapq.heappop(self._ahead)[1])
        while self._touched:
            anew.add(self._touched.popleft())
        for name in anew:
            run = self._runs.get(name)
            if run is None:
                self._showcase.drop(name)
            else:
                self._showcase.put(name, self._see(self._advance(run), now))
                for at in self._instants(run):
                    if at > now:
                        heapq.heappush(self._ahead, (at, name))
        return self._showcase.shown()

    @staticmethod
    def _instants(run: _Run) -> list[int]:
        """When the clock alone changes what is to be seen of a run."""
        if run.exited is not None:
            return []
        ends = [] if run.own_end is None else [run.own_end[0]]
        saves = [] if run.save_at_us is None else [run.save_at_us]
        return [run.ready_us, *run.kills.values(), *ends, *saves]

    def owner_work(self) -> Sequence[OwnerWork] | None:
        """What a test put into `queue`; None: the owner's jobs are queued with us."""
        return None if self.queue is None else list(self.queue)

    def host_of(self, node: NodeId) -> str:
        """Here: nothing runs anywhere else."""
        del node
        return self.capabilities.endpoint_host

    def show_life(self) -> None:
        """Nothing waits for our silence."""

    def forget(self, runs: Sequence[RunId]) -> None:
        """Drop runs that have a verdict."""
        for name in runs:
            run = self._runs.get(name)
            if run is not None and run.verdict is not None:
                del self._runs[name]
                self._touched.append(name)

    def discard(self, volume: str) -> None:
        """Drop a volume."""
        self.volumes.discard(volume)

    def logs(self, run: RunId, *, offset: int = 0) -> Iterator[bytes]:
        """What `say` put there."""
        if run not in self._runs:
            raise NotFound(f"this engine knows no run {run}", field="run")
        text = self._runs[run].output[offset:]
        return iter([text] if text else [])

    # Scripting: what a test or a simulation lets happen.

    def finish(self, run: RunId, code: int = 0) -> None:
        """The workload ends now by itself."""
        alive = self._known(run)
        if alive.exited is None:
            alive.exited = (self._clock(), code, "")
            self._touched.append(run)

    def take(self, run: RunId, *, by_us: int) -> None:
        """The owner's own scheduler takes the GPUs: it says so now, and ends the run then."""
        alive = self._known(run)
        if alive.exited is None:
            alive.taken = (self._clock(), by_us)
            alive.kills["preempted"] = by_us
            self._advance(alive)
            self._touched.append(run)

    def checkpoint(self, run: RunId) -> None:
        """The workload marks a checkpoint now."""
        self._known(run).saved_us = self._clock()
        self._touched.append(run)

    def say(self, run: RunId, text: bytes) -> None:
        """The workload prints."""
        self._known(run).output += text

    def crash_node(self, node: NodeId) -> None:
        """The node fails: what ran there is lost, and it is unhealthy until `repair_node`."""
        self._nodes[node] = replace(self._nodes[node], healthy=False, detail="crashed")
        for run in self._runs.values():
            if run.order is not None and any(name == node for name, _ in run.order.placement):
                self._advance(run)
                run.exited = run.exited or (self._clock(), None, f"node {node} crashed")
                self._touched.append(run.name)

    def repair_node(self, node: NodeId) -> None:
        """The node is well again."""
        self._nodes[node] = replace(self._nodes[node], healthy=True, detail="")

    def fail_clean(self, run: RunId, *, fail: bool = True) -> None:
        """Hand-overs of this run fail from now on (or no longer)."""
        (self._unclean.add if fail else self._unclean.discard)(run)

    def notice_of(self, run: RunId) -> NoticeOrder | None:
        """The notice in force, as the workload would read it."""
        return self._known(run).notice

    def _known(self, name: RunId) -> _Run:
        run = self._runs.get(name)
        if run is None:
            raise NotFound(f"this engine knows no run {name}", field="run")
        return self._advance(run)

    def _alive(self, name: RunId) -> _Run | None:
        run = self._runs.get(name)
        if run is None or self._advance(run).exited is not None:
            return None
        return run

    @staticmethod
    def _end_self(run: _Run, at_us: int, code: int) -> None:
        if run.own_end is None or at_us < run.own_end[0]:
            run.own_end = (at_us, code)

    def _advance(self, run: _Run) -> _Run:
        """Let happen what the clock has passed."""
        if run.exited is not None:
            return run
        now = self._clock()
        if run.own_end is not None and run.own_end[0] <= now:
            run.exited = (*run.own_end, "")
        if run.kills:
            reason, at = min(run.kills.items(), key=lambda item: item[1])
            if at <= now and (run.exited is None or at < run.exited[0]):
                run.exited = (at, KILLED, reason)
        ended_us = run.exited[0] if run.exited is not None else now
        if run.save_at_us is not None and run.save_at_us <= ended_us:
            run.saved_us, run.save_at_us = run.save_at_us, None
        return run

    @staticmethod
    def _see(run: _Run, now: int) -> Seen:
        if run.exited is None:
            if now < run.ready_us:
                return Seen(run.name, Phase.STARTING)
            said, by = run.taken or (None, None)
            return Seen(
                run.name,
                Phase.RUNNING,
                started_us=run.ready_us,
                checkpoint_us=run.saved_us,
                taken_us=said,
                taken_by_us=by,
            )
        at, code, reason = run.exited
        started = run.ready_us if run.order is not None and run.ready_us <= at and "before" not in reason else None
        phase = run.verdict or Phase.EXITED
        return Seen(
            run=run.name,
            phase=phase,
            started_us=started,
            exited_us=at,
            exit_code=code if started is not None else None,
            checkpoint_us=run.saved_us,
            evidence={"ended_by": reason} if reason else {},
            taken_us=None if run.taken is None or reason != "preempted" else run.taken[0],
        )
