"""Two control planes on one PostgreSQL database over a real cluster, while leaders die and sleep and the server crashes."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_pair import DEAF, PACE_S, SlurmPair

from postgres_server import restart
from slurm_cluster import Cluster
from sublet.core.fleet import gpus_of
from sublet.core.lease import Cause, State
from sublet.core.owner import JobState
from sublet.engines.slurm import net
from sublet.engines.slurm.net import ALIVE, SILENT_S
from sublet.engines.slurm.site import Cluster as Site

pytestmark = pytest.mark.postgres


@pytest.fixture
def pair(eight_nodes: Cluster, on: Callable[..., Site], postgres_db: str, tmp_path: Path) -> Iterator[SlurmPair]:
    eight_nodes.preempts(on=False)
    made = SlurmPair(eight_nodes, on(eight_nodes), postgres_db, tmp_path)
    yield made
    eight_nodes.cancel_all()
    made.close()


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_done_twice_while_leaders_come_and_go_over_slurm(pair: SlurmPair, postgres_url: str) -> None:
    _killed_in_a_wave_of_starts(pair)
    _killed_in_a_reclaim(pair)
    _paused_in_a_wave_of_starts(pair)
    _database_crashes(pair, postgres_url)
    _nobody_is_left_but_slurm(pair)
    pair.drain()
    for replica in pair.both:
        pair.end(replica)
    pair.nothing_ran_twice()
    pair.no_owner_waited_beyond_the_promise()
    pair.books_are_in_order()


def _killed_in_a_wave_of_starts(pair: SlurmPair) -> None:
    """It leaves runs whose jobs are queued, one whose job is on its way, and leases that were granted and never started."""
    leader, other = pair.leader_and_other()
    asked = pair.ask_marked(18, gpus=4, heeds=DEAF)  # two more than there is room for
    pair.into_the_middle_of_starts(set(), begun=3)
    pair.kill(leader)
    begun = len(pair.runs())
    assert begun < 16, "it was to die in the middle"
    led = pair.until(lambda: pair.role(other) == "leader", said="the other to lead")
    pair.begin(leader)
    pair.pace.write_text(PACE_S)
    ran = pair.until(lambda: len(pair.active()) == 16, said="all of the wave to run")
    print(f"killed with {begun} of 16 runs made: another led after {led:.1f} s, and all ran {ran:.1f} s later")
    pair.each_began_once(pair.active())
    assert [one.state for one in pair.some(asked)].count(State.QUEUED) == 2
    pair.nothing_ran_twice()
    pair.until_ready(leader)


def _killed_in_a_reclaim(pair: SlurmPair) -> None:
    """Notices are given, nobody heeds them, and none has run out."""
    leader, other = pair.leader_and_other()
    began = time.monotonic()
    job = pair.cluster.submit("sleep 600", "--gres=gpu:8", "-N3")
    pair.until_quickly(lambda: any(one.state is State.NOTICED for one in pair.live()))
    pair.kill(leader)
    led = pair.until(lambda: pair.role(other) == "leader", said="the other to lead")
    pair.begin(leader)
    pair.until(lambda: pair.cluster.state(job) == "RUNNING", said="the owner's job to run")
    took = time.monotonic() - began
    print(f"killed in a reclaim: another led after {led:.1f} s, the owner's job ran {took:.1f} s after its submission")
    pair.until(lambda: sum(one.reclaims for one in pair.live()) == 6, said="the books to follow")
    assert len(pair.active()) == 10, "no more than it needs"
    pair.until(lambda: [one.state for one in pair.owner_jobs()] == [JobState.RUNNING], said="it to run in the books")
    pair.cluster.run("scancel", str(job))
    pair.until_ready(leader)
    pair.until(lambda: len(pair.active()) == 16, said="the house to be full again")
    pair.nothing_ran_twice()


def _paused_in_a_wave_of_starts(pair: SlurmPair) -> None:
    """It wakes up in the middle of an order that its successor has long carried out."""
    leader, other = pair.leader_and_other()
    pair.release_all()
    before = pair.runs()
    fresh = pair.ask_marked(12, gpus=4)
    pair.into_the_middle_of_starts(before, begun=2)
    os.kill(leader.pid, signal.SIGSTOP)
    asleep, epoch, began = pair.signs_of_life(), pair.epoch(), time.monotonic()
    while pair.epoch() == epoch:
        given = pair.signs_of_life()
        assert given == asleep or pair.epoch() > epoch, "only a leader gives signs of life"
        assert time.monotonic() - began < 40, "nobody took over"
    led = time.monotonic() - began
    pair.pace.write_text(PACE_S)
    pair.until_active(*fresh)
    print(f"paused: another led after {led:.1f} s, and all ran {time.monotonic() - began - led:.1f} s later")
    after = pair.epoch()
    os.kill(leader.pid, signal.SIGCONT)
    pair.until(lambda: pair.role(leader) == "follower", said="who slept to follow")
    assert pair.epoch() == after and pair.role(other) == "leader", "who woke up led for a moment"
    pair.each_began_once(fresh)
    pair.nothing_ran_twice()


def _database_crashes(pair: SlurmPair, postgres_url: str) -> None:
    """The house is full, and the owner has just submitted."""
    pair.until_active(*pair.ask_marked(4, gpus=4))
    before = pair.epoch()
    job = pair.cluster.submit("sleep 5", "--gres=gpu:8", "-N3")
    began = time.monotonic()
    restart(postgres_url)
    back = pair.until(lambda: sorted(pair.role(one) for one in pair.both) == ["follower", "leader"], said="both to be back")
    pair.first_right_decision()
    pair.until(lambda: pair.cluster.state(job) in {"RUNNING", "COMPLETED"}, said="the owner's first job to run")
    took = time.monotonic() - began
    print(f"PostgreSQL crashed and came back: led {back:.1f} s after that, right decisions {took:.1f} s after the crash")
    assert pair.epoch() > before
    pair.nothing_ran_twice()


def _nobody_is_left_but_slurm(pair: SlurmPair) -> None:
    """Both are killed: the net opens, Slurm itself serves the owner, and whoever comes back books it."""
    pair.ask_marked(16, gpus=4)
    pair.until(lambda: sum(gpus_of(one.placement) for one in pair.some(pair.active())) > 56, said="no node to be free")
    for replica in pair.both:
        pair.kill(replica)
    killed_us, silent_s = pair.clock.now_us(), time.time() - SILENT_S - 1
    os.utime(pair.site.shared / ALIVE, (silent_s, silent_s))
    watch = subprocess.Popen(["sh", "-c", net.script(pair.site)], env=pair.cluster.env, stdout=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        job = pair.cluster.submit("sleep 600", "--gres=gpu:8")
        pair.until(lambda: pair.cluster.state(job) == "RUNNING", said="the owner's job to run")
        print(f"both killed: the owner's job ran after {time.monotonic() - began:.1f} s, by Slurm's own preemption")
        for replica in pair.both:
            pair.begin(replica)
        for replica in pair.both:
            pair.until_ready(replica)
        pair.until(lambda: _taken_since(pair, killed_us), said="what Slurm took to be booked")
        pair.until(lambda: _is_folded(pair), said="the net to be folded again")
    finally:
        watch.kill()
        watch.wait()
    pair.nothing_ran_twice()


def _taken_since(pair: SlurmPair, instant_us: int) -> bool:
    """Whether the books show a reclaim that nobody of us began."""
    taken = [one for name in pair.asked for one in pair.attempts(name) if one.cause is Cause.RECLAIMED]
    return any(one.noticed_us is not None and one.noticed_us > instant_us for one in taken)


def _is_folded(pair: SlurmPair) -> bool:
    return "PreemptMode=OFF" in pair.cluster.run("scontrol", "-o", "show", "partition", "surplus")
