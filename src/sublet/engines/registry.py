"""The engines by name. A new engine is one row here, one package beside this file and a run of the conformance suite."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sublet.core.errors import Invalid
from sublet.engines.fake import FakeEngine
from sublet.engines.local.devices import CpuSlots, find_devices
from sublet.engines.local.engine import LocalEngine
from sublet.engines.protocol import Engine
from sublet.engines.slurm.make import make as make_slurm
from sublet.engines.slurm.site import Cluster


def wall_clock_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine may be told when it is made; each takes what concerns it."""

    state: Path  # its own directory
    slots: int | None = None  # None: what the machine has
    hidden: tuple[Path, ...] = ()  # directories of the control plane that no tenant may see
    clock: Callable[[], int] = wall_clock_us
    cluster: Cluster | None = None  # where the Slurm engine finds its cluster


def _fake(options: EngineOptions) -> Engine:
    return FakeEngine(gpus=options.slots or 8, clock=options.clock)


def _local(options: EngineOptions) -> Engine:
    return LocalEngine(options.state, slots=options.slots, hidden=options.hidden)


def _cpu(options: EngineOptions) -> Engine:
    slots = CpuSlots(options.slots or find_devices(None).count)
    return LocalEngine(options.state, devices=slots, name="cpu", hidden=options.hidden)


def _slurm(options: EngineOptions) -> Engine:
    if options.cluster is None:
        hint = "set slurm_shared to a directory that this machine and every node see under the same path"
        raise Invalid("the engine slurm needs a directory shared with the nodes", field="slurm_shared", hint=hint)
    return make_slurm(options.cluster)


ENGINES: Mapping[str, Callable[[EngineOptions], Engine]] = {
    "fake": _fake,
    "local": _local,
    "cpu": _cpu,  # the local engine on CPU slots, also where the machine has GPUs
    "slurm": _slurm,  # jobs of a cluster that the owner goes on using
}


def make_engine(name: str, options: EngineOptions) -> Engine:
    """The engine of that name."""
    factory = ENGINES.get(name)
    if factory is None:
        raise Invalid(f"there is no engine {name!r}", field="engine", hint=f"use one of: {', '.join(sorted(ENGINES))}")
    return factory(options)
