"""Parts of the local engine that this machine cannot show as a whole: other kernels, GPUs, users without rights."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sublet
from sublet.core.errors import Invalid
from sublet.engines.local import devices, engine, identity, limits, processes, sandbox
from sublet.engines.local.deadlines import Deadlines, SteadyClock
from sublet.engines.local.devices import CpuSlots, NvidiaGpus, find_devices
from sublet.engines.local.limits import CgroupV1, CgroupV2
from sublet.engines.local.sandbox import Walls


def test_cgroup_v2_limits_are_written_where_the_kernel_reads_them(tmp_path: Path) -> None:
    group = tmp_path / "lease.1"
    group.mkdir()
    (group / "memory.swap.max").touch()
    applied = CgroupV2(tmp_path).prepare("lease.1", 64, 10, own_user=False)
    assert (group / "memory.max").read_text() == str(64 << 20)
    assert (group / "memory.swap.max").read_text() == "0"
    assert (group / "pids.max").read_text() == "10"
    assert applied.groups == (str(group),) and applied.memory == applied.processes == "cgroup v2"
    (group / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert limits.ran_out_of_memory(applied.groups)
    (group / "cgroup.procs").write_text("12\n13\n")
    assert limits.members(applied.groups) == {12, 13}


def test_cgroup_v1_uses_a_group_a_controller_and_none_for_memory_without_a_limit(tmp_path: Path) -> None:
    v1 = CgroupV1(tmp_path / "memory", tmp_path / "pids")
    assert v1.prepare("a.1", None, None, own_user=False).groups == (str(tmp_path / "pids" / "a.1"),)
    applied = v1.prepare("b.1", 64, None, own_user=False)
    assert (tmp_path / "memory" / "b.1" / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert applied.processes == "unlimited"


def test_the_keeper_loads_nothing_but_the_standard_library() -> None:
    show = "import sys, runpy; runpy.run_path(sys.argv[1]); print(*sys.modules)"
    root = str(Path(sublet.__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {root!r}); {show}"
    words = [sys.executable, "-I", "-S", "-c", code, str(engine.KEEPER)]
    loaded = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"sublet", "__main__"}
    assert not foreign
    assert "sublet.core" not in loaded and "dataclasses" not in loaded, "a start waits for these"


class Nvml:
    """The few calls of NVML that the engine makes, answered as its manual says."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, used_mib: int = 4, busy: int = 0) -> None:
        self.used_mib = used_mib
        self.busy = busy

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's name
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 4

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, _: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}"

    def nvmlDeviceGetMinorNumber(self, handle: int) -> int:  # noqa: N802
        return handle + 4

    def nvmlDeviceGetMemoryInfo(self, _: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=self.used_mib << 20)

    def nvmlDeviceGetComputeRunningProcesses(self, _: int) -> list[int]:  # noqa: N802
        return [1] * self.busy


def test_gpus_are_named_by_uuid_and_let_through_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "pynvml", Nvml())
    gpus = find_devices(None)
    assert (gpus.model, gpus.count, gpus.health()) == ("NVIDIA H100", 4, (True, ""))
    assert gpus.env([1, 3]) == {"CUDA_VISIBLE_DEVICES": "GPU-1,GPU-3"}
    assert [str(path) for path in gpus.files([1])][:2] == ["/dev/nvidia5", "/dev/nvidiactl"]
    assert find_devices(2).count == 2
    with pytest.raises(Invalid, match="4 GPUs"):
        find_devices(5)


@pytest.mark.parametrize(("used_mib", "busy", "fine"), [(4, 0, True), (40_000, 0, False), (4, 1, False)])
def test_a_gpu_with_somebodys_data_or_process_is_not_handed_over(used_mib: int, busy: int, *, fine: bool) -> None:
    verdict, evidence = NvidiaGpus(Nvml(used_mib=used_mib, busy=busy), 4).check([0])
    assert verdict is fine and f"{used_mib} MiB" in evidence


def test_without_gpus_slots_are_honestly_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "pynvml", None)
    assert find_devices(3) == CpuSlots(3)
    assert find_devices(None).count == min(os.cpu_count() or 1, 64)
    for wrong in (0, 65):
        with pytest.raises(Invalid, match="from 1 to 64"):
            find_devices(wrong)


