"""Task files: SkyPilot's fields unchanged, our terms beside them, all mistakes at once."""

import contextlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sublet.app import task_files
from sublet.app.complaints import InvalidFields
from sublet.app.quantities import amount, duration_us, money_micro
from sublet.app.tasks import Task
from sublet.core.lease import LeaseClass
from sublet.core.residency import Label
from sublet.core.units import HOUR_US, SECOND_US, TICK_US

SKYPILOT = """\
name: train
workdir: .
num_nodes: 2
resources:
  infra: aws
  accelerators: H100:8
  cpus: 4+
  memory: 32
  use_spot: true
  disk_size: 256
file_mounts: {/data: s3://bucket}
envs: {EPOCHS: 3, DEBUG: true, RATE: 0.1}
secrets: {HF_TOKEN: abc}
setup: |
  pip install -r requirements.txt
run: |
  torchrun train.py
"""


def test_a_file_for_skypilot_is_taken_as_it_is() -> None:
    asked = task_files.read(SKYPILOT).request()
    assert (asked.name, asked.gpu_model, asked.gpus_per_node, asked.nodes, asked.gpus) == ("train", "H100", 8, 2, 16)
    assert asked.workload.run == "torchrun train.py\n" and asked.workload.setup == "pip install -r requirements.txt\n"
    assert asked.workload.env == {"EPOCHS": "3", "DEBUG": "true", "RATE": "0.1", "HF_TOKEN": "abc"}
    assert asked.workload.memory_mib == 32 * 1_024
    told = " ".join(asked.remarks)
    assert all(name in told for name in ("workdir", "file_mounts", "infra", "use_spot", "disk_size", "cpus"))


def test_the_terms() -> None:
    text = """\
run: x
lease:
  class: guarded
  hours: 4
  notice: 2m
  max_price: $1.50
  residency: oslo
  webhook: https://example.org/hook
  notice_signal: USR1
  restart: false
  checkpoint: {path: out/ckpt, every: 10m}
"""
    asked = task_files.read(text).request()
    assert asked.lease_class is LeaseClass.GUARDED and asked.term_us == 4 * HOUR_US and asked.grace_us == 120 * SECOND_US
    assert asked.bid_micro == 1_500_000 and asked.label == Label(("oslo",)) and not asked.restartable
    work = asked.workload
    assert work.checkpoints and work.notice_signal == "USR1" and work.webhook == "https://example.org/hook"
    assert work.env["SUBLET_CHECKPOINT_EVERY_S"] == "600"


def test_the_checkpoint_path_leads_to_what_survives(tmp_path: Path) -> None:
    saved = tmp_path / "saved dir"
    saved.mkdir()
    setup = task_files.read("run: x\nlease: {checkpoint: {path: out/my ckpt}}\n").request().workload.setup
    home = tmp_path / "home"
    home.mkdir()
    for _ in range(2):  # a second attempt in the same place changes nothing
        command = f'{setup}\necho step >> "out/my ckpt/log"'
        subprocess.run(
            ["sh", "-ec", command], cwd=home, env={"SUBLET_CHECKPOINT_DIR": str(saved), "PATH": "/usr/bin:/bin"}, check=True
        )
    assert (saved / "log").read_text() == "step\nstep\n"


@pytest.mark.parametrize(
    ("written", "model", "count"), [("H100:8", "H100", 8), ("A100", "A100", 1), ({"L4": 2}, "L4", 2), ("cpu:2", "cpu", 2)]
)
def test_accelerators(written: Any, model: str, count: int) -> None:
    asked = Task.model_validate({"run": "x", "resources": {"accelerators": written}}).request()
    assert (asked.gpu_model, asked.gpus_per_node) == (model, count)


@pytest.mark.parametrize("written", ["H100:0", "H100:65", "H100:x", "", ":2", {}, {"a": 1, "b": 2}, 5, ["H100:1"], "H100:1.5"])
def test_accelerators_that_are_none(written: Any) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"run": "x", "resources": {"accelerators": written}})


@pytest.mark.parametrize(
    ("written", "us"),
    [
        ("4h", 4 * HOUR_US),
        ("90m", 90 * 60 * SECOND_US),
        ("1h30m", 90 * 60 * SECOND_US),
        ("120s", 120 * SECOND_US),
        (120, 120 * SECOND_US),
        ("1.5", 1_500_000),
        ("1 d", 24 * HOUR_US),
        ("1ms", TICK_US),
    ],
)
def test_durations(written: Any, us: int) -> None:
    assert duration_us(written) == us


@pytest.mark.parametrize(
    "written", ["", "h", "4 fortnights", "-1h", 0, -5, True, None, [], "1e400", "nan", float("inf"), "9999d", "4h junk"]
)
def test_durations_that_are_none(written: Any) -> None:
    with pytest.raises(ValueError):
        duration_us(written)


@given(st.floats(0.001, 10**6))
def test_a_duration_is_on_the_grid_and_never_shorter_than_written(seconds: float) -> None:
    us = duration_us(seconds)
    assert us % TICK_US == 0 and us >= int(seconds * SECOND_US) and us < seconds * SECOND_US + TICK_US + 1


@pytest.mark.parametrize(
    ("written", "micro"),
    [
        ("$1.50", 1_500_000),
        (1.5, 1_500_000),
        ("1.5", 1_500_000),
        ("$1.50/h", 1_500_000),
        ("0.000001", 1),
        (0, 0),
        ("$ 2 /GPU-hour", 2_000_000),
    ],
)
def test_prices(written: Any, micro: int) -> None:
    assert money_micro(written) == micro


@pytest.mark.parametrize("written", ["cheap", "-1", -1, "1.2345678", "", "€5", True, None, float("nan"), 10**30])
def test_prices_that_are_none(written: Any) -> None:
    with pytest.raises(ValueError):
        money_micro(written)


@pytest.mark.parametrize(
    ("written", "number", "at_least"), [("32", 32, False), ("32+", 32, True), ("16GB", 16, False), (4, 4, False)]
)
def test_amounts(written: Any, number: float, at_least: Any) -> None:
    assert (amount(written).number, amount(written).at_least) == (number, at_least)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(InvalidFields):
        task_files.read(text)


@pytest.mark.parametrize(
    "text", ["? [a]\n: 3", "a: &x [*x]", "a: !!python/object:os.system x", "a: !!binary x", "\x00", "run: x\n" + "[" * 3_000]
)
def test_yaml_that_is_meant_to_break_the_reader(text: str) -> None:
    with pytest.raises(InvalidFields):
        task_files.read(text)
