"""Random days of the real control plane in simulated time, with faults; at every look all invariants hold."""

from pathlib import Path

import pytest
from simulation import TENANTS, Simulation

from sublet.app import audit
from sublet.core.ledger import receivable
from sublet.store import events, jobs, leases, ledger, usage

TICKS = 300


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.timeout(300)
def test_whatever_happens_the_books_are_in_order(tmp_path: Path, db_url: str, seed: int) -> None:
    world = Simulation(tmp_path, db_url, seed)
    try:
        parts = 0
        while parts < TICKS // 20 or world.restarts <= 5:  # chance may leave a day without trouble: then it goes on
            world.run(20)
            parts += 1
            with world.database.read() as tx:
                assert audit.findings(tx, from_us=world.began_us, now_us=world.plane.clock.now_us()) == []
        world.settle()
        with world.database.read() as tx:
            assert leases.live(tx) == [] and jobs.live(tx) == []
            assert audit.findings(tx, from_us=world.began_us, now_us=world.plane.clock.now_us()) == []
            assert not usage.unbilled(tx, after=None, limit=1) and not usage.unsettled(tx, after=None, limit=1)
            for tenant, limit in TENANTS.items():
                account = ledger.account(tx, receivable(tenant))
                assert account.held_micro == 0, "a hold was left over"
                assert limit is None or account.debits_micro - account.credits_micro <= limit
            noted = [entry.reason for entry in events.page(tx, limit=100_000) if entry.kind == "alarm.invariant"]
            assert noted == [], "the live system's own audit saw what the test did not"
        assert len(world.leases) > 40
        assert world.plane.loops.failing == {}
    finally:
        world.plane.stop()
        world.database.close()
