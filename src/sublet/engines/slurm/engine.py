"""The engine that runs leases as batch jobs of a Slurm cluster.

What is true is in two places that survive us: Slurm's queue, where each job carries its run in its comment, and the runs'
directories on a file system that the nodes share. A fresh engine takes over by looking at both, with its first look: until
then it may belong to a control plane that only stands ready. Whoever makes a run's `taken` link first decides it, so a job
that was queued twice still runs once, and a run that was ended before it began never starts.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from sublet.core.errors import Invalid, NotFound, SubletError, Unavailable
from sublet.core.ids import NodeId, RunId
from sublet.core.model import ON_ITS_NODE
from sublet.engines.local import environment, output, records
from sublet.engines.local.observation import never_started
from sublet.engines.local.rundir import RunDir
from sublet.engines.local.trees import remove_tree
from sublet.engines.orders import each, name_of_place, on_disk, remove, safe_name
from sublet.engines.protocol import Capabilities, NodeSeen, NoticeOrder, OwnerWork, Phase, Seen, StartOrder, StopOrder
from sublet.engines.slurm import observation, shipping
from sublet.engines.slurm.agent import TAKEN
from sublet.engines.slurm.cleaning import verdict
from sublet.engines.slurm.configuration import Configuration
from sublet.engines.slurm.jobs import FINAL, WAITING, Job
from sublet.engines.slurm.net import ALIVE
from sublet.engines.slurm.observation import BURIED, NEVER
from sublet.engines.slurm.owner import owner_work
from sublet.engines.slurm.preparation import batch_script, draft, prepare
from sublet.engines.slurm.queue import Look, Queue
from sublet.engines.slurm.site import Cluster
from sublet.engines.slurm.submission import submission
from sublet.engines.slurm.transport import WAKE_SIGNAL, Refused, Transport

JOB_RECORD = "job.json"
ALIVE_EVERY_S = 2.0
LOST_S = 60.0
"""A job that Slurm does not know is given up so long after it was queued; slurmctld saves its state every few seconds."""
FENCE_S = 10.0
"""How long the agent of a run that was lost with its node may take to say that it ended it; it looks every 2 s."""
STARTING_S = 1.0
"""How long jobs are queued in one call, or longer by one job."""
MERCY_S = 5
"""How long after its deadline a run that its agent did not end is ended through Slurm."""

Item = TypeVar("Item")


class SlurmEngine:
    """Runs on the nodes of a cluster whose owner goes on using it as before."""

    def __init__(self, cluster: Cluster, transport: Transport, configuration: Configuration) -> None:
        """`transport` reaches the cluster; `configuration` is its own, as far as it concerns us."""
        self._cluster, self._transport, self._configuration = cluster, transport, configuration
        self._queue = Queue(cluster, transport)
        self._born_s = time.monotonic()
        self._fixed: dict[Path, dict[str, dict[str, Any]]] = {}  # by run and name
        self._final: dict[RunId, Seen] = {}
        self._queued_s: dict[RunId, float] = {}  # when we queued it, by the steady clock
        self._runs: set[RunId] = set()
        self._took_over = False
        self._to_wake: set[int] = set()  # jobs whose agents have new orders
        self._doomed: set[int] = set()  # jobs to be cancelled
        self._fencing_s: dict[RunId, float] = {}
        self._looked_us: int | None = None
        self._hosts: dict[NodeId, str] = {}
        self._shown_s = float("-inf")
        try:
            shipping.writable(cluster.shared)
            self._agent = shipping.ship(cluster.shared)
            self._place = name_of_place(cluster.shared)
        except OSError as error:
            hint = "it must be a directory that this user can write here and on every node (slurm_shared)"
            raise Unavailable(f"{cluster.shared}: {error.strerror}", field="slurm_shared", hint=hint) from error

    @property
    def capabilities(self) -> Capabilities:
        """What it can do in this cluster."""
        return Capabilities(
            name="slurm",
            isolation=self._configuration.isolation,
            owner_queue=True,
            place=self._place,
            endpoint_host=ON_ITS_NODE,
            programs=self._cluster.programs,
        )

    @property
    def looked_us(self) -> int | None:
        """When the last look at the queue was asked for."""
        return self._looked_us

    def nodes(self) -> Sequence[NodeSeen]:
        """Every node with GPUs; drained, down and failing ones are unhealthy."""
        seen = self._queue.nodes().values()
        return [NodeSeen(NodeId(n.name), n.gpus, n.gpu_type, not n.problem, n.problem) for n in seen if n.gpus]

    def host_of(self, node: NodeId) -> str:
        """As slurmctld itself reaches it; asked once."""
        if node not in self._hosts:
            self._hosts[node] = self._transport.address(node)
        return self._hosts[node]

    def start(self, orders: Sequence[StartOrder]) -> None:
        """Queue a job for each run, unless one was ever queued. What takes too long is left for the next call.

        A thousand take many seconds, in which nobody would look for the owner's jobs.
        """
        until_s = time.monotonic() + STARTING_S
        self._each(orders, lambda order: self._start(order) if time.monotonic() < until_s else None)
        self._queue.expire()

    def notify(self, orders: Sequence[NoticeOrder]) -> None:
        """Put the notice down and wake the agent."""
        try:
            self._each(orders, self._notify)
        finally:
            self._wake_all()

    def stop(self, orders: Sequence[StopOrder]) -> None:
        """Put the stop down and wake the agent; end what was not taken by a job on the spot."""
        try:
            self._each(orders, self._stop)
        finally:
            self._wake_all()
            self._cancel_all()
        self._queue.expire()

    def clean(self, runs: Sequence[RunId]) -> None:
        """A verdict for each run whose job Slurm has let go: what its agent and the nodes' epilog found, and what we wiped."""
        self._each(runs, self._clean)

    def observe(self) -> Mapping[RunId, Seen]:
        """Every run that has a directory, from one look at the queue."""
        look = self._queue.look()
        now, self._looked_us = _now_us(), look.asked_us
        with self._on_disk():
            self._take_over()
            seen = {name: self._see(name, look, now) for name in sorted(self._runs)}
        with contextlib.suppress(SubletError):  # tried again with the next look
            self._cancel_all()
        return seen

    def look_anew(self) -> None:
        """Let the next `observe` and `nodes` ask the cluster, however fresh the last answers are."""
        self._queue.forget()

    def owner_work(self) -> Sequence[OwnerWork] | None:
        """Everything in the queue that is not ours, as of the last look."""
        look = self._queue.look()
        return owner_work(look.others, self._queue.known_nodes(), surplus=self._cluster.partition)

    def forget(self, runs: Sequence[RunId]) -> None:
        """Remove the directories of runs whose hand-over has a verdict; others are kept.

        This may happen in another thread than a look: a run is out of sight before its files go.
        """
        for name in runs:
            run = self._run(name)
            if run.cleaned.exists():
                self._runs.discard(name)
                self._final.pop(name, None)
                self._queued_s.pop(name, None)
                self._fixed.pop(run.path, None)
                remove(run.path)

    def discard(self, volume: str) -> None:
        """Remove a volume."""
        remove(self._where("volumes") / safe_name(volume, "volume"))

    def logs(self, run: RunId, *, offset: int = 0) -> Iterator[bytes]:
        """Output from `offset`, or from the oldest byte kept."""
        directory = self._run(run).path
        if not directory.exists():
            raise NotFound(f"this engine knows no run {run}", field="run")
        return output.read(directory, offset)

    def show_life(self) -> None:
        """While we serve, the cluster's own preemption may stay off (`net.py`); when we fall silent, it takes over."""
        if time.monotonic() >= self._shown_s + ALIVE_EVERY_S:
            with self._on_disk():
                (self._cluster.shared / ALIVE).touch()
            self._shown_s = time.monotonic()

    def _where(self, name: str) -> Path:
        return self._cluster.shared / name

    def _run(self, name: RunId) -> RunDir:
        return RunDir(self._where("runs") / safe_name(name, "run"))

    def _take_over(self) -> None:
        """With the first look, find what an earlier engine left: its runs, and what it had half made or half removed.

        Not sooner: until somebody looks, another control plane may lead, whose drafts these are and whose runs grow in number.
        """
        if self._took_over:
            return
        for path in [*self._where("runs").glob(".*"), *self._where("volumes").glob(".*")]:
            remove_tree(path)
        with os.scandir(self._where("runs")) as found:
            self._runs |= {RunId(entry.name) for entry in found if not entry.name.startswith(".")}
        self._took_over = True

    def _is_known(self, name: RunId, run: RunDir) -> bool:
        """Whether the run has a directory; another control plane may have made it after we looked, if it was paused in that."""
        if name not in self._runs and run.path.exists():
            self._runs.add(name)
        return name in self._runs

    # Starting

    def _start(self, order: StartOrder) -> None:
        run = self._run(order.run)
        if not self._is_known(order.run, run):
            self._check(order)
            told = self._configuration
            prepare(self._cluster.shared, order, grace_s=told.grace_s, kill_wait_s=told.kill_wait_s)
            self._runs.add(order.run)
            self._submit(order, run)
        elif not self._is_queued(order.run, run):
            self._submit(order, run)

    def _is_queued(self, name: RunId, run: RunDir) -> bool:
        """Whether a job has this run, or had it, or it was ended before it began; one look decides after a crash."""
        if observation.taken_by(run) is not None:
            return True
        job = self._job_number(run)
        if job is None:
            found = self._queue.since(self._queued_s.get(name, self._born_s))
            if name not in found.ours:
                return False
            records.write(run.path / JOB_RECORD, {"job": found.ours[name][0].id})
            return True
        return name in self._queue.look().ours or not self._is_lost(name)

    def _is_lost(self, name: RunId) -> bool:
        """Whether slurmctld forgot a job that no node has taken: it crashed before it had saved it."""
        return time.monotonic() - self._queued_s.setdefault(name, time.monotonic()) > LOST_S

    def _check(self, order: StartOrder) -> None:
        safe_name(order.run, "run")
        nodes = self._queue.known_nodes()
        for node, mask in order.placement:
            known = nodes.get(node)
            if known is None or mask <= 0 or mask >> known.gpus:
                have = "no such node" if known is None else f"a node with {known.gpus}"
                raise Invalid(f"run {order.run} wants GPUs {mask:#x} of {node}; there is {have}", field="placement")
        if order.volume is not None:
            safe_name(order.volume, "volume")
        environment.check(order)

    def _submit(self, order: StartOrder, run: RunDir) -> None:
        self._queued_s[order.run] = time.monotonic()
        script = batch_script(self._cluster.python, self._agent, run)
        wanted = submission(self._cluster, order, self._queue.known_nodes(), script, run, now_us=_now_us())
        try:
            number = self._transport.submit(wanted)
        except Refused as refusal:
            hint = "`sublet slurm check` says what the cluster lacks"
            raise Unavailable(f"run {order.run} was not queued: {refusal.message}", hint=hint) from refusal
        records.write(run.path / JOB_RECORD, {"job": number})

    def _job_number(self, run: RunDir) -> int | None:
        record = self._once(run.path / JOB_RECORD)
        return None if record is None else int(record["job"])

    # Ending

    def _notify(self, order: NoticeOrder) -> None:
        name = environment.check_signal(order.signal)
        run = self._run(order.run)
        if not self._is_known(order.run, run) or not run.spec.exists() or run.exited.exists():
            return
        known = records.read(run.orders) or {}
        notice = known.get("notice")
        if notice is None or order.deadline_us < notice["deadline_us"]:
            told = {"deadline_us": order.deadline_us, "reason": order.reason, "signal": name}
            records.write(run.orders, known | {"notice": told})
            self._wake(run)

    def _stop(self, order: StopOrder) -> None:
        run = self._run(order.run)
        if not self._is_known(order.run, run):
            self._bury(run)
            self._runs.add(order.run)
            return
        if run.exited.exists():
            return
        known = records.read(run.orders) or {}
        by_us = _now_us() + order.grace_us
        if run.spec.exists() and ("stop" not in known or by_us < known["stop"]["by_us"]):
            records.write(run.orders, known | {"stop": {"by_us": by_us}})
            if self._end_unbegun(order.run, run):
                return
            self._wake(run)
        elif not self._end_unbegun(order.run, run) and _now_us() > known["stop"]["by_us"] + MERCY_S * 1_000_000:
            self._cancel(order.run, run)

    def _bury(self, run: RunDir) -> None:
        """Leave a directory that says: this run is over and never was."""
        with draft(run) as fresh:
            (fresh.path / TAKEN).symlink_to(BURIED)
            records.write(fresh.exited, never_started(_now_us(), NEVER))

    def _end_unbegun(self, name: RunId, run: RunDir, why: str = NEVER) -> bool:
        """End a run that no job has taken yet; False if one has."""
        try:
            (run.path / TAKEN).symlink_to(BURIED)
        except FileExistsError:
            if observation.taken_by(run) != BURIED:
                return False
        if not run.exited.exists():
            records.write(run.exited, never_started(_now_us(), why))
        self._cancel(name, run)
        return True

    def _cancel(self, name: RunId, run: RunDir) -> None:
        numbers = {job.id for job in self._queue.look().ours.get(name, ()) if job.state not in FINAL}
        number = self._job_number(run)
        if number is not None:
            numbers.add(number)
        self._doomed |= numbers

    def _cancel_all(self) -> None:
        """End the jobs that nobody wants any more, in one call; those that were not reached are tried again."""
        doomed = sorted(self._doomed)
        if doomed:
            self._transport.cancel(doomed)
            self._doomed.difference_update(doomed)

    def _wake(self, run: RunDir) -> None:
        """Let the agent read its orders now, once it listens; before that it reads them anyway."""
        taken = observation.taken_by(run)
        if taken is not None and taken.isdigit() and run.claim.exists():
            self._to_wake.add(int(taken))

    def _wake_all(self) -> None:
        """Wake those who have new orders. They look every few seconds by themselves, so a failure here is none."""
        sleeping, self._to_wake = sorted(self._to_wake), set()
        if sleeping:
            with contextlib.suppress(SubletError):
                self._transport.signal(sleeping, WAKE_SIGNAL)

    # Looking

    def _see(self, name: RunId, look: Look, now_us: int) -> Seen:
        final = self._final.get(name)
        if final is not None:
            return final
        run = self._run(name)
        taken = observation.taken_by(run)
        jobs = look.ours.get(name, ())
        job = None if taken == BURIED else _of_run(jobs, taken)
        if job is not None or taken == BURIED:  # a job queued twice, its answer having been lost, need not find that out itself
            self._doomed.update(one.id for one in jobs if one is not job and one.state in WAITING)
        waiting = job if job is not None and job.state in WAITING else None
        if taken == BURIED or (waiting and taken is None and self._ends_hopeless(name, run, waiting)):
            return self._keep(observation.ended(name, run, None, now_us=now_us))
        if waiting or (job is None and not self._is_gone(name, run, taken, look)):
            return Seen(name, Phase.STARTING)
        if observation.ends(run, job):
            return self._keep(observation.ended(name, run, job, now_us=now_us))
        spec = self._once(run.spec)
        assert spec is not None, f"{run.path} has no spec"
        return observation.living(name, job, now_us=now_us, started=self._once(run.started), spec=spec)

    def _ends_hopeless(self, name: RunId, run: RunDir, job: Job) -> bool:
        """End a run whose job would wait for nothing."""
        why = self._cannot_begin(run, job)
        return bool(why) and self._end_unbegun(name, run, why)

    def _cannot_begin(self, run: RunDir, job: Job) -> str:
        """Why a job that waits will not begin where it is to; empty if it may. What is the owner's waits for its nodes.

        A lease was given nodes that were free: it has nothing to wait for, and others may be free while these are down.
        """
        stuck, problems = "requeue" in job.reason.lower(), self._queue.problems
        spec = self._once(run.spec) if stuck or problems else None  # thousands may wait
        if spec is None or spec["is_owner"]:
            return ""
        if stuck:  # "launch failed requeued held": Slurm tries no more
            return f"Slurm does not start its job: {job.reason}"
        unfit = [node for node, _ in spec["nodes"] if node in problems]
        return f"its node failed before it began ({unfit[0]}: {problems[unfit[0]]})" if unfit else ""

    def _is_gone(self, name: RunId, run: RunDir, taken: str | None, look: Look) -> bool:
        """Whether a run without a job in the queue is over, rather than not queued yet."""
        if run.exited.exists():
            return True
        queued = self._queued_s.setdefault(name, time.monotonic())
        return taken is not None and look.asked_s > queued and time.monotonic() - queued > LOST_S

    def _keep(self, seen: Seen) -> Seen:
        if seen.phase is Phase.CLEAN:
            self._final[seen.run] = seen
        return seen

    def _clean(self, name: RunId) -> None:
        run = self._run(name)
        known = records.read(run.cleaned)
        if not self._is_known(name, run) or (known is not None and known["phase"] == Phase.CLEAN):
            return
        taken = observation.taken_by(run)
        look = self._queue.look()
        job = _of_run(look.ours.get(name, ()), taken)
        never = taken == BURIED
        if not never and not observation.is_over(job):
            return
        if job is None and not run.exited.exists():
            return
        if not never and not self._is_fenced(name, run, job):
            return
        fine, evidence = verdict(self._cluster, run, job, never=never)
        evidence |= {"isolation": self._configuration.isolation}
        records.write(run.cleaned, {"phase": Phase.CLEAN if fine else Phase.DIRTY, "evidence": evidence, "at_us": _now_us()})

    def _is_fenced(self, name: RunId, run: RunDir, job: Job | None) -> bool:
        """Whether nothing of the run acts any more, as far as we can see to it.

        The processes of a job outlive the daemon of their node: Slurm calls it lost, and its next attempt must not find it
        writing checkpoints. So its agent is told to end it, and has a while to say that it did.
        """
        if job is None or job.state != "NODE_FAIL" or run.exited.exists() or not run.claim.exists():
            return True
        begun = self._fencing_s.setdefault(name, time.monotonic())
        records.write(run.orders, (records.read(run.orders) or {}) | {"stop": {"by_us": _now_us()}})
        return time.monotonic() - begun > FENCE_S

    def _once(self, path: Path) -> dict[str, Any] | None:
        """A record that never changes once it is there."""
        known = self._fixed.setdefault(path.parent, {})
        record = known.get(path.name)
        if record is None:
            record = records.read(path)
            if record is not None:
                known[path.name] = record
        return record

    def _each(self, items: Sequence[Item], act: Callable[[Item], None]) -> None:
        each(items, act, self._on_disk)

    def _on_disk(self) -> AbstractContextManager[None]:
        return on_disk(self._cluster.shared)


def _of_run(jobs: Sequence[Job], taken: str | None) -> Job | None:
    """The job that has the run; before one took it, the first that was queued."""
    by_number = {str(job.id): job for job in jobs}
    if taken is not None and taken != BURIED:
        return by_number.get(taken)
    return min(jobs, key=lambda job: job.id, default=None)


def _now_us() -> int:
    return time.time_ns() // 1_000
