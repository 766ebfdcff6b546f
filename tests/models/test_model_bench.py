"""`sublet model bench`: what is asked, in which order, what is made of the answers, and a real run with the built-in model."""

import json
from pathlib import Path

import pytest

from sublet.bench import callers, models
from sublet.bench.callers import Asked, Pass
from sublet.core.errors import Invalid, Unavailable
from sublet.core.ids import ModelName
from sublet.core.model import Model

NOBODY = lambda _what, _share: None  # noqa: E731 (one who does not look)


def test_both_are_asked_the_same_and_nothing_twice() -> None:
    asked = Asked(streams=2, requests=24, words=30, tokens=5)
    texts = callers._questions(asked, 3)
    assert texts == callers._questions(asked, 3) and len(set(texts)) == 24
    assert not set(texts) & set(callers._questions(asked, 4))
    assert all(len(text.split()) >= 30 for text in texts)
    with pytest.raises(ValueError, match="at least one"):
        Asked(streams=0, requests=1, words=0, tokens=1)


def test_a_turn_s_rate_is_that_of_its_passes_together_and_ratios_are_of_neighbours() -> None:
    def turn(*rates: float) -> models.Turn:
        return models.Turn(tuple(Pass(round(100 * rate), 100.0, (0.1, 0.3)) for rate in rates), 1.0)

    assert turn(10, 30).rate == 20
    ratio = models._ratio([turn(30), turn(12), turn(20)], [turn(10), turn(6), turn(20)])
    assert ratio == {"median": 2.0, "least": 1.0, "most": 3.0}
    figures = models._figures([turn(10), turn(30), turn(20)], 3_600_000_000)
    assert figures["tokens_per_second"] == 20 and figures["rates"] == [10, 30, 20]
    assert figures["micro_per_million_tokens"] == 1_000_000 * 1_000_000 // 20


def test_a_real_run_compares_ours_the_defaults_and_one_change(tmp_path: Path) -> None:
    model = models.with_options(models.builtin(), {"threads": 1})
    result = models.measured(
        model,
        Asked(streams=2, requests=4, words=10, tokens=12),
        rounds=2,
        hour_micro=1_600_000,
        currency="USD",
        progress=NOBODY,
        changed={"slots=1": models.with_options(model, {"slots": 1})},
        logs=tmp_path,
    )
    turns = [json.loads(line) for line in (tmp_path / "turns.jsonl").read_text().splitlines()]
    assert [turn["server"] for turn in turns] == ["defaults", "ours", "slots=1", "slots=1", "ours", "defaults"]
    assert all(turn["tokens_per_second"] > 0 and len(turn["first_token_ms"]) == 4 for turn in turns)
    assert "--parallel 1 " in result["started"]["slots=1"] and "--threads 1 " in result["started"]["ours"]
    assert "--threads" not in result["started"]["defaults"]
    assert result["ours"]["micro_per_million_tokens"] > 0 and set(result["changed"]) == {"slots=1"}
    assert {file.name for file in tmp_path.iterdir()} == {"turns.jsonl", "ours.log", "defaults.log", "slots=1.log"}


def test_what_cannot_be_measured_is_said() -> None:
    asked = Asked(1, 1, 0, 1)
    far = Model(ModelName("far"), "url", "https://api.example.org/v1", 0)
    with pytest.raises(Invalid, match="runs elsewhere"):
        models.measured(far, asked, rounds=1, hour_micro=1, currency="USD", progress=NOBODY)
    with pytest.raises(Invalid, match="no option 'slotz'"):
        models.with_options(models.builtin(), {"slotz": 1})
    with pytest.raises(Invalid, match="no server program 'vlm'"):
        models.with_options(models.not_added("m", "vlm", "/m", 0), {})
    lost = models.with_options(models.builtin(), {"program": "/nowhere/llama-server"})
    with pytest.raises(Unavailable, match="cannot be started"):
        models.measured(lost, asked, rounds=1, hour_micro=1, currency="USD", progress=NOBODY)
