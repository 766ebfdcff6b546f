"""The state that is kept in memory equals the one that is read anew, over random days with faults, and after any restart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation import Simulation

from standings import canonical
from sublet.app import loops
from sublet.app.mirror import Mirror
from sublet.app.observe import Sight, Steps, observe, with_news
from sublet.app.world import read_view
from sublet.core.ids import LeaseId, PoolId
from sublet.core.lease import HELD, Lease, State
from sublet.core.owner import JOB_HELD, JobState, OwnerJob
from sublet.core.round import decide
from sublet.core.terms import Pool
from sublet.core.units import SECOND_US
from sublet.engines.protocol import Phase, Seen
from sublet.store import changes, leases, nodes, plans, pools
from sublet.store.database import Database, Tx


def same_as_read_anew(tx: Tx, mirror: Mirror, world: Simulation) -> None:
    """What the mirror has after catching up is what the database says."""
    mirror.catch_up(tx)
    view = read_view(tx, world.plane.forecaster, now_us=world.plane.clock.now_us())
    assert list(mirror.pools) == [pool.pool.id for pool in view.pools]
    for pool in view.pools:
        kept = mirror.pools[pool.pool.id]
        assert unmetered(canonical(kept.standing)) == unmetered(canonical(view.standing(pool.pool.id)))
        assert (kept.row.price_micro, kept.row.price_at_us, kept.row.reserve) == (
            pool.price_micro,
            pool.price_at_us,
            pool.reserve,
        )
        assert kept.freed_us == pool.owner_freed_us
    assert {name: mirror.tenants[name] for name in view.tenants} == view.tenants
    holders: list[Lease | OwnerJob] = [
        *(x for x in view.leases if x.state in HELD),
        *(x for x in view.jobs if x.state in JOB_HELD and not x.is_hold),
    ]
    assert {one.run: one.id for one in holders} == {run: one.id for run, one in mirror.runs.items()}
    restless = {one.id for one in holders if one.state not in {State.ACTIVE, JobState.RUNNING}}
    assert restless == mirror.unsettled.keys()
    assert mirror.holders == len(mirror.runs), "the books wait until it is known, and are kept apart by it"
    assert mirror.down == {node.id for node in nodes.everything(tx) if node.down}


def unmetered(standing: dict[str, Any]) -> dict[str, Any]:
    """A standing without what metering notes on a lease, which no round asks for and the mirror does not follow."""
    marks = ("usage_seq", "metered_us")
    for name in ("leases", "requested", "paused"):
        standing[name] = {key: {**vars(lease), **dict.fromkeys(marks)} for key, lease in standing[name].items()}
    return standing


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.timeout(300)
def test_kept_or_read_anew_it_is_the_same(tmp_path: Path, db_url: str, seed: int) -> None:
    """The loops' own mirror and one of somebody who looks seldom; each restart begins with an empty one."""
    world, seldom, now_and_then = Simulation(tmp_path, db_url, seed), Mirror(), 0
    try:
        while now_and_then < 60 or world.restarts <= 3:
            world.run(4)
            now_and_then += 1
            with world.database.read() as tx:
                same_as_read_anew(tx, world.plane.mirror, world)
                if now_and_then % 5 == 0:
                    same_as_read_anew(tx, seldom, world)
        assert len(world.leases) > 20 and len(world.jobs) > 10
    finally:
        world.plane.stop()
        world.database.close()


@pytest.mark.timeout(120)
def test_what_rests_has_nothing_to_decide(tmp_path: Path, db_url: str) -> None:
    """After each tick a round over everything, read anew, has nothing for the pools that the decider leaves alone."""
    world, rested = Simulation(tmp_path, db_url, 7), 0
    try:
        for _ in range(150):
            world.run(1)
            decided = world.plane.decider.decide(now_us=world.plane.clock.now_us())
            with world.database.read() as tx:
                if decided is not None or plans.pending(tx, limit=1):
                    continue  # a round was made, or the tick died before one could be
                now = world.plane.clock.now_us()
                plan = decide(read_view(tx, world.plane.forecaster, now_us=now), now=now)
            assert replace(plan, alarms=()).empty, "an operator is told once, everything else is decided again"
            rested += 1
        assert rested > 10
    finally:
        world.plane.stop()
        world.database.close()


