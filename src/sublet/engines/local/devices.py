"""What a slot of this machine is: an NVIDIA GPU, as NVML shows it, or a CPU slot, honestly called so."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sublet.core.errors import Invalid

try:
    import pynvml
except ImportError:  # the library is optional: without it, slots are CPU slots
    pynvml = None

MAX_SLOTS = 64
MIB = 1 << 20
IDLE_GPU_MIB = 1_024
"""What a driver may itself hold on an idle GPU; more than this means that somebody's data is still there."""


class Devices(Protocol):
    """The slots of this machine."""

    @property
    def model(self) -> str:
        """What one slot is."""

    @property
    def count(self) -> int:
        """How many there are."""

    def env(self, slots: Sequence[int]) -> dict[str, str]:
        """Variables that show a workload its devices and no others."""

    def files(self, slots: Sequence[int]) -> list[Path]:
        """Device files a sandbox must let through."""

    def health(self) -> tuple[bool, str]:
        """Whether the node's devices are fit for use, and what is wrong if not."""

    def check(self, slots: Sequence[int]) -> tuple[bool, str]:
        """After a run: whether these devices are free of it, and the evidence."""


@dataclass(frozen=True, slots=True)
class CpuSlots:
    """Slots without a device behind them."""

    count: int
    model: str = "cpu"

    def env(self, slots: Sequence[int]) -> dict[str, str]:  # noqa: ARG002
        """Nothing: a slot that is no GPU must not pretend to be one."""
        return {}

    def files(self, slots: Sequence[int]) -> list[Path]:  # noqa: ARG002
        """None."""
        return []

    def health(self) -> tuple[bool, str]:
        """A CPU slot cannot break alone."""
        return True, ""

    def check(self, slots: Sequence[int]) -> tuple[bool, str]:  # noqa: ARG002
        """There is nothing to check."""
        return True, "no device: cpu slots"


class NvidiaGpus:
    """GPUs through NVML. A slot is the index NVML gives."""

    def __init__(self, nvml: Any, count: int) -> None:
        self._nvml = nvml
        self.count = count
        name = nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(0))
        self.model = name if isinstance(name, str) else name.decode()

    def env(self, slots: Sequence[int]) -> dict[str, str]:
        """GPUs by UUID: an index would mean another GPU inside a sandbox."""
        uuids = [self._nvml.nvmlDeviceGetUUID(self._handle(slot)) for slot in slots]
        return {"CUDA_VISIBLE_DEVICES": ",".join(u if isinstance(u, str) else u.decode() for u in uuids)}

    def files(self, slots: Sequence[int]) -> list[Path]:
        """The granted GPUs and the driver's control files."""
        minors = [self._nvml.nvmlDeviceGetMinorNumber(self._handle(slot)) for slot in slots]
        control = [Path("/dev") / name for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")]
        return [*(Path(f"/dev/nvidia{minor}") for minor in minors), *control]

    def health(self) -> tuple[bool, str]:
        """Every GPU answers."""
        try:
            for slot in range(self.count):
                self._nvml.nvmlDeviceGetMemoryInfo(self._handle(slot))
        except self._nvml.NVMLError as error:
            return False, f"a GPU does not answer: {error}"
        return True, ""

    def check(self, slots: Sequence[int]) -> tuple[bool, str]:
        """No process on the GPUs and no memory in use. NVML cannot reset a GPU, so none is reset."""
        try:
            seen = [self._check_one(slot) for slot in slots]
        except self._nvml.NVMLError as error:
            return False, f"a GPU does not answer: {error}"
        return all(fine for fine, _ in seen), "; ".join(text for _, text in seen)

    def _check_one(self, slot: int) -> tuple[bool, str]:
        handle = self._handle(slot)
        busy = len(self._nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        used_mib = int(self._nvml.nvmlDeviceGetMemoryInfo(handle).used) // MIB
        return busy == 0 and used_mib <= IDLE_GPU_MIB, f"gpu {slot}: {busy} processes, {used_mib} MiB in use, not reset"

    def _handle(self, slot: int) -> Any:
        return self._nvml.nvmlDeviceGetHandleByIndex(slot)


def find_devices(slots: int | None) -> Devices:
    """The machine's GPUs (the first `slots` of them), else `slots` CPU slots, by default one a processor."""
    if slots is not None and not 1 <= slots <= MAX_SLOTS:
        raise Invalid(f"slots must be from 1 to {MAX_SLOTS}, not {slots}", field="slots")
    gpus = _gpu_count()
    if not gpus:
        return CpuSlots(slots or min(os.cpu_count() or 1, MAX_SLOTS))
    if slots is not None and slots > gpus:
        raise Invalid(f"this machine has {gpus} GPUs, so {slots} slots cannot be offered", field="slots")
    return NvidiaGpus(pynvml, slots or min(gpus, MAX_SLOTS))


def _gpu_count() -> int:
    """How many GPUs NVML sees; 0 without a driver."""
    if pynvml is None:
        return 0
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0
