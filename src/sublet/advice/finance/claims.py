"""Every row of an industry's claims: our figure, the assumption it rests on, and whether the claim holds.

The verdict follows from the figures, so that another scenario may come to another one. What is no figure of accounts (C6, C9)
is said to be so, with the bound that accounts can give.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from sublet.advice.finance.chance import Chance
from sublet.advice.finance.facts import Claims
from sublet.advice.finance.read import Asked
from sublet.advice.study.words import money, number, price, share
from sublet.core.errors import Invalid
from sublet.core.finance import claims as sums
from sublet.core.finance.accounts import Flows
from sublet.core.finance.answers import lift_bps
from sublet.core.finance.claims import exact
from sublet.core.finance.scenario import Owner
from sublet.core.units import MICRO

HOLDS, FAILS, HOLDS_IF = "holds", "fails", "holds_if"
THIN = "\u202f"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of ours with its unit."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim that was checked.

    `verdict` is `holds`, `fails` or `holds_if`; `condition` says under which assumption it holds.
    """

    id: str
    claim: str
    ours: str
    assumption: str
    verdict: str
    condition: str
    source: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What claims are checked against: public numbers, the scenario's first year (micro-units), its paths."""

    facts: Claims
    asked: Asked
    owner: Owner
    year: Flows
    chance: Chance | None
    currency: str

    def money(self, amount: float | Fraction) -> str:
        """An amount in words."""
        return money(float(amount), self.currency)

    def price(self, amount: float | Fraction) -> str:
        """A price of a GPU-hour in words."""
        return price(float(amount), self.currency)

    @property
    def gpus(self) -> int:
        """Of the scenario's fleet."""
        return sum(one.gpus for one in self.asked.scenario.fleet)

    @property
    def list_price(self) -> Fraction:
        """Of the first month."""
        return Fraction(self.asked.scenario.price.start_micro, MICRO)


def checked(asked: Asked, year: Flows, chance: Chance | None) -> tuple[Claim, ...]:
    """All claims; raises `Invalid` where the scenario has no numbers to check them with."""
    facts, owner = asked.file.claims, asked.scenario.owner
    if facts is None or owner is None:
        missing = "[claims]" if facts is None else "[owner] revenue_year and income_year"
        hint = "hyperscaler-2026 has them: sublet finance hyperscaler-2026 --claims"
        raise Invalid(f"{asked.name} has no {missing} to check claims with", field="claims", hint=hint)
    case = Case(facts, asked, owner, year, chance, asked.file.currency)
    return tuple(row(case) for row in CLAIMS.values())


def _claim(case: Case, name: str, claim: str, found: tuple[str, str, str, str], figures: Iterator[Figure]) -> Claim:
    """`found`: our figure, the assumption, the verdict, the condition."""
    ours, assumption, verdict, condition = found
    return Claim(name, claim, ours, assumption, verdict, condition, case.facts.sources.get(name, ""), tuple(figures))


