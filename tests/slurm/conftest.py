"""One small and one middling cluster for the whole session; engines on them, each with a directory and a name of its own."""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from engine_rigs import SECOND, Rig

from or_skip import or_skip
from slurm_cluster import Cluster, Layout, NoCluster, cluster
from sublet.engines.slurm import configuration
from sublet.engines.slurm.connect import connect
from sublet.engines.slurm.engine import SlurmEngine
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.tools import Tools

_numbers = itertools.count(1)


def running(layout: Layout) -> Iterator[Cluster]:
    with or_skip(cluster(layout), NoCluster) as found:
        yield found


@pytest.fixture(scope="session")
def one_node() -> Iterator[Cluster]:
    yield from running(Layout(nodes=1, gpus=4))


@pytest.fixture(scope="session")
def eight_nodes() -> Iterator[Cluster]:
    yield from running(Layout())


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Site]:
    """A place of our own in a cluster, which Slurm's tools then find."""

    def place(made: Cluster, *, rest: bool = False, name: str = "", **options: Any) -> Site:
        monkeypatch.setenv("SLURM_CONF", str(made.conf))
        monkeypatch.setenv("PATH", made.env["PATH"])
        number = next(_numbers)
        shared = made.home / f"shared-{os.getpid()}-{name or number}"
        shared.mkdir(exist_ok=True)
        token = made.home / "token"
        token.write_text(made.token())
        where: dict[str, Any] = {"rest_url": made.rest_url, "token_file": token} if rest else {}
        return Site(shared, installation=f"test-{os.getpid()}-{name or number}", **{**where, **options})

    return place


def engine_on(site: Site) -> SlurmEngine:
    tools = Tools(timeout_s=site.timeout_s)
    return SlurmEngine(site, connect(site), configuration.read(site, tools))


@pytest.fixture
def rig(one_node: Cluster, on: Callable[..., Site]) -> Iterator[Rig]:
    """The engine on a real cluster, as the conformance suite takes it; the tests of faults go by the tools alone."""
    site = on(one_node, rest=True)
    made = Rig(
        "slurm", engine_on(site), lambda: time.time_ns() // 1_000, lambda: time.sleep(0.02), site.shared, start_us=4 * SECOND
    )
    yield made
    made.end_all()
