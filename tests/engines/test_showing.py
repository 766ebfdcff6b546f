"""What an engine shows: each look stays what it was, and tells in what it differs from an earlier one."""

import random

import pytest

from sublet.core.ids import RunId
from sublet.engines import showing
from sublet.engines.protocol import Phase, Seen
from sublet.engines.showing import Showcase


@pytest.mark.parametrize("seed", range(20))
def test_looks_stay_and_tell_what_changed(seed: int) -> None:
    rng, case, now = random.Random(seed), Showcase(), dict[RunId, Seen]()
    looks, kept = [], []
    for _ in range(30):
        for _ in range(rng.randrange(20)):
            run = RunId(f"run-{rng.randrange(60)}")
            if rng.random() < 0.3:
                now.pop(run, None)
                case.drop(run)
            else:
                now[run] = Seen(run, rng.choice((Phase.STARTING, Phase.RUNNING)))
                case.put(run, now[run])
        looks.append(case.shown())
        kept.append(dict(now))
    for look, was in zip(looks, kept, strict=True):
        assert dict(look) == was and len(look) == len(was) and look.keys() == was.keys()
        assert look.get(RunId("run-never")) is None
    for i, earlier in enumerate(looks):
        for j in range(i, len(looks)):
            changed = looks[j].changed_since(earlier)
            names = kept[i].keys() | kept[j].keys()
            assert changed is not None
            assert changed >= {run for run in names if kept[i].get(run) != kept[j].get(run)}
    assert looks[-1].changed_since(looks[-1]) == frozenset()


def test_what_is_seen_again_as_it_was_is_no_change() -> None:
    case, seen = Showcase(), Seen(RunId("run"), Phase.RUNNING)
    case.put(RunId("run"), seen)
    before = case.shown()
    case.put(RunId("run"), Seen(RunId("run"), Phase.RUNNING))
    case.drop(RunId("another"))
    assert case.shown().changed_since(before) == frozenset()


def test_who_asks_too_late_or_for_another_is_told_that_anything_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "_REMEMBERED", 10)
    case, another = Showcase(), Showcase()
    early = case.shown()
    for number in range(15):
        case.put(RunId(f"run-{number}"), Seen(RunId(f"run-{number}"), Phase.RUNNING))
    late = case.shown()
    for number in range(15):
        case.drop(RunId(f"run-{number}"))
    last = case.shown()
    assert last.changed_since(early) is None
    assert last.changed_since(late) == frozenset(RunId(f"run-{number}") for number in range(15))
    assert last.changed_since(another.shown()) is None and last.changed_since({}) is None and last.changed_since(None) is None
