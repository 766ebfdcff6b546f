"""The local engine as an adversary, a crash or a tenant would meet it. Every workload here is a real process."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from engine_rigs import SECOND, Rig, local_rig, plain_rig, sandbox_rig

from sublet.core.errors import Invalid, NotFound, Unavailable
from sublet.core.ids import RunId
from sublet.engines.local import engine as engine_module
from sublet.engines.local import environment, limits, processes
from sublet.engines.local.rundir import RunDir, keeper_lives
from sublet.engines.protocol import NoticeOrder, Phase, StopOrder

TRAINING = """python3 -c '
import json, os, signal, sys, time
def save(*_):
    notice = json.load(open(os.environ["SUBLET_NOTICE_FILE"]))
    print(json.dumps(notice))
    open(os.path.join(os.environ["SUBLET_CHECKPOINT_DIR"], "weights"), "w").write("42")
    open(os.path.join(os.environ["SUBLET_CHECKPOINT_DIR"], ".sublet-checkpointed"), "w").close()
    sys.exit(85)
signal.signal(signal.SIGTERM, save)
print("absent" if not os.path.exists(os.environ["SUBLET_NOTICE_FILE"]) else "there", flush=True)
time.sleep(60)
'"""


def run_dir(rig: Rig, run: RunId) -> RunDir:
    assert rig.state is not None
    return RunDir(rig.state / "runs" / run)


def keeper_pid(rig: Rig, run: RunId) -> int:
    return int(json.loads(run_dir(rig, run).claim.read_text())["keeper"])


