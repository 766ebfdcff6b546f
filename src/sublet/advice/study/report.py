"""A report as one value: everything that the page shows and the JSON document says.

The page is drawn from this value alone, so what a person reads a program can read, too.
"""

from dataclasses import dataclass

import sublet
from sublet.advice.study.defects import Defects, defects_of
from sublet.advice.study.fleet import FleetPart, PoolPart, fleet_part, pool_parts
from sublet.advice.study.given import Given, given
from sublet.advice.study.headline import Headline, headline
from sublet.advice.study.judged import Judged, judged_of
from sublet.advice.study.limits import limits
from sublet.advice.study.obstacles import Obstacle, obstacles
from sublet.advice.study.result import Study
from sublet.core.units import SECOND_US
from sublet.sim.figures import Figures
from sublet.sim.policies import POLICIES

KIND = "sublet.study"
SCHEMA = 1
"""Goes up when a key changes its meaning or goes away; new keys may come at any time."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was read. Instants in seconds on the trace's clock and as the page shows them; figures are of [opens, ends)."""

    source: str
    format: str
    kind: str
    clock: str
    currency: str
    begins_s: float
    opens_s: float
    ends_s: float
    begins: str
    opens: str
    ends: str
    studied_h: float


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """One policy over all pools and each of them."""

    name: str
    title: str
    what: str
    figures: Figures
    pools: dict[str, Figures]


@dataclass(frozen=True, slots=True)
class Turned:
    """Our policy with one assumption turned, all else as it was."""

    assumption: str
    value: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    kind: str
    schema: int
    version: str
    trace: Trace
    headline: Headline
    obstacles: tuple[Obstacle, ...]
    fleet: FleetPart
    pools: tuple[PoolPart, ...]
    policies: tuple[PolicyPart, ...]
    forecast: str  # the method of our policy
    forecasts: Judged | None
    sensitivity: tuple[Turned, ...]
    assumptions: tuple[Given, ...]
    defects: Defects
    limits: tuple[str, ...]

    def policy(self, name: str) -> PolicyPart:
        """One policy by its name."""
        return next(one for one in self.policies if one.name == name)


def report_of(study: Study) -> Report:
    """What a study found, as it is reported. Our policy is always in it (`choices.wanted`)."""
    fleet = fleet_part(study)
    policies = tuple(_policy(study, name) for name in study.wanted.policies)
    hindrances = obstacles(study)
    return Report(
        kind=KIND,
        schema=SCHEMA,
        version=sublet.__version__,
        trace=_trace(study),
        headline=headline(study, fleet, hindrances),
        obstacles=hindrances,
        fleet=fleet,
        pools=pool_parts(study),
        policies=policies,
        forecast=study.wanted.forecast,
        forecasts=judged_of(study),
        sensitivity=tuple(Turned(one.assumption, one.value, figures) for one, figures in study.turned),
        assumptions=given(study),
        defects=defects_of(study.question),
        limits=limits(study),
    )


def _trace(study: Study) -> Trace:
    question = study.question
    return Trace(
        source=question.source,
        format=question.format,
        kind=question.kind,
        clock=question.clock,
        currency=question.market.currency,
        begins_s=question.from_us / SECOND_US,
        opens_s=question.open_us / SECOND_US,
        ends_s=question.until_us / SECOND_US,
        begins=question.when(question.from_us),
        opens=question.when(question.open_us),
        ends=question.when(question.until_us),
        studied_h=(question.until_us - question.open_us) / SECOND_US / 3_600,
    )


def _policy(study: Study, name: str) -> PolicyPart:
    row = POLICIES[name]
    return PolicyPart(name, row.title, row.what, study.fleet[name], dict(study.by_pool[name]))
