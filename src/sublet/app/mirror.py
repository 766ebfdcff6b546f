"""The live state in memory: who holds and who waits in every pool, kept current from the notes of what changed.

The database is the truth; this is what was last read of it. A round, a look at the engine or an order reads on from there, so
their cost follows what moved and not what there is. After a restart everything is read once; kept or read anew, it is the same.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from sublet.app.forecasting import Forecaster
from sublet.app.world import freed_us, pool_view, tenant_views, with_evictions
from sublet.core.fleet import Masks
from sublet.core.ids import JobId, LeaseId, NodeId, PoolId, RunId, TenantId
from sublet.core.lease import HELD, Lease, State
from sublet.core.ledger import receivable
from sublet.core.owner import JOB_HELD, JobState, OwnerJob
from sublet.core.site import Site
from sublet.core.standing import Standing, standing_of
from sublet.core.terms import Pool
from sublet.core.topology import Location, Topology, topology_of
from sublet.core.view import KeptView, PoolView, TenantView
from sublet.store import changes, jobs, leases, nodes, pools, sites
from sublet.store.changes import Kind, News
from sublet.store.database import Tx
from sublet.store.nodes import NodeRow
from sublet.store.pools import PoolRow

Holder = TypeVar("Holder", Lease, OwnerJob)
InPool = TypeVar("InPool", Lease, OwnerJob, NodeRow)
_AT_ONCE = 20_000
"""With more leases or jobs to be looked up than this, everything is read anew: that is quicker."""


@dataclass(slots=True)
class Kept:
    """One pool as it is kept."""

    row: PoolRow
    standing: Standing
    freed_us: int  # when the owner's own work last gave GPUs back, or a node came up
    site: Site | None = None  # what its site bears, where that is bounded
    revision: int = 0  # moves with every change


class Mirror:
    """The state of all pools. Whoever reads it holds `lock` and has called `catch_up` with the transaction it reads in."""

    def __init__(self) -> None:
        """Nothing is known until the first `catch_up`."""
        self.lock = threading.RLock()
        self.pools: dict[PoolId, Kept] = {}
        self.nodes: dict[NodeId, NodeRow] = {}
        self.tenants: dict[TenantId, TenantView] = {}
        self.runs: dict[RunId, Lease | OwnerJob] = {}  # whoever holds GPUs, by its present run
        self.unsettled: dict[str, Lease | OwnerJob] = {}  # of those, whoever is not simply running
        self.down: set[NodeId] = set()  # nodes that are not offered
        self.holders: int | None = None  # how many there are, for whoever has no lock; None: nothing was read yet
        self.moved: set[RunId] | None = None  # whose holders were read anew since somebody took them; None: all were
        self._mark: changes.Mark | None = None
        self._run_of: dict[str, RunId] = {}

    def catch_up(self, tx: Tx) -> None:
        """Become what this transaction sees."""
        news = None if self._mark is None else changes.since(tx, self._mark)
        if news is None or sum(map(len, news.subjects.values())) > _AT_ONCE:
            self._read_everything(tx)
        else:
            self._read_on(tx, news)
        self.holders = len(self.runs)

    def take_moved(self) -> set[RunId] | None:
        """The runs whose holders were read anew since this was asked last; None: all were."""
        moved, self.moved = self.moved, set()
        return moved

    def view(
        self, tx: Tx, forecaster: Forecaster, *, now_us: int, when: Callable[[Kept, PoolView], bool] = lambda *_: True
    ) -> KeptView:
        """What a round may look at: the pools of which `when` says so."""
        views, standings, beside = [], [], []
        for kept in self.pools.values():
            demand, freed = kept.standing.demand, kept.freed_us
            seen = pool_view(tx, kept.row, forecaster, now_us=now_us, demand=demand, freed_us=freed, site=kept.site)
            if when(kept, seen):
                views.append(seen)
                standings.append(kept.standing)
            elif kept.site is not None:
                beside.append(kept.standing)
        short = [standing.pool for standing in standings if standing.waiting]
        tenants = with_evictions(tx, self.tenants, short, now_us=now_us) if short else self.tenants
        return KeptView(tuple(views), tuple(standings), tenants, tuple(beside))

    def _read_everything(self, tx: Tx) -> None:
        mark = changes.here(tx)
        revisions = {pool: kept.revision for pool, kept in self.pools.items()}
        self.pools, self.runs, self.unsettled, self._run_of = {}, {}, {}, {}
        live, work, rows = _by_pool(leases.live(tx)), _by_pool(jobs.live(tx)), _by_pool(nodes.everything(tx))
        self.nodes = {node.id: node for here in rows.values() for node in here}
        self.down = {name for name, node in self.nodes.items() if node.down}
        bounded = {site.id: site for site in sites.everything(tx)}
        for row in pools.everything(tx):
            pool = row.pool.id
            standing = _standing(row.pool, rows.get(pool, []), work.get(pool, ()), live.get(pool, ()))
            site = bounded.get(row.pool.site)
            self.pools[pool] = Kept(row, standing, freed_us(tx, pool), site, revisions.get(pool, 0) + 1)
            self._index(standing.jobs.values())
            self._index(standing.leases.values())
        self.tenants = dict(tenant_views(tx, {lease.tenant for here in live.values() for lease in here}))
        self._mark, self.moved = mark, None

    def _read_on(self, tx: Tx, news: News) -> None:
        changed = news.subjects
        if Kind.POOL in changed:
            self._read_pools(tx)
        if Kind.NODE in changed:
            self._read_nodes(tx, {NodeId(name) for name in changed[Kind.NODE]})
        self._read_holders(
            tx, {JobId(name) for name in changed.get(Kind.JOB, ())}, {LeaseId(name) for name in changed.get(Kind.LEASE, ())}
        )
        if Kind.TENANT in changed:
            self._read_tenants(tx, changed[Kind.TENANT])
        self._mark = news.mark

    def _read_pools(self, tx: Tx) -> None:
        """Pools, and their sites, whose changes are told as theirs."""
        bounded = {site.id: site for site in sites.everything(tx)}
        for row in pools.everything(tx):
            kept = self.pools.get(row.pool.id)
            if kept is None:
                fresh = _standing(row.pool, [], (), ())  # its nodes join it with notes of their own
                self.pools[row.pool.id] = Kept(row, fresh, freed_us(tx, row.pool.id), bounded.get(row.pool.site))
            elif (kept.row, kept.site) != (row, bounded.get(row.pool.site)):
                if kept.row.pool != row.pool:
                    kept.standing = self._anew(row.pool, kept.standing)
                kept.row, kept.site = row, bounded.get(row.pool.site)
                kept.revision += 1
        self.pools = dict(sorted(self.pools.items()))

    def _read_nodes(self, tx: Tx, names: set[NodeId]) -> None:
        fresh = nodes.some(tx, names)
        joined = {node.pool for node in fresh if node.id not in self.nodes}
        moved = {node.pool for node in fresh if node.id in self.nodes and _location(self.nodes[node.id]) != _location(node)}
        self.nodes |= {node.id: node for node in fresh}
        self.down = (self.down - names) | {node.id for node in fresh if node.down}
        if joined:
            self.nodes = dict(sorted(self.nodes.items()))
        every = _by_pool(self.nodes.values()) if joined else {}
        for pool in {node.pool for node in fresh}:
            kept = self.pools[pool]
            if pool in joined:
                kept.standing = self._anew(kept.row.pool, kept.standing, every[pool])
            else:
                rows = [self.nodes[node] for node in kept.standing.nodes]
                kept.standing.set_fit(_fit(rows))
                if pool in moved:
                    kept.standing.set_topology(_topology(rows))
            kept.freed_us = freed_us(tx, pool)
            kept.revision += 1

    def _read_holders(self, tx: Tx, job_names: set[JobId], lease_names: set[LeaseId]) -> None:
        """Jobs and leases together: what one gave back another may hold by now."""
        work = _by_pool(sorted(jobs.some(tx, job_names), key=_age))
        fresh = sorted(leases.some(tx, lease_names), key=_age)
        live = _by_pool(fresh)
        self._forget_elsewhere(lease for lease in fresh if lease.is_bought)
        for pool in work.keys() | live.keys():
            kept, mine, theirs = self.pools[pool], work.get(pool, []), live.get(pool, [])
            late = _comes_late(kept.standing.jobs, mine) or _comes_late(kept.standing.leases, theirs)
            kept.standing.put_all(mine, theirs)
            if late:
                kept.standing = self._anew(kept.row.pool, kept.standing)
            if mine:
                kept.freed_us = freed_us(tx, pool)
            kept.revision += 1
            self._index(mine)
            self._index(theirs)
        strangers = {lease.tenant for leases_here in live.values() for lease in leases_here} - self.tenants.keys()
        if strangers:
            self.tenants |= tenant_views(tx, strangers)

    def _forget_elsewhere(self, bought: Iterable[Lease]) -> None:
        """Blocks that waited in one pool may have moved to another."""
        for block in bought:
            for name, kept in self.pools.items():
                if name != block.pool and block.id in kept.standing.blocks:
                    kept.standing.forget_block(block.id)
                    kept.revision += 1

    def _read_tenants(self, tx: Tx, names: frozenset[str]) -> None:
        """Names of tenants, or of the accounts that carry their limits."""
        known = {receivable(tenant): tenant for tenant in self.tenants}
        moved = {tenant for account, tenant in known.items() if account in names or tenant in names}
        fresh = {name: seen for name, seen in tenant_views(tx, moved).items() if seen != self.tenants[name]}
        self.tenants |= fresh
        for kept in self.pools.values():
            if fresh and not fresh.keys().isdisjoint(_tenants_of(kept.standing)):
                kept.revision += 1

    def _anew(self, pool: Pool, old: Standing, rows: list[NodeRow] | None = None) -> Standing:
        """The same leases and jobs in their order, with the settings of now and on these nodes; on the same ones by default."""
        rows = [self.nodes[node] for node in old.nodes] if rows is None else rows
        return _standing(pool, rows, sorted(old.jobs.values(), key=_age), sorted(old.leases.values(), key=_age))

    def _index(self, holders: Iterable[Lease | OwnerJob]) -> None:
        """Find them by their runs as long as they hold GPUs."""
        for holder in holders:
            before = self._run_of.pop(holder.id, None)
            if before is not None:
                del self.runs[before]
            self.unsettled.pop(holder.id, None)
            if not _has_run(holder):
                continue
            run = self._run_of[holder.id] = holder.run
            self.runs[run] = holder
            if self.moved is not None:
                self.moved.add(run)
            if holder.state not in {State.ACTIVE, JobState.RUNNING}:
                self.unsettled[holder.id] = holder


def _standing(pool: Pool, rows: list[NodeRow], work: Iterable[OwnerJob], live: Iterable[Lease]) -> Standing:
    slots = np.array([(1 << node.gpus) - 1 for node in rows], np.uint64)
    return standing_of(pool, tuple(node.id for node in rows), (slots, _fit(rows), _topology(rows)), work, live)


def _has_run(holder: Lease | OwnerJob) -> bool:
    if isinstance(holder, Lease):
        return holder.state in HELD
    return holder.state in JOB_HELD and not (holder.is_hold or holder.is_elsewhere)


def _tenants_of(standing: Standing) -> set[TenantId]:
    """Those whose limits matter to a round of the pool."""
    return {*standing.tenants, *(lease.tenant for lease in standing.paused.values())}


def _fit(rows: list[NodeRow]) -> Masks:
    """uint64[n]: the GPUs of these nodes that may be used."""
    return np.array([0 if node.down else (1 << node.gpus) - 1 for node in rows], np.uint64)


def _location(node: NodeRow) -> Location:
    return node.pod, node.rack


def _topology(rows: list[NodeRow]) -> Topology:
    """Where these nodes stand."""
    return topology_of([_location(node) for node in rows])


def _age(holder: Lease | OwnerJob) -> tuple[int, str]:
    """The order in which leases, or jobs, are served: by when they were asked for."""
    return (holder.requested_us if isinstance(holder, Lease) else holder.submitted_us), holder.id


def _comes_late(known: dict[Any, Holder], moved: list[Holder]) -> bool:
    """Whether one that is new is older than the youngest known: its transaction was committed later than those after it."""
    youngest = next(reversed(known.values()), None) if known else None
    return youngest is not None and any(one.id not in known and _age(one) < _age(youngest) for one in moved)


def _by_pool(things: Iterable[InPool]) -> dict[PoolId, list[InPool]]:
    found: dict[PoolId, list[InPool]] = {}
    for one in things:
        found.setdefault(one.pool, []).append(one)
    return found