def _capex(case: Case) -> Claim:
    facts = case.facts
    low, high = sums.capex_sum([(exact(one.low), exact(one.high)) for one in facts.capex])
    first, last = facts.capex[0].year, facts.capex[-1].year
    right = low <= exact(facts.capex_claimed) <= high
    parts = " + ".join(
        case.money(one.low) if one.low == one.high else f"{case.money(one.low)} to {case.money(one.high)}"
        for one in facts.capex
    )
    ours = f"{parts} = {case.money(low)} to {case.money(high)} in {first} to {last}"
    last_year = facts.capex[-1]
    alone = last_year.low <= facts.capex_claimed <= last_year.high
    condition = f"as the guidance for {last_year.year} alone; as a sum it is more than that" if alone else ""
    found = (ours, "capex as published and guided, all of it counted as for AI", HOLDS if right else FAILS, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("capex, low", float(low), case.currency)
        yield Figure("capex, high", float(high), case.currency)

    claim = f"{first} to {last} the owner's AI capex exceeds $130 bn (headline {case.money(facts.capex_claimed)})"
    return _claim(case, "C1", claim, found, figures())


def _revenue(case: Case) -> Claim:
    facts = case.facts
    gpus, part, wanted = exact(facts.gpus_claimed), exact(facts.share_claimed), exact(facts.revenue_claimed)
    hours = sums.leased_hours(gpus, part)
    brings = [(one, hours * exact(one.price)) for one in facts.prices]
    needed = sums.price_needed(wanted, gpus, part)
    at = case.list_price
    share_at, fleet_at = sums.share_needed(wanted, gpus, at), sums.gpus_needed(wanted, part, at)
    low_mw, high_mw = (exact(value) for value in facts.per_mw_year)
    low_gw, high_gw = wanted / high_mw / 1_000, wanted / low_mw / 1_000
    best = max(amount for _, amount in brings)
    said = ", ".join(f"{case.price(one.price)}: {case.money(amount)}" for one, amount in brings)
    ours = (
        f"{number(float(hours))} GPU-hours a year. At {said}: at {case.price(at)} the claim is "
        f"{float(wanted / (hours * at)):.1f} times too high. {case.money(wanted)} needs {case.price(needed)} a GPU-hour, or "
        f"{share(float(share_at))} of the fleet leased at {case.price(at)}, or a fleet of {number(float(fleet_at))}"
    )
    condition = (
        f"if the share is of a footprint of some {number(float(low_gw / part))} to {number(float(high_gw / part))} GW: a "
        f"neocloud earns {case.money(low_mw)} to {case.money(high_mw)} on a MW and year, so {number(float(low_gw))} to "
        f"{number(float(high_gw))} GW bring {case.money(wanted)}. The high margin holds on the incremental view only: here "
        f"{share(_margin(case.year))} of the revenue before depreciation, {share(_full_margin(case.year))} at full cost"
    )
    verdict = HOLDS if best >= wanted else HOLDS_IF
    found = (
        ours,
        f"{number(float(gpus))} H100 equivalents, {share(float(part))} of the year leased, no discount",
        verdict,
        condition,
    )

    def figures() -> Iterator[Figure]:
        yield Figure("GPU-hours a year", float(hours), "GPU-h")
        for one, amount in brings:
            yield Figure(f"revenue at {one.price:g} ({one.name})", float(amount), f"{case.currency}/year")
        yield Figure("price needed", float(needed), f"{case.currency}/GPU-h")
        yield Figure("share needed", float(share_at), "of the fleet")
        yield Figure("fleet needed", float(fleet_at), "GPUs")
        yield Figure("contribution of revenue, incremental view", _margin(case.year), "of revenue")
        yield Figure("left of revenue, full cost", _full_margin(case.year), "of revenue")

    claim = f"leasing {share(facts.share_claimed)} brings over {case.money(facts.revenue_claimed)} a year, at a high margin"
    return _claim(case, "C2", claim, found, figures())


def _margin(year: Flows) -> float:
    return year.contribution_micro / year.revenue_micro if year.revenue_micro else 0.0


def _full_margin(year: Flows) -> float:
    return year.full_margin_micro / year.revenue_micro if year.revenue_micro else 0.0


def _lift(case: Case) -> Claim:
    facts, owner = case.facts, case.owner
    low, high = (exact(value) for value in facts.bps_claimed)
    usual, wanted = exact(facts.margin_assumed), exact(facts.revenue_claimed) * MICRO
    scenario = lift_bps(owner, case.year.net_revenue_micro, case.year.contribution_micro)
    claimed, at_most = lift_bps(owner, wanted, wanted * usual), lift_bps(owner, wanted, wanted)
    needed = [sums.revenue_for_lift(owner, bps, usual) for bps in (low, high)]
    saved = [sums.saving_for_lift(owner, bps) / MICRO for bps in (low, high)]
    own = Fraction(owner.income_micro, owner.revenue_micro)
    ours = (
        f"this scenario: {_bps(scenario)}. {case.money(wanted / MICRO)} at {share(float(usual))}: {_bps(claimed)}; at 100 %: "
        f"{_bps(at_most)}"
    )
    needs = " and ".join(
        f"{_bps(bps, sign=False)} {'needs ' + case.money(one / MICRO) if one else 'cannot be reached'}"
        for bps, one in zip((low, high), needed, strict=True)
    )
    savings = f"{case.money(saved[0])} to {case.money(saved[1])} of pure saving"
    condition = f"{needs} of revenue at {share(float(usual))} margin; or {savings}"
    assumption = f"a year with {case.money(owner.revenue_micro / MICRO)} of revenue and {float(own):.1%} operating margin"
    verdict = HOLDS if scenario >= low else HOLDS_IF
    if at_most < low:
        verdict = FAILS
    found = (ours, assumption, verdict, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("lift in this scenario", float(scenario), "bps")
        yield Figure(f"lift of the claimed revenue at {float(usual):.0%}", float(claimed), "bps")
        yield Figure("lift of the claimed revenue at 100%", float(at_most), "bps")
        for bps, one in zip((low, high), needed, strict=True):
            if one is not None:
                yield Figure(f"revenue needed for {float(bps):g} bps", float(one / MICRO), case.currency)
        for bps, amount in zip((low, high), saved, strict=True):
            yield Figure(f"saving needed for {float(bps):g} bps", float(amount), case.currency)

    claim = f"leasing lifts the operating margin by {float(low):g} to {float(high):g} basis points"
    return _claim(case, "C3", claim, found, figures())


def _bps(value: Fraction, *, sign: bool = True) -> str:
    """Basis points, whole."""
    return f"{float(value):{'+' if sign else ''}.0f}{THIN}bps"


def _stock(case: Case) -> Claim:
    facts = case.facts
    announced = exact(facts.gpus_announced)
    pue = max(Fraction(one.cost.pue_permille, 1_000) for one in case.asked.scenario.fleet)
    low, high = (sums.power_w(announced, exact(watts), pue) / 10**9 for watts in facts.watts)
    middle = sum(exact(watts) for watts in facts.watts) / 2
    fleet = exact(facts.footprint_gw) * 10**9 / (middle * pue)
    base = sum(one.bought_micro for one in case.asked.scenario.fleet) / MICRO
    ours = (
        f"{number(float(announced))} draw {float(low):.2f} to {float(high):.2f} GW; {facts.footprint_gw:g} GW would hold "
        f"{number(float(fleet))}. Capex of the scenario's fleet: {case.money(base)}"
    )
    verdict = HOLDS if announced >= exact(facts.gpus_claimed) else FAILS
    condition = "for the end of 2024, as announced; it says little of 2026, when far more is built"
    found = (ours, "the owner's own announcement, counted in H100 equivalents", verdict, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("announced", float(announced), "H100 equivalents")
        yield Figure("power, low", float(low), "GW")
        yield Figure("power, high", float(high), "GW")
        yield Figure("in the projected footprint", float(fleet), "H100 equivalents")
        yield Figure("capex of the fleet", base, case.currency)

    return _claim(case, "C4", f"the stock equals {number(facts.gpus_claimed)} or more H100", found, figures())


def _idle(case: Case) -> Claim:
    facts, shares = case.facts, case.asked.shares
    low, high = facts.idle_claimed
    day = shares.of(24)
    inside = low <= shares.idle <= high
    measured = "; ".join(f"{one.name}: {share(one.low)} to {share(one.high)}" for one in facts.idle)
    ours = f"this scenario: {share(shares.idle)} idle, {share(day)} leasable for a day. Measured: {measured}"
    most = max(one.high for one in facts.idle)
    condition = (
        f"at its lower end for the idlest pools measured ({share(most)}), or if a GPU counts as idle that is taken while its "
        "cores wait; not as time that could be leased. That a fleet cannot shrink between runs is right: it is bought years "
        "ahead"
    )
    verdict = HOLDS if inside else (HOLDS_IF if most >= (low + high) / 2 else FAILS)
    found = (ours, "idle is GPU time that no job of the owner holds", verdict, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("idle", shares.idle, "of the fleet")
        yield Figure("leasable for 24 h", day, "of the fleet")
        for one in facts.idle:
            yield Figure(f"{one.name}, high", one.high, "of the fleet")

    return _claim(case, "C5", f"{share(low)} to {share(high)} of the capacity stands idle between major runs", found, figures())


def _faster(case: Case) -> Claim:
    facts = case.facts
    low, high = facts.faster_claimed
    least, most = facts.neocloud_margin
    ours = (
        f"accounts bound the cost, not the speed: integration saves at most the margin in between, {share(least)} to "
        f"{share(most)} of the price. The scenarios assume 0"
    )
    condition = (
        f"as a lower cost, where that margin is {share(low)} or more (GPUs written off over 6 years); no source supports it "
        "as speed"
    )
    verdict = HOLDS_IF if most >= low else FAILS
    found = (ours, "no measurement of the claim is known; the margin avoided is the upper bound", verdict, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("margin avoided, low", least, "of the price")
        yield Figure("margin avoided, high", most, "of the price")

    claim = f"serving a model where it was tuned runs {share(low)} to {share(high)} faster"
    return _claim(case, "C6", claim, found, figures())


def _plugged_in(case: Case) -> Claim:
    first = case.asked.scenario.fleet[0]
    cluster, residual = exact(case.facts.cluster), Fraction(first.residual_ppm, 10**6)
    month, year = (sums.value_lost(cluster, residual, first.life_months, months) for months in (1, 12))
    fixed = sums.fixed_energy(first.cost.idle_w, first.cost.busy_w)
    ours = (
        f"{case.money(month)} in the first month and {case.money(year)} in the first year, straight over "
        f"{first.life_months / 12:g} years. Of a working GPU's electricity {share(float(fixed))} is paid when it idles, too"
    )
    condition = (
        f"for depreciation and staff; of electricity only for the idle draw: {share(1 - float(fixed))} comes with the work"
    )
    years = f"{first.life_months / 12:g} years to {share(float(residual))}"
    assumption = f"{first.cost.idle_w:,} W idle, {first.cost.busy_w:,} W busy, {years}"
    found = (ours, assumption, HOLDS_IF if fixed < 1 else HOLDS, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("first month", float(month), case.currency)
        yield Figure("first year", float(year), case.currency)
        yield Figure("fixed part of the electricity", float(fixed), "of the energy")

    claim = f"a cluster of {case.money(case.facts.cluster)} loses value once plugged in; electricity and staff are fixed costs"
    return _claim(case, "C7", claim, found, figures())


def _contention(case: Case) -> Claim:
    claim = "the main risk is contention: the owner's spike takes capacity back while outside contracts run"
    chances = case.asked.scenario.chances
    but = f" but {share(chances.spike_left_ppm / 1e6)}" if chances.spike_left_ppm else ""
    assumption = (
        f"{chances.spikes:g} times a year all leased GPUs{but} are needed for {chances.spike_months} months, and every "
        "contract is broken at once"
    )
    if case.chance is None:
        found = ("not drawn: this run has no paths", assumption, HOLDS_IF, "run it with paths: leave --paths 0 away")
        return _claim(case, "C8", claim, found, iter(()))
    by_name = {one.name: one for one in case.chance.alone}
    spikes, prices = by_name["contention (spikes)"], by_name["price"]
    widest = case.chance.alone_widest()
    ours = "; ".join(
        f"{one.name} alone: {case.money(one.low_micro / MICRO)} to {case.money(one.high_micro / MICRO)} a year"
        for one in sorted(by_name.values(), key=lambda one: -one.width_micro)
    )
    times = prices.width_micro / spikes.width_micro if spikes.width_micro else 0.0
    condition = (
        "for the tenant, and for the owner's promise to its own jobs; in the accounts "
        f"{widest.name} is the main risk" + (f", {times:.0f} times as wide" if times else "")
    )
    verdict = HOLDS if widest is spikes else FAILS
    found = (f"90 of 100 paths of the contribution: {ours}", assumption, verdict, condition)

    def figures() -> Iterator[Figure]:
        for one in by_name.values():
            yield Figure(f"{one.name} alone, 5 %", one.low_micro / MICRO, f"{case.currency}/year")
            yield Figure(f"{one.name} alone, 95 %", one.high_micro / MICRO, f"{case.currency}/year")

    return _claim(case, "C8", claim, found, figures())


def _bare_metal(case: Case) -> Claim:
    facts = case.facts
    link = facts.link_sustained_gbps / facts.fabric_gbps
    ours = (
        f"{facts.link_claimed_gbps:g} Gb/s is one way; both ways at once {facts.link_sustained_gbps:g}, {share(link)} of the "
        f"{facts.fabric_gbps:g} Gb/s that a GPU of a usual cluster has. A job of 10 minutes on a host leased for "
        f"{facts.host_hours:g} h uses {share(1 / 6 / facts.host_hours)} of it"
    )
    condition = (
        "isolation and no virtualisation hold where the whole host is leased; 120 Gb/s one way; builds only where a host is "
        "kept busy. It is no substitute for GPUs in large training"
    )
    found = (ours, "a property of hardware, not of accounts: public data sheets", HOLDS_IF, condition)

    def figures() -> Iterator[Figure]:
        yield Figure("link, both ways", facts.link_sustained_gbps, "Gb/s")
        yield Figure("of a GPU's fabric", link, "of 1")
        yield Figure("shortest lease", facts.host_hours, "h")

    claim = (
        f"dedicated Apple-silicon hosts: full isolation, no virtualisation overhead, up to {facts.link_claimed_gbps:g} Gb/s "
        "between nodes"
    )
    return _claim(case, "C9", claim, found, figures())


CLAIMS: Mapping[str, Callable[[Case], Claim]] = {
    "C1": _capex,
    "C2": _revenue,
    "C3": _lift,
    "C4": _stock,
    "C5": _idle,
    "C6": _faster,
    "C7": _plugged_in,
    "C8": _contention,
    "C9": _bare_metal,
}
"""A claim and what checks it."""
