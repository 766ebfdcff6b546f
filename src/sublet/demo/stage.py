"""The control plane of a demo, its people and their keys: everything that has to stand before the day begins."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sublet.app import settings as settings_file
from sublet.app.keys import OWNER_KEY_FILE
from sublet.app.settings import Settings
from sublet.app.slurm import named_cluster
from sublet.cli.client import Client
from sublet.cli.root import Server
from sublet.core.ids import PoolId
from sublet.core.occupancy import Level
from sublet.demo import house
from sublet.demo.cast import TENANTS
from sublet.demo.options import Options
from sublet.demo.queues import OurQueue, OwnerQueue, SlurmQueue
from sublet.demo.schedule import Schedule
from sublet.demo.terms import pool_terms
from sublet.engines.local.devices import find_devices
from sublet.engines.registry import ENGINES, EngineOptions
from sublet.engines.slurm.tools import Tools
from sublet.store import pools, spans

TICK_MS = 100
METER_MS = 1_000


@dataclass(frozen=True, slots=True)
class Stage:
    """A control plane that runs, and a client for each person."""

    server: Server
    pool: PoolId
    gpu_model: str
    owner: Client
    tenants: dict[str, Client]
    key: str  # the owner's, for the page
    queue: OwnerQueue
    first_slot: Mapping[str, int]  # of each node, where all slots lie in a row

    @property
    def page_url(self) -> str:
        """The live page, with the key in the part of the address that is never sent."""
        return f"{self.server.settings.base_url}/#key={self.key}"


@contextmanager
def built(options: Options, open_server: Callable[[Settings], Server], day: Schedule) -> Iterator[Stage]:
    """A stage in a fresh data directory; when it is left, nothing of it runs any more.

    The owner's demand before the day is written into the books first, as if we had been there: the forecast learns from it.
    """
    settings = _settings(options)
    house.check(options.data_dir)
    _end_leftovers(settings, options.data_dir)
    house.replace(options.data_dir)
    server = open_server(settings)
    with ExitStack() as closing:
        closing.callback(house.end_runs, server.plane.engine)
        pool, gpu_model = _seed_history(server, day)
        server.start()
        closing.callback(server.stop)
        key = (settings.data_dir / OWNER_KEY_FILE).read_text().strip()
        owner = closing.enter_context(Client(server.settings.base_url, key))
        owner.put(f"/v1/pools/{pool}", pool_terms(options.pace))
        tenants = {tenant: closing.enter_context(_moved_in(owner, tenant)) for tenant in TENANTS}
        queue = _queue(options, owner, pool, gpu_model)
        closing.callback(queue.clear)
        yield Stage(server, pool, gpu_model, owner, tenants, key, queue, _first_slots(server))


def _queue(options: Options, owner: Client, pool: PoolId, gpu_model: str) -> OwnerQueue:
    if options.engine != "slurm":
        return OurQueue(owner, pool, gpu_model)
    assert options.largest is not None, "a cluster's options name its nodes' size"
    return SlurmQueue(Tools(timeout_s=named_cluster(settings_file.load()).timeout_s), options.largest)


def _first_slots(server: Server) -> Mapping[str, int]:
    found, at = {}, 0
    for node in sorted(server.plane.engine.nodes(), key=lambda node: node.id):
        found[str(node.id)] = at
        at += node.gpus
    return found


def _settings(options: Options) -> Settings:
    on_cluster = options.engine == "slurm"
    given = {
        "data_dir": options.data_dir.resolve(),
        "database": "",
        "engine_dir": None,
        "host": "127.0.0.1",
        "port": options.port,
        "public_url": "",
        "engine": options.engine or _engine(options.slots),
        "slots": options.slots,
        "tick_ms": TICK_MS,
        "meter_ms": METER_MS,
        "seed": options.seed,
        "log_level": "error",
    }
    return settings_file.changed(settings_file.load() if on_cluster else Settings(), given)


def _engine(slots: int) -> str:
    """This machine's GPUs where it has enough of them, else CPU slots, honestly called so."""
    found = find_devices(None)
    return "cpu" if found.model == "cpu" or found.count < slots else "local"


def _seed_history(server: Server, day: Schedule) -> tuple[PoolId, str]:
    """Note the demand before the day; returns the one pool of this machine, and what its GPUs are."""
    now_us = server.plane.clock.now_us()
    with server.plane.database.write() as tx:
        (row,) = pools.everything(tx)
        for at_us, gpus in day.history:
            spans.note_demand(tx, row.pool.id, Level(now_us + at_us, gpus))
    return row.pool.id, row.pool.gpu_model


def _moved_in(owner: Client, tenant: str) -> Client:
    """A tenant with an account and a key of its own."""
    owner.post("/v1/tenants", {"id": tenant, "name": tenant.capitalize()})
    made = owner.post("/v1/keys", {"scope": "tenant", "tenant": tenant, "name": "demo"})
    return Client(owner.url, made["secret"])


def _end_leftovers(settings: Settings, directory: Path) -> None:
    """End what a demo that was killed has left running, before its records are thrown away."""
    engine = house.left_running(directory)
    if engine is not None and settings.engine != "slurm":
        house.end_runs(ENGINES[settings.engine](EngineOptions(state=engine, slots=settings.slots)))
