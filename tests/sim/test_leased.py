"""Jobs as leases beside an owner, and whether what is predicted of them is what the replay shows."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from sublet.bench.foretold import TERMS_US, agreement, as_guarded, as_spot, guarded_beside, habit_of, scene_beside
from sublet.core.units import DAY_US, HOUR_US, SECOND_US
from sublet.sim.leased import RUN, Runs, lived, replayed, risk_of
from sublet.sim.scene import Habits, OwnerJobs

T0 = 1_500_000_000 * SECOND_US // DAY_US * DAY_US + DAY_US


def jobs(count: int, *, seed: int = 0, days: float = 20.0) -> OwnerJobs:
    """Made-up jobs of minutes to a day on 1 to 16 GPUs."""
    rng = np.random.default_rng(seed)
    submit = np.sort(T0 + (rng.random(count) * days * 24 * 64 * 3_600).astype(np.int64) * 15_625)
    run = (np.exp(rng.normal(1.0, 1.3, count)).clip(0.1, 40) * 64 * 3_600).astype(np.int64) * 15_625
    gpus = rng.choice([1, 2, 4, 8, 16], count, p=[0.5, 0.15, 0.15, 0.15, 0.05])
    nodes = -(-gpus // 8)
    return OwnerJobs(submit, run, gpus // nodes, nodes)


@pytest.mark.parametrize("habits", [Habits(), Habits(heed=False)], ids=["heeds", "checkpoints"])
def test_what_is_predicted_is_what_the_replay_shows(habits: Habits) -> None:
    mine = jobs(2_500)
    scene = scene_beside(mine, 32, 0.7, habits)
    found = agreement(mine, replayed(scene), partial(as_spot, scene))
    assert found["finished"] > 2_400 and found["reclaims"]["replayed"] > 150, "enough to compare"
    assert found["reclaims"]["ratio"] == pytest.approx(1, abs=0.2)
    assert found["added_h"]["ratio"] == pytest.approx(1, abs=0.2)


def test_what_is_predicted_of_guarded_leases_is_what_the_replay_shows() -> None:
    mine = jobs(2_500)
    mine = mine.of(mine.run_us < TERMS_US[-1] - HOUR_US)
    habits = Habits(heed=False, checkpoint_us=None, restart_us=0)
    scene, outlook = guarded_beside(mine, 32, 0.7, habits)
    runs = replayed(scene, outlook)
    found = agreement(mine, runs, partial(as_guarded, scene))
    assert found["finished"] > 2_200 and found["reclaims"]["replayed"] > 100, "enough to compare"
    assert found["reclaims"]["ratio"] == pytest.approx(1, abs=0.2)
    assert found["added_h"]["ratio"] == pytest.approx(1, abs=0.2)


def test_every_job_is_followed_from_asking_to_its_end() -> None:
    mine = jobs(60)
    scene = scene_beside(mine, 40, 0.5, Habits())
    runs = replayed(scene)
    seen = lived(runs)
    assert sorted(seen.job.tolist()) == list(range(60))
    assert (seen.end_us >= mine.run_us[seen.job]).all()
    for job in range(60):
        rows = runs.rows[runs.rows[:, RUN.index("job")] == job]
        assert rows[:, RUN.index("attempt")].tolist() == list(range(1, len(rows) + 1))
        assert (rows[:, RUN.index("gpus")] == mine.gpus_per_node[job] * mine.nodes[job]).all()
        assert (rows[:, RUN.index("asked_us")] == mine.submit_us[job]).all()
        assert rows[:-1, RUN.index("reclaimed")].all() and not rows[-1, RUN.index("reclaimed")]


def test_the_risk_is_reclaims_by_time_at_an_age() -> None:
    rows = np.zeros((200, len(RUN)), np.int64)
    rows[:, 0], rows[:, 1], rows[:, 2] = np.arange(200), 1, 1
    rows[:, 5] = 2 * HOUR_US
    rows[:100, 5], rows[:100, 6] = HOUR_US // 2 - 1, 1  # half are taken back just before the half hour
    rows = np.concatenate([rows, rows[:100]])
    rows[200:, 1], rows[200:, 5] = 2, HOUR_US // 12  # and again five minutes after they have come back
    scene = scene_beside(jobs(5), 8, 0.5, Habits())
    risk = risk_of(Runs(rows), habit_of(scene))
    first, later = risk.hazards_h[:, 0]
    assert first[1] == pytest.approx(100 / (200 / 3), rel=1e-3), "200 leases for 20 minutes"
    assert first[0] == first[2] == 0
    assert later[0] == pytest.approx(12) and not later[1:].any(), "100 leases for 5 minutes"
    assert replace(habit_of(scene), heeds=False).heeds is False
