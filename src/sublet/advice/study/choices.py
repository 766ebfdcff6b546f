"""What a study is asked to make, checked word by word before anything is read: policies, forecasts, and how they are made."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec

from sublet.advice.study.result import Wanted
from sublet.core.errors import Invalid
from sublet.core.forecast import FORECASTS
from sublet.sim.policies import OURS, POLICIES

NO_JUDGING = "none"
"""Stands in place of methods where no forecast is to be judged."""

NEEDS: Mapping[str, str] = {"statistical": "statsforecast"}
"""Forecasts that need a library which is not installed with Sublet."""

USUAL = Wanted()


def wanted(
    *,
    policies: Sequence[str] = (),
    forecast: str | None = None,
    judged: Sequence[str] = (),
    sensitivity: bool = True,
    seed: int = 0,
    workers: int | None = None,
) -> Wanted:
    """The wishes for a study; raises `Invalid` with the wrong word, the nearest right one, and all there are.

    Words may stand together with commas between them. Our policy is always among the policies, and their order is that of
    POLICIES, so that the same choice gives the same report. Nothing given: what is usual.
    """
    named = _words(policies, POLICIES, field="policy", what="policy")
    method = USUAL.forecast if forecast is None else _known(forecast, FORECASTS, field="forecast", what="forecast")
    _installed(method, field="forecast")
    chosen = tuple(name for name in POLICIES if name in named or name == OURS) if named else USUAL.policies
    return Wanted(
        policies=chosen,
        forecast=method,
        judged=_judged(judged),
        sensitivity=sensitivity,
        seed=seed,
        workers=workers,
    )


def _judged(texts: Sequence[str]) -> tuple[str, ...]:
    """Methods for the back-test, in the order in which they were given."""
    if [text.strip() for text in texts] == [NO_JUDGING]:
        return ()
    named = _words(texts, FORECASTS, field="judge", what="forecast")
    for name in named:
        _installed(name, field="judge")
    return named or USUAL.judged


def _words(texts: Iterable[str], known: Iterable[str], *, field: str, what: str) -> tuple[str, ...]:
    """Each word once."""
    words = [word.strip() for text in texts for word in text.split(",")]
    return tuple(dict.fromkeys(_known(word, known, field=field, what=what) for word in words))


def _known(word: str, known: Iterable[str], *, field: str, what: str) -> str:
    names = list(known)
    if word in names:
        return word
    near = difflib.get_close_matches(word.lower(), names, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise Invalid(f"there is no {what} {word!r}", field=field, hint=f"{meant}there are {', '.join(names)}")


def _installed(method: str, *, field: str) -> None:
    needs = NEEDS.get(method)
    if needs is not None and find_spec(needs) is None:
        hint = "pip install 'sublet[study]' brings it; or choose another forecast"
        raise Invalid(f"forecast {method} needs {needs}, which is not installed", field=field, hint=hint)
