"""What is leased inside a gap of the log is no result: a study of a trace with a hole in it is that of the rest."""

from pathlib import Path
from typing import Any

import pytest
import small

from command_line import Sublet
from sublet.core.units import DAY_US
from sublet.sim.policies import OURS

HOLE = (5.5, 7.0)  # days


@pytest.fixture
def with_hole(sublet: Sublet, tmp_path: Path) -> Any:
    """The document of a study whose log knows nothing of a day and a half."""
    lines = ["at_s,gpus,capacity"]
    lines += [
        f"{quarter * 900},{4 + (6 if quarter // 4 % 24 in range(8, 20) else 0) + quarter % 2},16"
        for quarter in range(4 * 24 * 9)
        if not HOLE[0] * 96 <= quarter < HOLE[1] * 96
    ]
    log = small.write(tmp_path / "log.csv", "\n".join(lines) + "\n")
    words = ("--warm-up", "4d", "--workers", "1", "--no-sensitivity", "--policy", "nothing_leased", "--judge", "none")
    return sublet("study", str(log), *words, "--json").json


def test_the_fleet_is_measured_without_the_gap(with_hole: Any) -> None:
    known_h = (9 - 4 - (HOLE[1] - HOLE[0])) * 24
    assert with_hole["fleet"]["unknown_h"] == pytest.approx(36, abs=0.5)
    assert with_hole["fleet"]["known_gpu_h"] == pytest.approx(16 * known_h, rel=0.01)
    for one in with_hole["policies"]:
        figures = one["figures"]
        assert figures["fleet_gpu_h"] == pytest.approx(with_hole["fleet"]["known_gpu_h"], rel=1e-6)
        states = ("owner", "leased", "idle", "reserve", "handover")
        assert sum(figures[f"{state}_gpu_h"] for state in states) == pytest.approx(figures["fleet_gpu_h"], rel=1e-6)


def test_nobody_leases_more_than_was_idle(with_hole: Any) -> None:
    ours, nothing = (
        next(one["figures"] for one in with_hole["policies"] if one["name"] == name) for name in (OURS, "nothing_leased")
    )
    assert 0.5 < ours["captured"]["0"] <= 1
    assert nothing["idle_gpu_h"] == pytest.approx(with_hole["fleet"]["bounds"][0]["gpu_h"], rel=0.01)
    margin = ours["net"] / ours["leased_gpu_h"]
    assert margin == pytest.approx(with_hole["fleet"]["bounds"][0]["net"] / with_hole["fleet"]["bounds"][0]["gpu_h"], rel=0.03)


def test_the_gap_is_told_of(with_hole: Any) -> None:
    (gap,) = with_hole["defects"]["gaps"]
    assert gap["hours"] == pytest.approx(36, abs=0.5) and DAY_US == 24 * 3_600 * 1_000_000
    assert any("what it leases there is not counted" in one for one in with_hole["limits"])
