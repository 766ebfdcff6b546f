"""What of a study is made: the words are checked, and the same choice is the same wish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublet.advice.study.choices import wanted
from sublet.advice.study.result import Wanted
from sublet.core.errors import Invalid
from sublet.sim.policies import OURS, POLICIES


def test_nothing_said_is_what_is_usual() -> None:
    assert wanted() == Wanted()


@given(st.lists(st.sampled_from(sorted(POLICIES)), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_ours_is_always_there_and_the_order_does_not_matter(names: list[str], shuffled: object) -> None:
    chosen = wanted(policies=names).policies
    assert set(chosen) == {*names, OURS} and list(chosen) == [name for name in POLICIES if name in chosen]
    mixed = list(names)
    shuffled.shuffle(mixed)  # type: ignore[attr-defined]
    assert wanted(policies=[",".join(mixed)]).policies == chosen == wanted(policies=[", ".join(mixed)]).policies


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        (["none"], ()),
        (["boosted"], ("boosted",)),
        (["boosted,last_week_peak", "boosted"], ("boosted", "last_week_peak")),
    ],
)
def test_forecasts_to_judge_come_in_the_order_given(said: list[str], judged: tuple[str, ...]) -> None:
    assert wanted(judged=said).judged == judged


@pytest.mark.parametrize(
    ("field", "words", "message", "hint"),
    [
        ("policy", {"policies": ["gsf"]}, "there is no policy 'gsf'", "did you mean 'gfs'?"),
        ("policy", {"policies": ["ours,"]}, "there is no policy ''", "there are nothing_leased"),
        ("forecast", {"forecast": "Boosted"}, "there is no forecast 'Boosted'", "did you mean 'boosted'?"),
        ("judge", {"judged": ["none,boosted"]}, "there is no forecast 'none'", "there are last_week_peak"),
    ],
)
def test_a_wrong_word_is_named_with_the_nearest_and_all(field: str, words: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        wanted(**words)  # type: ignore[arg-type]
    assert refused.value.field == field and refused.value.message == message
    assert refused.value.hint is not None and hint in refused.value.hint
