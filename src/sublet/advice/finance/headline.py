"""The paragraph at the top: what leasing brings, what is left of it in both views, and what is most uncertain about it.

Each sentence is chosen by the figures it speaks of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sublet.advice.finance.actual import Actual
from sublet.advice.finance.chance import Chance
from sublet.advice.finance.read import Asked
from sublet.advice.study.words import counted, money, price, share
from sublet.core.finance.accounts import Flows, Month, total
from sublet.core.finance.amounts import YEAR_MONTHS
from sublet.core.finance.answers import lift_bps
from sublet.core.units import MICRO


@dataclass(frozen=True, slots=True)
class Headline:
    """`case` is `pays` (in both views), `pays_incremental` (what stands there anyway, no more), `loss` or `nothing`.

    Amounts in micro-units, of the first year; `mean_micro` is the contribution of a year over the whole time.
    """

    case: str
    revenue_micro: int
    contribution_micro: int
    full_margin_micro: int
    mean_micro: int
    lift_bps: float | None
    leased_share: float
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]


def headline(asked: Asked, accounts: Sequence[Month], chance: Chance | None, actual: Actual | None) -> Headline:
    """The top of the report."""
    year = total([one.flows for one in accounts[:YEAR_MONTHS]])
    everything = total([one.flows for one in accounts])
    owner = asked.scenario.owner
    lift = None if owner is None else float(lift_bps(owner, year.net_revenue_micro, year.contribution_micro))
    told = _Telling(asked, accounts, year, everything, chance, actual, lift)
    case = _case(everything)
    return Headline(
        case=case,
        revenue_micro=year.revenue_micro,
        contribution_micro=year.contribution_micro,
        full_margin_micro=year.full_margin_micro,
        mean_micro=everything.contribution_micro * YEAR_MONTHS // len(accounts),
        lift_bps=lift,
        leased_share=year.leased_gpu_h / year.capacity_gpu_h if year.capacity_gpu_h else 0.0,
        sentences=tuple(told.sentences(case)),
        warnings=tuple(told.warnings()),
    )


def _case(flows: Flows) -> str:
    if not flows.leased_gpu_h:
        return "nothing"
    if flows.contribution_micro < 0:
        return "loss"
    return "pays" if flows.full_margin_micro >= 0 else "pays_incremental"


@dataclass(frozen=True, slots=True)
class _Telling:
    asked: Asked
    accounts: Sequence[Month]
    year: Flows
    everything: Flows
    chance: Chance | None
    actual: Actual | None
    lift: float | None

    def _money(self, micro: float) -> str:
        return money(micro / MICRO, self.asked.file.currency)

    def _each(self, micro: int, flows: Flows) -> str:
        """Spread over the leased GPU-hours."""
        return price(micro / MICRO / flows.leased_gpu_h, self.asked.file.currency)

    def sentences(self, case: str) -> Iterator[str]:
        """The paragraph."""
        if case == "nothing":
            yield "Nothing would be leased: nothing is leasable, or no class brings its costs at this price."
            return
        yield self._brings()
        if self.chance is not None:
            yield self._uncertain(self.chance)
        yield self._full()
        if self.lift is not None:
            yield self._owner(self.lift)

    def _brings(self) -> str:
        year, scenario = self.year, self.asked.scenario
        if not year.leased_gpu_h:
            spent = self._money(year.programme_micro)
            return (
                f"In the first year nothing would be leased, as no class brings its costs, and {spent} would be spent in vain."
            )
        verb = "leaves" if year.contribution_micro >= 0 else "loses"
        return (
            f"Leasing {share(year.leased_gpu_h / year.capacity_gpu_h)} of the time of {counted(scenario.gpus(0), 'GPU')} "
            f"brings {self._money(year.revenue_micro)} in the first year and {verb} "
            f"{self._money(abs(year.contribution_micro))} after refunds, credits and all that leasing adds: a leased "
            f"GPU-hour brings {self._each(year.net_revenue_micro, year)} and costs "
            f"{self._each(year.incremental_micro, year)} more than an idle one."
        )

    def _uncertain(self, chance: Chance) -> str:
        widest = chance.alone_widest()
        mean = self.everything.contribution_micro * YEAR_MONTHS // len(self.accounts)
        text = (
            f"Over all {len(self.accounts)} months the base case leaves {self._money(mean)} a year; in 90 of 100 paths it is "
            f"between {self._money(chance.contribution_micro[0])} and {self._money(chance.contribution_micro[-1])}. "
        )
        if not widest.width_micro:
            return text + "Nothing is left to chance in this scenario, so that is no band."
        return text + (
            f"Most of that width is the {widest.name}: alone it moves the year from {self._money(widest.low_micro)} to "
            f"{self._money(widest.high_micro)}."
        )

    def _full(self) -> str:
        flows = self.everything
        each = self._each(flows.full_cost_micro, flows)
        brings = self._each(flows.net_revenue_micro, flows)
        if flows.full_margin_micro >= 0:
            return (
                f"At full cost, with depreciation and all that runs either way, a leased GPU-hour costs {each} and brings "
                f"{brings} on average: leasing would pay for GPUs that are bought for it, if they were leased as much as all "
                "are used."
            )
        return (
            f"At full cost, with depreciation and all that runs either way, a leased GPU-hour costs {each} and brings "
            f"{brings} on average: leasing pays for what stands there anyway, and is no reason to buy more."
        )

    def _owner(self, lift: float) -> str:
        owner = self.asked.scenario.owner
        assert owner is not None
        own = owner.income_micro / owner.revenue_micro
        verb = "lifts" if lift >= 0 else "lowers"
        return f"It {verb} the owner's operating margin of {own * 100:.1f} % by {abs(lift):.1f} basis points in the first year."

    def warnings(self) -> Iterator[str]:
        """What has to be known before a number is passed on."""
        months = len(self.accounts)
        leaving = [one for one in self.asked.scenario.fleet if one.in_service + one.lasts < months]
        for one in leaving:
            yield (
                f"Generation {one.name} leaves the fleet before the accounts end, and later months are smaller for it: if it "
                "stays, say so with service_years."
            )
        idle = [month for month in self.accounts if month.gpus and not month.flows.leased_gpu_h]
        if idle and self.everything.leased_gpu_h:
            yield f"In {counted(len(idle), 'month')} nothing is leased: no class would bring its costs at that month's price."
        if self.chance is not None and not self.chance.tie_out:
            yield "The accounts of a path do not tie out. This is a defect of the program: please report it."
        if self.actual is not None:
            yield (
                f"Leased share, price, refunds and credits are those of the books from {self.actual.begins} to "
                f"{self.actual.ends} UTC ({self.actual.hours:,.4g} h), and not those of the scenario."
            )
