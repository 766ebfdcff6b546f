"""The study itself: the owner's jobs alone, what they leave idle, what forecasts are worth, and every policy side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sublet.advice.study.assumptions import NO_LIMIT_MICRO
from sublet.advice.study.foresee import Asked, foreseen, hours_of
from sublet.advice.study.idle import PoolIdle, pool_idle
from sublet.advice.study.known import known_figures
from sublet.advice.study.layout import PoolLayout
from sublet.advice.study.question import Question
from sublet.advice.study.result import Study, Wanted, bounds_of
from sublet.advice.study.tasks import Task, run_all
from sublet.advice.study.variants import Unreserved, Variant, variants
from sublet.core.backtest import Course, Judgement, judge
from sublet.core.forecast import FORECASTS, History, Series
from sublet.core.ids import PoolId
from sublet.core.lease import LeaseClass
from sublet.core.units import HOUR_US
from sublet.core.view import PoolView
from sublet.sim.figures import Figures, steps_of
from sublet.sim.opening import Opening
from sublet.sim.outcome import Outcome
from sublet.sim.outlook import Blind, Foreseen, Outlook
from sublet.sim.policies import OURS, POLICIES, Policy
from sublet.sim.scene import Engine, Scene, Wish

NOTHING = "nothing_leased"
JUDGED_US = (HOUR_US, 4 * HOUR_US, 24 * HOUR_US)
"""Horizons of the back-test (µs)."""

Tell = Callable[[str, float], None]
"""(what is being done, which share of it is done)."""

Key = tuple[str, bool]
"""A forecast method, and whether it is calibrated."""

Outlooks = Mapping[Key, Mapping[PoolId, Foreseen]]


def study(question: Question, wanted: Wanted, tell: Tell) -> Study:
    """Make a study; the same question and wishes give the same figures, on however many processes."""
    return _Making(question, wanted, tell).study()


class _Making:
    """A study in the making."""

    def __init__(self, question: Question, wanted: Wanted, tell: Tell) -> None:
        self.question, self.wanted, self.tell = question, wanted, tell
        self.rng = np.random.default_rng(wanted.seed)
        self.scenes = [scene_of(question, layout) for layout in question.layouts]
        self.variants = variants() if wanted.sensitivity else ()
        self.openings: Mapping[PoolId, Opening | None] = {}

    def study(self) -> Study:
        """Step by step, each told of."""
        alone = self._alone()
        self.openings = {PoolId(one.pool): one.opening for one in alone}
        past = {PoolId(one.pool): self._series(one) for one in alone}
        idle = tuple(self._idle(series) for series in past.values())
        judgement = self._judged(past)
        outlooks = self._outlooks(past)
        outcomes = self._replayed(alone, outlooks)
        bounds = bounds_of(idle)
        return Study(
            question=self.question,
            wanted=self.wanted,
            pools=tuple(_under(POLICIES[OURS], scene).pool for scene in self.scenes),
            idle=idle,
            judgement=judgement,
            fleet={name: self._figures(ones, bounds, alone) for name, ones in outcomes.items()},
            by_pool={name: self._each(ones, idle, alone) for name, ones in outcomes.items()},
            turned=self._turned(outlooks, bounds, alone),
            outcomes=outcomes,
            outlook=outlooks.get(self._key(POLICIES[OURS]), {}),
        )

    def _alone(self) -> tuple[Outcome, ...]:
        """The owner's jobs with nothing leased: what the fleet does today, and the demand that forecasts learn from."""
        tasks = [Task(NOTHING, _under(POLICIES[NOTHING], scene), Blind()) for scene in self.scenes]
        return tuple(self._run("replaying the owner's jobs", tasks))

    def _run(self, what: str, tasks: Sequence[Task]) -> list[Outcome]:
        self.tell(what, 0.0)
        return run_all(tasks, lambda count: self.tell(what, count / max(1, len(tasks))), workers=self.wanted.workers)

    def _series(self, alone: Outcome) -> Series:
        gaps = tuple((gap.from_us, gap.to_us) for gap in self.question.gaps)
        return Series(PoolId(alone.pool), History(*steps_of(alone.demand)), alone.capacity, gaps)

    def _idle(self, series: Series) -> PoolIdle:
        period = {"from_us": self.question.open_us, "until_us": self.question.until_us}
        return pool_idle(series.pool, series.history, series.capacity, gaps=self.question.gaps, **period)

    def _judged(self, past: Mapping[PoolId, Series]) -> Judgement | None:
        """The back-test over the studied period; horizons that the trace is too short for are left out."""
        question = self.question
        length = question.until_us - question.open_us
        horizons = [horizon for horizon in JUDGED_US if length > 2 * horizon + HOUR_US]
        if not horizons or not self.wanted.judged:
            return None
        methods = {name: FORECASTS[name] for name in self.wanted.judged}
        order = [(name, horizon) for name in methods for horizon in horizons]

        def progress(name: str, horizon_us: int, share: float) -> None:
            self.tell("judging forecasts", (order.index((name, horizon_us)) + share) / len(order))

        course = Course(until_us=question.until_us, warm_up_us=question.open_us - question.from_us)
        return judge(past, methods, horizons, course, rng=self.rng, progress=progress)

    def _key(self, policy: Policy) -> Key:
        return (policy.forecast or self.wanted.forecast, policy.calibrated)

    def _outlooks(self, past: Mapping[PoolId, Series]) -> Outlooks:
        """What every policy is told, made once for each method and calibration."""
        chosen = [POLICIES[name] for name in self.wanted.policies if POLICIES[name].forecast is not None]
        if self.variants:
            chosen.append(POLICIES[OURS])
        by_key = {self._key(policy): policy for policy in chosen}
        every = [*self.scenes, *(variant.change(scene) for variant in self.variants for scene in self.scenes)]
        leads = tuple(sorted({PoolView(scene.pool, 0, 0, 0, {}).lead_us for scene in every}))
        hours = hours_of(self.question.open_us, self.question.until_us)
        found: dict[Key, Mapping[PoolId, Foreseen]] = {}
        for done, ((method, calibrated), policy) in enumerate(sorted(by_key.items(), key=lambda item: item[0])):

            def progress(share: float, done: int = done) -> None:
                self.tell("looking ahead", (done + share) / len(by_key))

            pools = {scene.pool.id: _under(policy, scene).pool for scene in self.scenes}
            found[method, calibrated] = foreseen(
                Asked(past, pools, hours, leads), method, calibrated=calibrated, progress=progress
            )
        return found

    def _replayed(self, alone: tuple[Outcome, ...], outlooks: Outlooks) -> dict[str, tuple[Outcome, ...]]:
        """The outcome of every policy on every pool."""
        names = [name for name in self.wanted.policies if name != NOTHING]
        done = self._run("replaying policies", [self._task(name, scene, outlooks) for name in names for scene in self.scenes])
        found = {NOTHING: alone} if NOTHING in self.wanted.policies else {}
        return found | dict(zip(names, self._by_scene(done), strict=True))

    def _task(self, name: str, scene: Scene, outlooks: Outlooks) -> Task:
        policy = POLICIES[name]
        outlook: Outlook = Blind() if policy.forecast is None else outlooks[self._key(policy)][scene.pool.id]
        if scene.pool.reserve_quantile == 0:
            outlook = Unreserved(outlook, PoolView(scene.pool, 0, 0, 0, {}).lead_us)
        return Task(name, _under(policy, scene), outlook, policy.feedback, self.openings.get(scene.pool.id))

    def _turned(
        self, outlooks: Outlooks, bounds: Mapping[int, int], alone: Sequence[Outcome]
    ) -> tuple[tuple[Variant, Figures], ...]:
        """Our policy with one assumption turned."""
        tasks = [self._task(OURS, variant.change(scene), outlooks) for variant in self.variants for scene in self.scenes]
        groups = self._by_scene(self._run("turning assumptions", tasks)) if tasks else []
        made = [self._figures(ones, bounds, alone) for ones in groups]
        return tuple(zip(self.variants, made, strict=True))

    def _figures(self, outcomes: Sequence[Outcome], bounds: Mapping[int, int], alone: Sequence[Outcome]) -> Figures:
        return known_figures(outcomes, self.question.gaps, bounds_us=bounds, rng=self.rng, alone=alone)

    def _by_scene(self, outcomes: Sequence[Outcome]) -> list[tuple[Outcome, ...]]:
        size = len(self.scenes)
        return [tuple(outcomes[i : i + size]) for i in range(0, len(outcomes), size)]

    def _each(self, outcomes: Sequence[Outcome], idle: Sequence[PoolIdle], alone: Sequence[Outcome]) -> dict[str, Figures]:
        """The figures of each pool on its own."""
        return {
            one.pool: self._figures([one], bounds_of([mine]), [base])
            for one, mine, base in zip(outcomes, idle, alone, strict=True)
        }