@pytest.mark.timeout(300)
def test_what_changed_has_all_the_news(tmp_path: Path, db_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over random days with faults: who has news of a whole look has it of what changed since the look before."""
    looks, told = 0, 0

    def observed(database: Database, mirror: Mirror, sight: Sight) -> Steps:
        nonlocal looks, told
        if sight.changed is not None:
            with mirror.lock, database.read() as tx:
                mirror.catch_up(tx)
                found = with_news(mirror, sight, mirror.moved)
                assert found == with_news(mirror, replace(sight, changed=None), None)
            looks, told = looks + 1, told + len(found)
        return observe(database, mirror, sight)

    monkeypatch.setattr(loops, "observe", observed)
    world = Simulation(tmp_path, db_url, 5)
    try:
        while looks < 250 or world.restarts <= 3:
            world.run(5)
        assert told > 50
    finally:
        world.plane.stop()
        world.database.close()


def test_whoever_was_read_anew_is_looked_at_again(tmp_path: Path, db_url: str) -> None:
    """A checkpoint ahead of our clock is noted as of now, and once more as it is: though the engine has nothing new to tell."""
    world = Simulation(tmp_path, db_url, 5)
    try:
        mirror = world.plane.mirror
        while not (active := [one for one in mirror.runs.values() if isinstance(one, Lease) and one.state is State.ACTIVE]):
            world.run(1)
        lease, now = active[0], world.plane.clock.now_us()
        runs = {**world.engine.observe(), lease.run: Seen(lease.run, Phase.RUNNING, checkpoint_us=now + 5 * SECOND_US)}
        observe(world.database, mirror, Sight(now, runs, changed={lease.run}))
        assert checkpoint_us(world, lease.id) == now
        observe(world.database, mirror, Sight(now + 9 * SECOND_US, runs, changed=frozenset()))
        assert checkpoint_us(world, lease.id) == now + 5 * SECOND_US
    finally:
        world.plane.stop()
        world.database.close()


def checkpoint_us(world: Simulation, lease: LeaseId) -> int | None:
    with world.database.read() as tx:
        return leases.get(tx, lease).checkpoint_us


def test_notes_are_read_once_each_and_none_is_lost(db_url: str) -> None:
    """On PostgreSQL a transaction that began first may end last: its notes are seen then, not skipped."""
    first, second = Database(db_url), Database(db_url)
    try:
        first.migrate()
        with first.read() as tx:
            mark = changes.here(tx)
        if first.is_sqlite:
            pool_added(first, "slow")
        else:
            with first.write() as early:
                add_pool(early, "slow")
                pool_added(second, "quick")
                with second.read() as tx:
                    news = changes.since(tx, mark)
                    assert news is not None and news.subjects == {changes.Kind.POOL: {"quick"}}
                    mark = news.mark
        with second.read() as tx:
            news = changes.since(tx, mark)
            assert news is not None and news.subjects == {changes.Kind.POOL: {"slow"}}
            again = changes.since(tx, news.mark)
            assert again is not None and again.subjects == {}
        pool_added(second, "then")
        with second.read() as tx:
            then = changes.here(tx)
        with second.write() as tx:
            changes.purge(tx, keep=1)
        pool_added(second, "later")
        with second.read() as tx:
            assert changes.since(tx, changes.Mark(0)) is None, "notes were purged: everything is to be read"
            after = changes.since(tx, then)
            assert after is not None and after.subjects == {changes.Kind.POOL: {"later"}}
    finally:
        first.close()
        second.close()


def pool_added(database: Database, name: str) -> None:
    with database.write() as tx:
        add_pool(tx, name)


def add_pool(tx: Tx, name: str) -> None:
    pools.put(tx, Pool(PoolId(name), "GPU"), now_us=1)