def until_gone(pid: int) -> None:
    give_up = time.monotonic() + 5
    while (process := processes.look(pid)) is not None and not process.zombie:
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_training_run_reads_its_notice_saves_and_resumes(local: Rig) -> None:
    run = local.start(TRAINING)
    local.until_printed(run, "absent")
    deadline = local.now() + 30 * SECOND
    local.engine.notify([NoticeOrder(run, deadline, "reclaimed"), NoticeOrder(run, deadline, "reclaimed")])
    assert local.until(run, Phase.EXITED).exit_code == 85
    notice = json.loads(local.printed(run).splitlines()[1])
    assert notice["action"] == "terminate" and notice["reason"] == "reclaimed" and notice["deadline_us"] == deadline
    assert notice["time"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(deadline // SECOND))
    assert local.result('cat "$SUBLET_CHECKPOINT_DIR/weights"', "lease.2", attempt=2) == "42"
    assert local.seen(RunId("lease.2")).checkpoint_us is None, "an earlier attempt's checkpoint is not this one's"
    local.engine.clean([run, RunId("lease.2")])
    local.engine.discard("lease")
    assert local.result('ls -A "$SUBLET_CHECKPOINT_DIR"', "lease.3") == ""


def test_the_signal_a_workload_asked_for_is_the_one_it_gets(local: Rig) -> None:
    run = local.start("trap 'echo usr1; exit 3' USR1; echo up; while :; do sleep 0.02; done")
    local.until_printed(run, "up")
    local.engine.notify([NoticeOrder(run, local.now() + 30 * SECOND, "expired", signal="USR1")])
    assert local.until(run, Phase.EXITED).exit_code == 3


def test_a_program_that_saves_on_the_notice_is_not_signalled_itself(local: Rig) -> None:
    saves = "sh -c 'sleep 0.2; touch \"$SUBLET_CHECKPOINT_DIR/.sublet-checkpointed\"'; exit 85"
    run = local.start(f"trap {shlex.quote(saves)} TERM; echo up; while :; do sleep 0.02; done")
    local.until_printed(run, "up")
    local.engine.notify([NoticeOrder(run, local.now() + 30 * SECOND, "reclaimed")])
    seen = local.until(run, Phase.EXITED)
    assert seen.exit_code == 85 and seen.checkpoint_us is not None


def test_processes_that_hide_from_their_session_end_with_the_run(local: Rig) -> None:
    hide = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo hidden $$; while :; do sleep 0.05; done' &) ; sleep 60"
    run = local.start(hide)
    local.until_printed(run, "hidden")
    local.until(run, Phase.RUNNING)
    below = processes.descendants(keeper_pid(local, run))
    assert len(below) >= 3
    local.engine.stop([StopOrder(run, 100_000)])
    local.until(run, Phase.EXITED)
    for process in below:
        until_gone(process.pid)


def test_what_outlives_the_main_process_is_ended_with_it(local: Rig) -> None:
    run = local.start("(setsid sleep 61 &) ; echo done")
    seen = local.until(run, Phase.EXITED)
    assert seen.exit_code == 0
    assert not processes.marked(json.loads(run_dir(local, run).spec.read_text())["mark"])


def test_hand_over_wipes_scratch_and_keeps_the_volume(local: Rig) -> None:
    run = local.start('mkdir -p a/b; echo x > a/b/c; chmod 000 a/b a; echo kept > "$SUBLET_CHECKPOINT_DIR/kept"')
    local.until(run, Phase.EXITED)
    local.engine.clean([run])
    seen = local.seen(run)
    assert seen.phase is Phase.CLEAN
    assert seen.evidence["scratch"] == "removed" and seen.evidence["devices"].startswith("no device")
    assert not run_dir(local, run).scratch.exists() and not run_dir(local, run).told.exists()
    assert local.result('cat "$SUBLET_CHECKPOINT_DIR/kept"', "lease.2") == "kept\n"


@pytest.mark.usefixtures("as_root")
def test_hand_over_that_cannot_wipe_is_dirty_until_it_can(local: Rig) -> None:
    run = local.start("echo x > stuck")
    local.until(run, Phase.EXITED)
    scratch = run_dir(local, run).scratch
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", scratch / "tmp"], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        local.engine.clean([run])
        seen = local.seen(run)
        assert seen.phase is Phase.DIRTY and "scratch" in seen.evidence["problem"]
    finally:
        subprocess.run(["umount", scratch / "tmp"], check=True)
    local.engine.clean([run])
    assert local.seen(run).phase is Phase.CLEAN


def test_a_dead_keeper_means_a_lost_run_whose_leftovers_are_ended(state: Path) -> None:
    rig = plain_rig(state)
    run = rig.start("trap '' TERM; echo up; (setsid sh -c 'echo $$ > pid; exec sleep 62' &); sleep 63")
    rig.until_printed(run, "up")
    rig.until(run, Phase.RUNNING)
    keeper = keeper_pid(rig, run)
    hidden = run_dir(rig, run).scratch / "pid"
    while not hidden.exists() or not hidden.read_text():
        rig.step()
    left = int(hidden.read_text())
    os.kill(keeper, signal.SIGKILL)
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code is None and "keeper" in seen.evidence["error"]
    assert seen.started_us is not None and seen.exited_us is not None
    assert seen.started_us <= seen.exited_us <= rig.now()
    rig.start("echo again")
    assert rig.seen(run) == seen, "a lost run is never started again"
    assert processes.look(left) is not None
    rig.engine.clean([run])
    assert rig.seen(run).phase is Phase.CLEAN and "ended" in rig.seen(run).evidence["processes"]
    until_gone(left)


def test_a_sandbox_dies_with_its_keeper(state: Path) -> None:
    rig = sandbox_rig(state)
    run = rig.start("trap '' TERM; (setsid sleep 64 &); sleep 65")
    rig.until(run, Phase.RUNNING)
    keeper = keeper_pid(rig, run)
    below = processes.descendants(keeper)
    os.kill(keeper, signal.SIGKILL)
    for process in below:
        until_gone(process.pid)
    rig.end_all()


ADOPTEE = """
import sys, time
from pathlib import Path
from typing import Any
from sublet.core.workload import Workload
from sublet.engines.local.engine import LocalEngine
from sublet.engines.protocol import Phase, StartOrder
engine = LocalEngine(Path(sys.argv[1]), slots=4, use_sandbox=sys.argv[2] == "sandbox", readable=())
node = engine.nodes()[0].id
engine.start([StartOrder(r, "task", ((node, 1),), Workload(w), volume=r) for r, w in
              (("long.1", "echo x >> $SUBLET_CHECKPOINT_DIR/count; exec sleep 66"), ("short.1", "sleep 0.3; exit 5"))])
while engine.observe()["long.1"].phase is not Phase.RUNNING:
    time.sleep(0.005)
print("up", flush=True)
time.sleep(60)
"""


def test_runs_outlive_the_control_plane_and_are_adopted(local: Rig) -> None:
    assert local.state is not None
    first = subprocess.Popen([sys.executable, "-c", ADOPTEE, local.state, local.name], stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"up\n"
    first.kill()
    first.wait()
    first.stdout.close()
    long, short = RunId("long.1"), RunId("short.1")
    assert local.until(short, Phase.EXITED).exit_code == 5
    assert local.seen(long).phase is Phase.RUNNING
    again = local.order("echo y >> $SUBLET_CHECKPOINT_DIR/count", "long.1")
    local.engine.start([again])
    local.engine.stop([StopOrder(long, SECOND)])
    local.until(long, Phase.EXITED)
    assert (local.state / "volumes" / "long.1" / "count").read_text() == "x\n", "it ran exactly once"


def test_a_crash_between_the_directory_and_the_keeper_is_repaired_by_starting_again(
    local: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crash:

        def killed(_: RunDir) -> int:
            raise KeyboardInterrupt

        crash.setattr(engine_module, "_spawn_keeper", killed)
        with pytest.raises(KeyboardInterrupt):
            local.start("exits with 7")
    run = RunId("lease.1")
    assert local.seen(run).phase is Phase.STARTING
    local.start("exits with 7")
    assert local.until(run, Phase.EXITED).exit_code == 7


def test_many_keepers_for_one_run_run_it_once(local: Rig) -> None:
    run = local.start('echo x >> "$SUBLET_CHECKPOINT_DIR/count"; sleep 0.3')
    for _ in range(5):
        engine_module._spawn_keeper(run_dir(local, run))
    local.until(run, Phase.EXITED)
    time.sleep(0.3)
    assert local.result('cat "$SUBLET_CHECKPOINT_DIR/count"', "lease.2") == "x\n"


def test_a_pid_that_was_used_again_fools_nobody(state: Path) -> None:
    rig = plain_rig(state)
    run = rig.start("exits with 7")
    rig.until(run, Phase.EXITED)
    while keeper_lives(run_dir(rig, run)):
        rig.step()
    stranger = subprocess.Popen(["sleep", "67"])
    try:
        files = run_dir(rig, run)
        claim = json.loads(files.claim.read_text()) | {"keeper": stranger.pid}
        files.claim.write_text(json.dumps(claim))
        files.started.write_text(json.dumps({"started_us": claim["at_us"], "main": stranger.pid}))
        files.exited.rename(files.reserved(files.exited))
        fresh = plain_rig(state)
        assert fresh.seen(run).phase is Phase.EXITED and fresh.seen(run).exit_code is None
        fresh.engine.stop([StopOrder(run, 0)])
        fresh.engine.clean([run])
        assert fresh.seen(run).phase is Phase.CLEAN
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_starting_and_stopping_at_once_never_leaves_a_process(local: Rig) -> None:
    for number in range(6):
        run = RunId(f"race-{number}.1")
        order = local.order("exec sleep 68", run)
        threads = [
            threading.Thread(target=local.engine.start, args=([order],)),
            threading.Thread(target=local.engine.stop, args=([StopOrder(run, SECOND)],)),
        ]
        for thread in threads if number % 2 else reversed(threads):
            thread.start()
        for thread in threads:
            thread.join()
        local.until(run, Phase.EXITED)
        local.engine.clean([run])
        assert local.seen(run).phase is Phase.CLEAN


def test_nothing_of_the_control_planes_environment_is_passed_on(local: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBLET_DATABASE_PASSWORD", "hunter2")
    options: dict[str, Any] = {
        "workload_env": {"MINE": 'it\'s "$x"\nok', "BOTH": "a"},
        "env": {"BOTH": "b"},
        "mask": 0b1010,
        "attempt": 3,
    }
    printed = local.result("env -0 | tr '\\n\\0' '|\\n'; pwd; cat /proc/self/status | grep NoNewPrivs", **options)
    env = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    assert "hunter2" not in printed
    assert env["MINE"] == 'it\'s "$x"|ok' and env["BOTH"] == "b"
    expected = {
        "SUBLET_RUN_ID": "lease.1",
        "SUBLET_TASK_ID": "task",
        "SUBLET_ATTEMPT": "3",
        "SUBLET_GPUS": "2",
        "SUBLET_GPU_IDS": "1,3",
        "SUBLET_NODE_RANK": "0",
        "SUBLET_NUM_NODES": "1",
        "SKYPILOT_NUM_GPUS_PER_NODE": "2",
        "SKYPILOT_TASK_ID": "task",
        "HOME": env["SUBLET_SCRATCH"],
    }
    assert expected.items() <= env.items()
    assert "CUDA_VISIBLE_DEVICES" not in env
    assert env["SUBLET_SCRATCH"] in printed.splitlines()
    assert "NoNewPrivs:\t1" in printed


@pytest.mark.usefixtures("as_root")
def test_tenants_neither_read_nor_signal_each_other(local: Rig) -> None:
    victim = local.start("echo secret > mine; echo secret > $SUBLET_CHECKPOINT_DIR/mine; echo up; exec sleep 69", "victim.1")
    local.until_printed(victim, "up")
    local.until(victim, Phase.RUNNING)
    files = run_dir(local, victim)
    pid = json.loads(files.started.read_text())["main"]
    volume = json.loads(files.spec.read_text())["volume"]
    paths = f"{files.scratch}/mine {volume}/mine {files.told}/run.sh {files.spec} {files.path}/log.* /proc/{pid}/environ"
    attack = f"cat {paths}; ls {files.path}; kill -9 {pid}; for p in /proc/[0-9]*; do cat $p/environ; done; id -u"
    printed = local.result(f"({attack}) 2>/dev/null | tr '\\0' '\\n'; true", "thief.1")
    assert "secret" not in printed and "victim" not in printed
    assert local.seen(victim).phase is Phase.RUNNING
    assert int(printed.splitlines()[-1]) > 0


def test_a_sandbox_shows_the_system_read_only_and_nothing_of_ours(state: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("ours")
    rig = sandbox_rig(state, hidden=(tmp_path,), readable=(tmp_path.parent,))
    look = f"ls {state}; ls {tmp_path}; cat {tmp_path}/ledger; ls /root /home; ls /tmp; touch /usr/x /etc/x /x && echo lease"
    printed = rig.result(f"({look}) 2>/dev/null; echo $?")
    assert "ledger" not in printed and "ours" not in printed and "lease" not in printed
    assert rig.result("touch /tmp/a $HOME/b /dev/shm/c $SUBLET_CHECKPOINT_DIR/d && echo fine", "lease.2") == "fine\n"
    rig.end_all()


def test_workloads_may_use_our_interpreter_in_a_sandbox(state: Path) -> None:
    rig = sandbox_rig(state)
    run = rig.start("python -c 'import sublet, numpy; sublet.checkpointed()'")
    seen = rig.until(run, Phase.EXITED)
    assert seen.exit_code == 0, rig.printed(run)
    assert seen.checkpoint_us is not None
    rig.end_all()


def test_the_owners_job_is_not_confined(local: Rig) -> None:
    printed = local.result("id -u; pwd; cat $SUBLET_SCRATCH/../spec.json | head -c 9", "job.1", is_owner=True)
    assert printed.splitlines()[0] == str(os.geteuid())
    assert '{"run"' in printed


def test_a_run_over_its_memory_ends(local: Rig) -> None:
    run = local.start("python3 -c 'x = bytearray(200 << 20)'; exit $?", memory_mib=64)
    assert local.until(run, Phase.EXITED).exit_code not in {0, None}
    assert local.result("python3 -c 'x = bytearray(20 << 20); print(1)'", "small.1", memory_mib=64) == "1\n"


def test_a_run_over_its_processes_gets_no_more(local: Rig) -> None:
    script = """python3 -c '
import os, time
made = 0
try:
    while made < 50:
        if os.fork() == 0:
            time.sleep(30)
        made += 1
except BlockingIOError:
    print("made", made)
'"""
    assert local.result(script, processes=6) == "made 4\n", "the shell and the parent count, too"


def test_limits_hold_without_control_groups(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "find", lambda _: limits.Watched())
    rig = plain_rig(state)
    many = rig.start("for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done; wait", "many.1", processes=6, is_owner=True)
    big = rig.start("python3 -c 'x = bytearray(200 << 20)'", "big.1", memory_mib=64)
    crowd = "for i in 1 2 3; do python3 -c 'import time; x = bytearray(60 << 20); time.sleep(30)' & done; wait"
    sum_of = rig.start(crowd, "sum.1", memory_mib=100)
    assert rig.until(many, Phase.EXITED).evidence["ended_by"] == "processes"
    assert rig.until(big, Phase.EXITED).exit_code == 1 and "MemoryError" in rig.printed(big)
    assert rig.until(sum_of, Phase.EXITED).evidence["ended_by"] == "memory"
    rig.engine.clean([sum_of])
    assert rig.seen(sum_of).evidence["memory limit"] == "rlimit and watched"
    rig.end_all()


def test_a_checkpoint_in_the_future_counts_as_now(local: Rig) -> None:
    run = local.start('touch -d "2099-01-01" "$SUBLET_CHECKPOINT_DIR/.sublet-checkpointed"; echo up; sleep 60')
    local.until_printed(run, "up")
    marked = local.until(run, Phase.RUNNING).checkpoint_us
    assert marked is not None and marked <= local.now()


def test_the_log_has_offsets_and_a_limit(state: Path) -> None:
    rig = plain_rig(state, log_bytes=200_000)
    run = rig.start("seq 1 100000; echo the end; seq 1 3 >&2")
    rig.until(run, Phase.EXITED)
    text = b"".join(rig.engine.logs(run))
    assert 100_000 <= len(text) <= 200_000 and text.endswith(b"the end\n1\n2\n3\n")
    total = sum(len(str(n)) + 1 for n in range(1, 100_001)) + len("the end\n1\n2\n3\n")
    assert b"".join(rig.engine.logs(run, offset=total - 6)) == b"1\n2\n3\n"
    assert b"".join(rig.engine.logs(run, offset=total)) == b""
    assert sum(path.stat().st_size for path in run_dir(rig, run).path.glob("log.*")) <= 200_000
    rig.end_all()


def test_a_shell_that_cannot_start_says_so_and_is_not_billed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = plain_rig(state)
    monkeypatch.setattr(environment, "shell", lambda: "/nowhere/bash")
    run = rig.start("exits with 7")
    seen = rig.until(run, Phase.EXITED)
    assert seen.started_us is None and seen.exit_code == 126 and "could not be started" in seen.evidence["error"]


def test_setup_comes_first_and_its_failure_ends_the_run(local: Rig) -> None:
    assert local.result("echo $X", "a.1", setup="X=5; echo setup") == "setup\n5\n"
    run = local.start("echo never", "b.1", setup="false")
    assert local.until(run, Phase.EXITED).exit_code == 1 and local.printed(run) == ""


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"run": "../x"}, "run"),
        ({"run": "a.1", "volume": "a/b"}, "volume"),
        ({"run": "a.1", "env": {"A B": "x"}}, "env"),
        ({"run": "a.1", "mask": 1 << 4}, "placement"),
    ],
)
def test_wrong_orders_are_refused_and_leave_nothing(state: Path, options: dict[str, object], field: str) -> None:
    rig = plain_rig(state)
    with pytest.raises(Invalid) as refusal:
        rig.start("exits with 7", **options)  # type: ignore[arg-type]
    assert refusal.value.field == field
    assert rig.engine.observe() == {} and not list((state / "runs").iterdir())
    with pytest.raises(NotFound):
        rig.engine.logs(RunId("a.1"))


@pytest.mark.usefixtures("as_root")
def test_a_full_disk_refuses_new_runs_and_still_ends_old_ones(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        rig = local_rig("plain", disk, use_sandbox=False)
        old = rig.start("dd if=/dev/zero of=fill bs=4k; echo full; trap '' TERM; while :; do sleep 0.05; done", "old.1")
        rig.until(old, Phase.RUNNING)
        while shutil.disk_usage(disk).free:
            rig.step()
        with pytest.raises(Unavailable) as refusal:
            rig.start("exits with 7", "new.1")
        assert str(disk) in refusal.value.message and refusal.value.hint
        assert set(rig.engine.observe()) == {old}
        rig.engine.notify([NoticeOrder(old, rig.now() + 30 * SECOND, "reclaimed")])
        rig.engine.stop([StopOrder(old, 100_000)])
        assert rig.until(old, Phase.EXITED).evidence["ended_by"] == "stop"
        rig.engine.clean([old])
        assert rig.seen(old).phase is Phase.CLEAN
        rig.start("exits with 7", "new.1")
        rig.until(RunId("new.1"), Phase.EXITED)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_observing_many_finished_runs_is_cheap(state: Path) -> None:
    rig = plain_rig(state)
    names = [RunId(f"r{number}.1") for number in range(150)]
    rig.engine.stop([StopOrder(name, 0) for name in names])
    rig.engine.clean(names)
    rig.engine.observe()
    begun = time.perf_counter()
    assert len(rig.engine.observe()) == 150
    assert time.perf_counter() - begun < 0.05


@pytest.mark.parametrize("open_files", range(1, 7))
def test_a_run_prints_however_many_files_its_starter_had_open(local: Rig, open_files: int) -> None:
    """Files that a keeper inherits move the numbers of its pipes; one of them may be the number that tells it is ready."""
    inherited = [os.open(os.devnull, os.O_RDONLY) for _ in range(open_files)]
    for fd in inherited:
        os.set_inheritable(fd, True)  # noqa: FBT003 (its only way)
    try:
        run = local.start("echo here; exec sleep 60")
        local.until_printed(run, "here")
    finally:
        for fd in inherited:
            os.close(fd)
