"""The network between two replicas is cut without a word, and comes back. `SUBLET_CUT_S=60 pytest -s` for a longer cut."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from day import books_are_in_order, first_right_decision, no_owner_waited_beyond_the_promise, nothing_ran_twice
from replicas import Replicas, until

from or_skip import or_skip
from postgres_server import NoServer, administer, server
from separate_hosts import Network, NoHosts, separate_hosts

pytestmark = pytest.mark.postgres
CUT_S = float(os.environ.get("SUBLET_CUT_S", "6"))


@pytest.fixture
def network() -> Iterator[Network]:
    with or_skip(separate_hosts(2), NoHosts) as found:
        yield found


@pytest.fixture
def day(tmp_path: Path, network: Network) -> Iterator[Replicas]:
    tmp_path.chmod(0o755)
    with or_skip(server(address=network.here, trusted=network.subnet), NoServer) as url:
        administer(url, "CREATE DATABASE sublet")
        one, two = network.hosts
        made = Replicas(tmp_path, f"{url}/sublet", random.Random(20261126), hosts=(one, two))
        yield made
        made.close()


@pytest.mark.timeout(300)
def test_a_leader_that_is_cut_off_is_replaced_and_follows_when_the_network_is_back(day: Replicas) -> None:
    one, two = day.both
    assert one.host is not None and (day.role(one), day.role(two)) == ("leader", "follower")
    day.live_for(1.5)

    cut, cut_us = time.monotonic(), day.clock.now_us()
    one.host.cut()
    led = until(lambda: day.role(two) == "leader", "the other leads after the cut")
    decided = first_right_decision(day)
    day.outages.append((cut_us, day.clock.now_us()))
    epoch = day.epoch()
    day.live_for(max(0.0, cut + CUT_S - time.monotonic()))
    one.host.mend()
    back = until(lambda: day.role(one) == "follower", "who was cut off follows")
    day.live_for(1.5)
    assert day.epoch() == epoch and day.role(two) == "leader", "who was cut off led for a moment"
    print(
        f"cut for {CUT_S:g} s: led by the other after {led:.1f} s, next right decision {decided:.1f} s later; back {back:.1f} s"
    )

    one.host.cut()  # a follower is missed by nobody
    day.live_for(1.5)
    one.host.mend()
    until(lambda: day.role(one) == "follower", "the follower is back")
    assert day.epoch() == epoch
    day.drain(60)

    assert day.ended() == (len(day.leases), len(day.jobs)), "a lease or job was lost"
    nothing_ran_twice(day)
    books_are_in_order(day)
    no_owner_waited_beyond_the_promise(day)