def scene_of(question: Question, layout: PoolLayout) -> Scene:
    """The replay of one pool.

    Jobs that the trace marks as spot are the tenants' demand; where it marks none, the market of the file is.
    """
    engine, market = Engine(), question.market
    listed = _listed(layout, question)
    largest = max(layout.sizes)
    return Scene(
        pool=market.pool(layout.pool, layout.gpu_model, question.costs.of(layout.gpu_model), engine),
        nodes=layout.nodes,
        sizes=layout.sizes,
        jobs=layout.jobs,
        from_us=question.from_us,
        open_us=question.open_us,
        until_us=question.until_us,
        standing=() if listed else tuple(part.wish() for part in market.tenants if part.gpus <= largest),
        listed=listed,
        habits=market.habits(),
        engine=engine,
    )


def _listed(layout: PoolLayout, question: Question) -> tuple[tuple[int, Wish], ...]:
    """The trace's own spot jobs as wishes, from the opening on."""
    jobs, found = layout.spot.jobs, []
    for i in np.flatnonzero(jobs.submit_us >= question.open_us).tolist():
        wish = Wish(
            tenant=layout.spot.tenant[i],
            lease_class=LeaseClass.SPOT,
            gpus_per_node=int(jobs.gpus_per_node[i]),
            nodes=int(jobs.nodes[i]),
            work_us=int(jobs.run_us[i]),
            bid_micro=NO_LIMIT_MICRO,
        )
        found.append((int(jobs.submit_us[i]), wish))
    return tuple(found)


def _under(policy: Policy, scene: Scene) -> Scene:
    """The scene with the pool's settings as the policy has them."""
    return replace(scene, pool=policy.settings(scene.pool, scene.capacity))
