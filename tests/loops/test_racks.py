"""Where nodes stand, from the engine and from the owner to where gangs run."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from house import ADA, House
from sqlalchemy import text

import sublet.store
from sublet.app import nodes as noding
from sublet.core.errors import Invalid
from sublet.core.ids import LeaseId, NodeId
from sublet.core.lease import State
from sublet.core.owner import JobState
from sublet.core.topology import Within
from sublet.store import nodes
from sublet.store.database import Database


def nodes_of(house: House, lease: LeaseId) -> list[str]:
    assert house.state(lease) is State.ACTIVE
    return [node for node, _ in house.lease(lease).placement]


def test_gangs_run_in_the_rack_that_holds_them(tmp_path: Path, db_url: str) -> None:
    """Six nodes in two racks: one lease of a node leaves only the second rack to a gang of three."""
    house = House(tmp_path, db_url, nodes=6, rack_nodes=3)
    single = house.ask(8)
    house.tick(2)
    pair, gang = house.ask(8, nodes=2), house.ask(8, nodes=3)
    house.tick(3)
    assert nodes_of(house, single) == ["node-00000"]
    assert nodes_of(house, gang) == ["node-00003", "node-00004", "node-00005"]
    assert nodes_of(house, pair) == ["node-00001", "node-00002"]
    assert house.findings() == []
    house.close()


def test_an_owner_job_within_a_rack_ends_leases_in_one_rack_and_runs_there(tmp_path: Path, db_url: str) -> None:
    """Four nodes in two racks, a lease on each. The two that would lose least stand in different racks: one of them stays."""
    house = House(tmp_path, db_url, nodes=4, rack_nodes=2)
    house.tick(2)
    leased = {}
    for after_s in (300, 300, 300, 200):
        lease = house.ask(8)
        house.wait(5, ticks=3)
        leased[nodes_of(house, lease)[0]] = lease
        house.wait(after_s)
    house.engine.finish(house.lease(leased["node-00000"]).run)  # the oldest makes way for one that has lost nothing yet
    house.wait(60, ticks=4)
    anew = house.ask(8)
    house.wait(5, ticks=3)
    assert nodes_of(house, anew) == ["node-00000"]
    house.wait(200)
    job = house.submit(8, nodes=2, within=Within.RACK)
    house.tick(2)
    noticed = {node for node, lease in {**leased, "node-00000": anew}.items() if house.state(lease) is State.NOTICED}
    assert noticed == {"node-00002", "node-00003"}
    house.reopen()  # what the job asks for is in the database, not in a plan
    house.wait(150, ticks=6)
    assert [node for node, _ in house.job(job).placement] == ["node-00002", "node-00003"]
    assert house.job(job).state is JobState.RUNNING
    assert house.state(anew) is State.ACTIVE and house.state(leased["node-00001"]) is State.ACTIVE
    assert house.findings() == []
    house.close()


def test_no_rack_that_could_never_hold_a_job_is_waited_for(tmp_path: Path, db_url: str) -> None:
    house = House(tmp_path, db_url, nodes=4, rack_nodes=2)
    house.tick(2)
    with pytest.raises(Invalid, match="no rack of pool fake has 3 nodes with 8 GPUs"):
        house.submit(8, nodes=3, within=Within.RACK)
    house.submit(8, nodes=3, within=Within.POD)
    house.close()


def test_what_the_owner_says_of_a_node_stands(tmp_path: Path, db_url: str) -> None:
    """The engine fills in only what is unknown, also after a restart; gangs follow the owner's word at once."""
    house = House(tmp_path, db_url, nodes=4, rack_nodes=2)
    where = {NodeId(f"node-0000{i}"): ("p", "odd" if i % 2 else "even") for i in range(3)} | {NodeId("node-00003"): ("", "")}
    house.tick(2)  # by now the loops know the nodes
    with house.database.write() as tx:
        noding.set_locations(tx, where, now_us=house.now)
    gang = house.ask(8, nodes=2, tenant=ADA)
    house.tick(3)
    assert nodes_of(house, gang) == ["node-00000", "node-00002"]
    house.reopen()
    with house.database.read() as tx:
        found = [(node.pod, node.rack) for node in nodes.everything(tx)]
    assert found == [("p", "even"), ("p", "odd"), ("p", "even"), ("pod", "rack-1")]
    house.close()


def test_a_fleet_from_before_racks_is_kept(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/old.db")
    config = Config()
    config.set_main_option("script_location", str(Path(sublet.store.__file__).parent / "migrations"))
    config.attributes["engine"] = database._engine
    command.upgrade(config, "0001")
    with database.write() as tx:
        for table, columns, values in (
            ("pools", "id, settings, price_micro, price_at_us, reserve, version, created_us", "'p', '{}', 1, 0, 0, 1, 0"),
            ("nodes", "id, pool, gpus, gpu_model, down, reason, since_us", "'n', 'p', 8, 'H100', 0, '', 7"),
        ):
            tx.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"))
    database.migrate()
    with database.read() as tx:
        (node,) = nodes.everything(tx)
    assert (node.id, node.since_us, node.rack, node.pod) == ("n", 7, "", "")
    database.close()
