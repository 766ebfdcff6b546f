"""The demo as a person runs it: a short day, its claims, and how it ends when it is interrupted or cannot begin."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

SHORT = ("--hours", "4", "--speed", "1440", "--plain")
SUBLET = (sys.executable, "-m", "sublet.main")
TIMEOUT_S = 90


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SUBLET, "demo", *words], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def processes_of(directory: Path) -> list[psutil.Process]:
    """Keepers and workloads whose command line or working directory lies in the data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(directory) in " ".join(process.cmdline()) or process.cwd().startswith(str(directory)):
                found.append(process)
        except psutil.Error:
            continue
    return [process for process in found if process.pid != os.getpid()]


def runs_in(directory: Path) -> int:
    """How many runs are going on there; what the engine tries out at its start is none."""
    running = 0
    for process in processes_of(directory):
        with contextlib.suppress(psutil.Error):
            running += any(part.endswith("keeper.py") for part in process.cmdline())
    return running


def a_day_with_a_burst(file: Path) -> None:
    """Quiet days, of which the forecast learns, and the four hours that are played: nearly the whole machine in their midst."""
    hour, end = 3_600, 120 * 3_600
    quiet = [(at, 600, 1) for at in range(0, end - 6 * hour, 6 * hour)]
    played = [(end - 4 * hour, 4 * hour, 1), (end - 2.4 * hour, hour / 2, 7), (end - hour / 2, 900, 2)]
    lines = [f"{at:.0f},{lasts:.0f},{gpus}" for at, lasts, gpus in [*quiet, *played]]
    file.write_text("\n".join(["submit_s,duration_s,gpus", *lines]) + "\n")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One short day's summary."""
    here = tmp_path_factory.mktemp("demo")
    a_day_with_a_burst(here / "jobs.csv")
    done = run(*SHORT, "--trace", "jobs.csv", "--json", "--data-dir", "data", cwd=here)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "here": here}


def test_every_gpu_second_has_one_state_exactly(day: dict[str, Any]) -> None:
    assert set(day["gpu_s"]) == {"owner", "leased", "reserve", "idle", "handover", "down"}
    assert sum(day["gpu_s"].values()) == day["capacity_gpu_s"]
    assert day["capacity_gpu_s"] == day["slots"] * day["length_s"]
    assert day["findings"] == []


def test_what_is_billed_is_what_was_leased_less_the_free_grace(day: dict[str, Any]) -> None:
    assert day["unfunded_gpu_s"] == 0
    assert day["billed_gpu_s"] == day["gpu_s"]["leased"] - day["grace_gpu_s"]
    assert sum(tenant["billed_gpu_s"] for tenant in day["tenants"]) == day["billed_gpu_s"]


def test_the_owner_comes_first(day: dict[str, Any]) -> None:
    assert day["promises_broken"] == 0
    assert day["owner_delay_s"]["max"] <= day["promise_s"]


def test_the_money_adds_up(day: dict[str, Any]) -> None:
    assert day["ledger_balanced"] is True
    assert sum(tenant["usage_micro"] for tenant in day["tenants"]) == day["revenue_micro"]
    assert -sum(tenant["credit_micro"] for tenant in day["tenants"]) == day["credits_micro"]
    assert -sum(tenant["refund_micro"] for tenant in day["tenants"]) == day["refunds_micro"]
    for tenant in day["tenants"]:
        assert tenant["due_micro"] == tenant["usage_micro"] + tenant["refund_micro"] + tenant["credit_micro"]
        page = (day["here"] / tenant["invoice"]).read_text()
        assert tenant["tenant"].capitalize() in page and "Invoice" in page


def test_leasing_used_what_lay_idle_and_the_owner_took_it_back(day: dict[str, Any]) -> None:
    assert day["utilisation_with"] > day["utilisation_without"]
    assert day["reclaims"] >= 1
    assert day["training"]["falling"] is True


def test_nothing_of_it_runs_any_more(day: dict[str, Any]) -> None:
    assert processes_of(day["here"]) == []


def test_an_interrupt_ends_it_in_order_and_the_next_run_replaces_its_data(tmp_path: Path) -> None:
    words = [*SUBLET, "demo", *SHORT, "--data-dir", "data"]
    begun = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: runs_in(tmp_path / "data") >= 2)
    begun.send_signal(signal.SIGINT)
    output, _ = begun.communicate(timeout=30)
    assert begun.returncode == 130 and "stopped" in output and "Traceback" not in output
    assert processes_of(tmp_path / "data") == []


def test_what_a_killed_demo_left_running_is_ended_by_the_next(tmp_path: Path) -> None:
    words = [*SUBLET, "demo", *SHORT, "--data-dir", "data"]
    begun = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: runs_in(tmp_path / "data") >= 2)
    begun.kill()
    begun.wait()
    left = processes_of(tmp_path / "data")
    assert left
    again = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: not any(process.is_running() for process in left))
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=30) == 130
    assert processes_of(tmp_path / "data") == []


def wait_for(true: Any, *, at_most_s: float = 30) -> None:
    deadline = time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def test_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    done = run(*SHORT, "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 2 and "not made by `sublet demo`" in done.stderr and "--data-dir" in done.stderr
    assert (tmp_path / "data" / "thesis.txt").read_text() == "mine"


def test_a_broken_trace_is_refused_with_the_line_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n1,2,none\n")
    done = run(*SHORT, "--trace", "jobs.csv", "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 2 and "jobs.csv:2: gpus is no number" in done.stderr.replace("\n", "")
    assert not (tmp_path / "data").exists()


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(*SHORT, "--port", str(port), "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 2 and str(port) in done.stderr and "Traceback" not in done.stderr