def test_deadlines_do_not_follow_a_wall_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines, clock = Deadlines(), SteadyClock()
    now = time.time_ns()
    deadlines.set("notice", now // 1_000 + 50_000)
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600 * 10**9)
    assert deadlines.due() is None
    assert abs(clock.now_us() - now // 1_000) < 1_000_000, "a clock set back by an hour is not followed"
    time.sleep(deadlines.wait_ms(1_000) / 1_000)
    assert deadlines.due() == "notice"


def test_deeper_paths_win_when_some_are_shown_and_some_hidden(tmp_path: Path) -> None:
    data, venv = tmp_path / "data", tmp_path / "data" / "venv"
    venv.mkdir(parents=True)
    walls = Walls(tmp_path, tmp_path, None, [], [tmp_path, venv], [data], None)
    words = sandbox.command("bwrap", walls, ["true"])
    shown, masked, again = (words.index(str(path)) for path in (tmp_path, data, venv))
    assert words[masked - 1] == "--tmpfs"
    assert shown < masked < again


def test_two_engines_of_one_machine_give_out_different_users() -> None:
    ranges = [users for state in ("/srv/a", "/srv/b") if (users := identity.uid_range(Path(state)))]
    assert not ranges or set(ranges[0]).isdisjoint(ranges[1])


ROOTLESS = """
import os, sys, time
from pathlib import Path
from sublet.core.workload import Workload
from sublet.engines.local.engine import LocalEngine
from sublet.engines.protocol import Phase, StartOrder, StopOrder
for sandbox in (False, True):
    engine = LocalEngine(Path(sys.argv[1]) / str(sandbox), slots=2, use_sandbox=sandbox)
    print(engine.capabilities.isolation, file=sys.stderr)
    order = StartOrder("a.1", "task", ((engine.nodes()[0].id, 1),), Workload("echo $$; id -u; exec sleep 60"), volume="a")
    engine.start([order])
    while engine.observe()["a.1"].phase is not Phase.RUNNING:
        assert engine.observe()["a.1"].phase is not Phase.EXITED, (engine.observe(), list(engine.logs("a.1")))
        time.sleep(0.01)
    while len(b"".join(engine.logs("a.1")).split()) < 2:
        time.sleep(0.01)
    engine.stop([StopOrder("a.1", 1000000)])
    while engine.observe()["a.1"].phase is not Phase.EXITED:
        time.sleep(0.01)
    engine.clean(["a.1"])
    print(engine.observe()["a.1"].phase, b"".join(engine.logs("a.1")).split()[1].decode())
"""


def test_it_works_without_root(state: Path) -> None:
    python = shutil.which("python3", path="/usr/bin")
    if os.geteuid() != 0 or python is None or not shutil.which("setpriv"):
        pytest.skip("needs root to give root up, setpriv and a system Python")
    state.chmod(0o777)
    path = f"{Path(sublet.__file__).parents[1]}:{sysconfig.get_path('purelib')}"
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    probe = [*nobody, python, "-c", "import numpy, sublet"]
    if subprocess.run(probe, env={"PYTHONPATH": path}, capture_output=True, check=False).returncode:
        pytest.skip("the system's Python cannot use these packages as another user")
    words = [*nobody, python, "-c", ROOTLESS, str(state)]
    done = subprocess.run(words, env={"PYTHONPATH": path}, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["clean 65534", "clean 65534"], done.stderr
    assert "service's user" in done.stderr


@pytest.mark.parametrize("lists", [True, False])
def test_what_is_below_a_process_is_found_by_either_way(monkeypatch: pytest.MonkeyPatch, *, lists: bool) -> None:
    if not lists:
        monkeypatch.setattr(processes, "_children", None)
        monkeypatch.setattr(Path, "exists", lambda _: False)
    tree = "sleep 60 & (sleep 61 & sleep 62 & wait) & wait"
    with subprocess.Popen(["/bin/sh", "-c", tree], start_new_session=True) as top:
        try:
            give_up = time.monotonic() + 10
            while len(found := processes.below(top.pid)) < 4 and time.monotonic() < give_up:
                time.sleep(0.01)
            assert {(one.pid, one.born) for one in found} == {(one.pid, one.born) for one in processes.descendants(top.pid)}
            assert len(found) == 4 and all(one.session == top.pid for one in found)
        finally:
            os.killpg(top.pid, signal.SIGKILL)
    assert processes.below(top.pid) == []
