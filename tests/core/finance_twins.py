"""Plain twins of the finance kernels, and scenarios for the tests: one path and one month at a time, as a spreadsheet would."""

import math
from typing import Any

from hypothesis import strategies as st

from sublet.core.finance.amounts import PPM, share_of
from sublet.core.finance.paths import Draws, Markets, noise_of, regimes_of, steady_log
from sublet.core.finance.scenario import (
    Chances,
    Generation,
    Leasing,
    Owner,
    PricePath,
    Regime,
    Scenario,
    SoldClass,
    Step,
)
from sublet.core.finance.tables import Months
from sublet.core.lease import LeaseClass
from sublet.core.terms import CostSheet

MICRO = 1_000_000


def fleet(*, gpus: int = 1_000, capex: int = 40_000, in_service: int = -12, life: int = 48, **more: Any) -> Generation:
    return Generation("H100", gpus, capex * MICRO, in_service, life, more.pop("residual_ppm", 50_000), CostSheet(), **more)


def scenario(**more: Any) -> Scenario:
    """A scenario in which everything happens."""
    given: dict[str, Any] = {
        "months": 30,
        "fleet": (fleet(upkeep_ppm=60_000), fleet(gpus=77, in_service=5, life=20, price_ppm=1_900_001)),
        "classes": (
            SoldClass("spot", LeaseClass.SPOT, 1, 60_001, 700_000),
            SoldClass("guarded", LeaseClass.GUARDED, 4, 40_000, 777_778, 50_000, 100_003, 8_219),
            SoldClass("block", LeaseClass.BLOCK, 336, 9_999, 900_000, 1_000, 20_000, 4_832_877),
        ),
        "price": PricePath(
            2_350_000, trend=-0.1, volatility=0.4, half_life_months=5, jumps=1.5, jump_mean=-0.1, jump_spread=0.3,
            regimes=(Regime(1.0, 8), Regime(0.6, 6), Regime(1.4, 4)), steps=(Step(3, 0.8, 0.5), Step(9, 1.2, 0.9)),
            history=(0.1, -0.3, 0.05, 0.0, 0.15), block_months=3, lowest_micro=200_000, highest_micro=9_000_000,
        ),
        "owner": Owner(1_200_000_000 * MICRO, 150_000_000 * MICRO),
        "leasing": Leasing(45_000, 30_000 * MICRO, 250_000 * MICRO, 3, 2, keeps_floor=True),
        "chances": Chances(0.3, 0.25, 0.7, 0.4, 0.2, spikes=1.0, spike_months=2, spike_left_ppm=150_000),
        "staff_micro": 40_000 * MICRO,
        "idle_ppm": 240_000,
    }  # fmt: skip
    return Scenario(**(given | more))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Scenarios of a few months with one to three generations and classes."""
    months = draw(st.integers(1, 30))
    generations = draw(
        st.lists(
            st.builds(
                Generation,
                name=st.just("g"),
                gpus=st.integers(1, 700_000),
                capex_micro=st.integers(0, 10**11),
                in_service=st.integers(-60, 20),
                life_months=st.integers(6, 80),
                residual_ppm=st.integers(0, PPM),
                cost=st.builds(CostSheet, busy_w=st.integers(300, 2_000), idle_w=st.integers(0, 300)),
                upkeep_ppm=st.integers(0, 100_000),
                price_ppm=st.integers(100_000, 3_000_000),
                service_months=st.sampled_from([0, 70]),
            ),
            min_size=1,
            max_size=3,
        )
    )
    classes = draw(
        st.lists(
            st.builds(
                SoldClass,
                name=st.just("c"),
                lease_class=st.just(LeaseClass.GUARDED),
                hours=st.integers(1, 400),
                leased_ppm=st.integers(0, 100_000),
                price_ppm=st.integers(100_000, 1_500_000),
                refund_ppm=st.integers(0, 200_000),
                credit_ppm=st.integers(0, 300_000),
                spike_ppm=st.integers(0, 2_000_000),
            ),
            min_size=1,
            max_size=3,
        )
    )
    leasing = draw(
        st.builds(
            Leasing,
            selling_ppm=st.integers(0, 200_000),
            programme_micro=st.integers(0, 10**12),
            setup_micro=st.integers(0, 10**12),
            ramp_months=st.integers(0, 8),
            payment_months=st.integers(0, 4),
            keeps_floor=st.booleans(),
        )
    )
    price = PricePath(draw(st.integers(100_000, 6_000_000)), trend=draw(st.floats(-0.5, 0.3)))
    return scenario(months=months, fleet=tuple(generations), classes=tuple(classes), leasing=leasing, price=price)


def plain_market(one: Scenario, draws: Draws, path: int) -> tuple[list[int], list[int], list[int], tuple[int, int]]:
    """Price, leased share and what is taken in each month of one path, and its two scales."""
    price, chances = one.price, one.chances
    kept, size, often, jump_mean, jump_spread, block_months = noise_of(price)
    levels = regimes_of(price)
    steady = steady_log(price, one.months)
    per_month = 1 - math.exp(-chances.spikes / 12)
    most = max(PPM, PPM * one.idle_ppm // one.leased_ppm) if one.leased_ppm else PPM
    left_ppm = math.floor(chances.spike_left_ppm / PPM * 1e6 + 0.5)
    deviation = jumped = stepped = told = wave = 0.0
    regime = spiking = block = 0
    prices, leased, taken = [], [], []
    for month in range(one.months):
        normal, uniform = draws.normal[path, month], draws.uniform[path, month]
        for number, step in enumerate(price.steps):
            if step.month == month and draws.steps[path, number] < step.chance:
                stepped += math.log(step.factor)
        if month:
            deviation = kept * deviation + size * normal[0]
            if uniform[0] < often:
                jumped += jump_mean + jump_spread * normal[1]
            if len(levels) > 1 and uniform[1] < levels[regime][1]:
                others = [number for number in range(len(levels)) if number != regime]
                regime = others[int(uniform[1] / levels[regime][1] * len(others))]
            if price.history:
                into = (month - 1) % int(block_months)
                block = int(uniform[2] * len(price.history)) if into == 0 else block
                told += price.history[(block + into) % len(price.history)]
        value = math.exp(min(steady[month] + deviation + jumped + stepped + told + levels[regime][0], 42.0))
        prices.append(min(max(math.floor(value + 0.5), price.lowest_micro), price.ceiling_micro))
        wave = chances.persistence * wave + chances.month_spread * math.sqrt(1 - chances.persistence**2) * normal[2]
        share = min(math.floor(math.exp(min(chances.leased_spread * draws.path[path, 0] + wave, 20.0)) * 1e6 + 0.5), most)
        begins = spiking == 0 and uniform[3] < per_month
        spiking = chances.spike_months if begins else spiking
        taken.append(share_of(share, PPM - left_ppm) if begins else 0)
        leased.append(share_of(share, left_ppm) if spiking else share)
        spiking = max(0, spiking - 1)
    scales = [
        math.floor(min(math.exp(spread * draws.path[path, nth]), 20.0) * 1e6 + 0.5)
        for nth, spread in ((1, chances.reclaim_spread), (2, chances.cost_spread))
    ]
    return prices, leased, taken, (scales[0], scales[1])


def plain_books(months: Months, found: Markets, path: int, targets: list[int]) -> dict[str, Any]:
    """What one path says at its end, line by line."""
    said: dict[str, Any] = dict.fromkeys(
        ("revenue", "refund", "credit", "cost", "selling", "contribution", "result", "cash", "leased_gpu_h", "lowest_cash"), 0
    )
    billed: list[int] = []
    contributions: list[int] = []
    received = 0
    for month in range(len(months.gpus)):
        price, share = int(found.price[path, month]), int(found.leased[path, month])
        line = dict.fromkeys(("revenue", "refund", "credit", "cost", "selling"), 0)
        for kind, (price_ppm, refund_ppm, credit_ppm, spike_ppm) in enumerate(months.terms.tolist()):
            listed, spent = int(months.list_h[month, kind]), int(months.variable[month, kind])
            revenue = share_of(share_of(listed, share) * price, price_ppm)
            refund = share_of(revenue, share_of(refund_ppm, int(found.scale[path, 0])))
            credit = share_of(revenue, share_of(credit_ppm, int(found.scale[path, 0])))
            selling = share_of(revenue, months.selling_ppm)
            cost = share_of(share_of(spent, share), int(found.scale[path, 1]))
            was = share_of(share_of(listed, int(found.taken[path, month])) * price, price_ppm)
            line["credit"] += share_of(was, spike_ppm)
            if not months.keeps_floor or revenue - refund - credit - selling >= cost:
                for name, amount in zip(line, (revenue, refund, credit, cost, selling), strict=True):
                    line[name] += amount
                said["leased_gpu_h"] += share_of(int(months.leased_h[month, kind]), share)
        contribution = line["revenue"] - line["refund"] - line["credit"] - line["cost"] - line["selling"]
        contribution -= int(months.programme[month])
        billed.append(line["revenue"])
        due = month - months.payment_months
        paid = billed[due] if due >= 0 else 0
        received += paid
        for name, amount in line.items():
            said[name] += amount
        said["contribution"] += contribution
        said["result"] += contribution - int(months.standing[month]) - int(months.depreciation[month])
        said["cash"] += contribution - line["revenue"] + paid
        said["cash"] += int(months.disposal[month]) - int(months.capex[month]) - int(months.standing[month])
        said["lowest_cash"] = min(said["lowest_cash"], said["cash"])
        contributions.append(contribution)
    so_far = [sum(contributions[: month + 1]) for month in range(len(contributions))]
    said["receivable"] = said["revenue"] - received
    said["contributions"] = contributions
    said["reached"] = [next((month for month, sum_ in enumerate(so_far) if sum_ >= target), -1) for target in targets]
    return said
