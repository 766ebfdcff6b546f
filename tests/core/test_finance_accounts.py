"""Accounts of leasing: depreciation to the last micro-unit, a spreadsheet's arithmetic, break-evens, and what moves how."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from finance_twins import fleet, scenario, scenarios
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sublet.core.finance.accounts import accounts_of, total
from sublet.core.finance.amounts import MONTH_H, PPM, rounded, share_of
from sublet.core.finance.answers import break_even, lift_bps, payback_month
from sublet.core.finance.claims import capex_sum, leased_hours, price_needed, revenue_for_lift, share_needed
from sublet.core.finance.paths import base_prices
from sublet.core.finance.scenario import Generation, Leasing, Owner, PricePath, Scenario
from sublet.core.finance.tables import months_of

CENT = 10_000
"""Micro-units."""


def flows_of(one: Scenario, price: int | Fraction | None = None):  # type: ignore[no-untyped-def]
    prices = base_prices(one.price, one.months) if price is None else [price] * one.months
    return total([month.flows for month in accounts_of(months_of(one), prices)])


@given(st.integers(-(10**18), 10**18), st.integers(0, 20 * PPM))
def test_a_share_is_rounded_half_up(amount: int, ppm: int) -> None:
    assert share_of(amount, ppm) == rounded(Fraction(amount * ppm, PPM))


@given(
    gpus=st.integers(1, 10**6), capex=st.integers(0, 10**11), life=st.integers(1, 120), residual=st.integers(0, PPM),
    service=st.integers(0, 200), in_service=st.integers(-200, 50),
)  # fmt: skip
def test_depreciation_sums_to_capex_less_residual_exactly(
    *, gpus: int, capex: int, life: int, residual: int, service: int, in_service: int
) -> None:
    one = replace(
        fleet(), gpus=gpus, capex_micro=capex, life_months=life, residual_ppm=residual, service_months=service,
        in_service=in_service,
    )  # fmt: skip
    span = range(in_service, in_service + one.lasts)
    charges = [one.depreciation_micro(month) for month in span]
    assert sum(charges) == one.bought_micro - one.residual_micro
    assert all(charge >= 0 for charge in charges) and max(charges) - min(charges[:life]) <= 1
    assert one.depreciation_micro(in_service - 1) == one.depreciation_micro(in_service + one.lasts) == 0
    for month in span[:-1]:
        assert one.assets_micro(month) == one.bought_micro - sum(charges[: month - in_service + 1])
    assert one.assets_micro(span[-1]) == 0 and one.assets_micro(in_service - 1) == 0


@given(one=scenarios())
@settings(max_examples=60, deadline=None)
def test_accounts_tie_out_and_assets_roll(one: Scenario) -> None:
    accounts = accounts_of(months_of(one), base_prices(one.price, one.months))
    assets, cash = one.opening_micro, 0
    for month in accounts:
        flows = month.flows
        assets += flows.capex_micro - flows.fleet_depreciation_micro - flows.disposal_micro
        cash += flows.cash_flow_micro
        assert (month.assets_micro, month.cash_micro, month.imbalance_micro) == (assets, cash, 0)
        assert flows.leased_gpu_h <= flows.capacity_gpu_h
        assert flows.full_cost_micro >= flows.incremental_micro


def spreadsheet(one: Scenario, price: Decimal) -> Iterator[dict[str, Decimal]]:
    """The same accounts as a spreadsheet has them: decimals in whole units, one cell after the other, each line rounded."""

    def cents(value: Decimal) -> Decimal:
        return value.quantize(Decimal("0.000001"), ROUND_HALF_UP)

    (generation,) = one.fleet
    for month in range(one.months):
        line = dict.fromkeys(("revenue", "refund", "credit", "selling", "energy", "depreciation", "contribution"), Decimal(0))
        there = generation.in_service <= month < generation.in_service + generation.life_months
        capacity = Decimal(generation.gpus * 730) if there else Decimal(0)
        leased = Decimal(0)
        kilowatts = Decimal(max(0, generation.cost.busy_w - generation.cost.idle_w)) / 1_000
        energy_h = kilowatts * generation.cost.pue_permille / 1_000 * generation.cost.tariff_micro_kwh / 1_000_000
        for sold in one.classes:
            hours = (capacity * sold.leased_ppm / 1_000_000).quantize(Decimal(1), ROUND_HALF_UP)
            revenue = cents(hours * price * sold.price_ppm / 1_000_000)
            line["revenue"] += revenue
            line["refund"] += cents(revenue * sold.refund_ppm / 1_000_000)
            line["credit"] += cents(revenue * sold.credit_ppm / 1_000_000)
            line["selling"] += cents(revenue * one.leasing.selling_ppm / 1_000_000)
            line["energy"] += hours * cents(energy_h)
            leased += hours
        wear = leased * (generation.cost.wear_micro + generation.cost.operations_micro) / 1_000_000
        if there:
            worth = Decimal(generation.gpus * generation.capex_micro) / 1_000_000
            monthly = worth * (1 - Decimal(generation.residual_ppm) / 1_000_000) / generation.life_months
            line["depreciation"] = monthly * leased / capacity
        programme = Decimal(one.leasing.programme_micro + (one.leasing.setup_micro if month == 0 else 0)) / 1_000_000
        line["contribution"] = (
            line["revenue"] - line["refund"] - line["credit"] - line["selling"] - line["energy"] - wear - programme
        )
        yield line


def test_a_spreadsheet_comes_to_the_same_cent() -> None:
    one = scenario(
        fleet=(fleet(gpus=1_234, capex=41_250, in_service=-3, life=25),), leasing=Leasing(45_000, 12_345_678_912, 999)
    )
    price = 2_345_678
    accounts = accounts_of(months_of(one), [price] * one.months)
    for month, line in zip(accounts, spreadsheet(one, Decimal(price) / 1_000_000), strict=True):
        for name, value in line.items():
            ours = Decimal(getattr(month.flows, f"{name}_micro")) / 1_000_000
            assert abs(ours - value) < Decimal("0.005"), (month.number, name, ours, value)


@given(one=scenarios(), low=st.integers(0, 5_000_000), more=st.integers(0, 5_000_000))
@settings(max_examples=60, deadline=None)
def test_revenue_and_contribution_never_fall_with_the_price(one: Scenario, low: int, more: int) -> None:
    free = replace(one, classes=tuple(replace(sold, refund_ppm=0, credit_ppm=0) for sold in one.classes))
    before, after = flows_of(free, low), flows_of(free, low + more)
    assert after.revenue_micro >= before.revenue_micro
    assert after.contribution_micro >= before.contribution_micro - 10 * one.months


@given(one=scenarios())
@settings(max_examples=80, deadline=None)
def test_at_the_break_even_price_nothing_is_left_to_the_cent(one: Scenario) -> None:
    open_ = replace(one, leasing=replace(one.leasing, keeps_floor=False))
    months = months_of(open_)
    found = break_even(open_, months, flows_of(open_))
    assume(found.price_incremental is not None)
    assert found.price_incremental is not None and found.price_full is not None
    assert abs(flows_of(open_, found.price_incremental).contribution_micro) < CENT
    assert abs(flows_of(open_, found.price_full).full_margin_micro) < CENT
    assert found.price_full >= found.price_incremental


def test_break_even_shares_pay_what_they_say() -> None:
    one = replace(scenario(), leasing=Leasing(45_000, 30_000_000_000, 0, 0, 1, keeps_floor=False))
    base = flows_of(one)
    found = break_even(one, months_of(one), base)
    assert found.share_programme is not None and found.share_idle is not None and found.share_fleet is not None
    share = round(found.share_programme * base.capacity_gpu_h / base.leased_gpu_h * one.leased_ppm)
    barely = flows_of(one.with_leased(share))
    assert abs(barely.contribution_micro) < base.contribution_micro // 2_000
    assert found.share_programme < found.share_idle < found.share_fleet


def test_below_its_floor_a_class_is_not_leased() -> None:
    one = scenario()
    floor = max(generation.variable_micro for generation in one.fleet)
    assert flows_of(one, floor // 4).leased_gpu_h == 0
    assert flows_of(one, 10 * floor).leased_gpu_h > 0
    kept, sold = flows_of(one, floor), flows_of(replace(one, leasing=replace(one.leasing, keeps_floor=False)), floor)
    assert kept.contribution_micro > sold.contribution_micro


def test_payback_is_the_first_month_that_reaches_it() -> None:
    one = scenario(months=24, leasing=Leasing(0, 0, 400_000 * PPM))
    accounts = accounts_of(months_of(one), [2_350_000] * 24)
    month = payback_month(accounts, 0)
    assert month is not None and month > 0
    sums = [total([entry.flows for entry in accounts[: nth + 1]]).contribution_micro for nth in range(24)]
    assert sums[month] >= 0 > sums[month - 1]
    assert payback_month(accounts, 10**18) is None


def test_leasing_ramps_up_and_tenants_pay_later() -> None:
    one = scenario(leasing=Leasing(0, 0, 0, ramp_months=4, payment_months=2))
    accounts = accounts_of(months_of(one), [2_350_000] * one.months)
    hours = [month.flows.leased_gpu_h for month in accounts[:5]]
    assert hours == sorted(hours) and hours[0] * 4.9 < hours[4]
    assert [month.flows.received_micro for month in accounts[:2]] == [0, 0]
    assert accounts[2].flows.received_micro == accounts[0].flows.revenue_micro
    assert accounts[-1].receivable_micro == sum(month.flows.revenue_micro for month in accounts[-2:])


META = Owner(200_966 * 10**12, 83_276 * 10**12)
BN = 10**15


@pytest.mark.parametrize(
    ("revenue", "margin", "bps"),
    [("1.31", "0.9", 31), ("10", "0.85", 206), ("10", "1", 278)],
)
def test_basis_points_are_those_of_the_public_accounts(revenue: str, margin: str, bps: int) -> None:
    earned = Fraction(revenue) * BN
    assert round(lift_bps(META, earned, earned * Fraction(margin))) == bps


def test_claims_arithmetic_is_that_of_the_fact_check() -> None:
    hours = leased_hours(600_000, Fraction(1, 10))
    assert hours == 525_600_000
    assert [round(float(hours * Fraction(price)) / 1e9, 2) for price in ("1.7", "2.35", "2.5", "2.6", "5.3")] == [
        0.89, 1.24, 1.31, 1.37, 2.79
    ]  # fmt: skip
    assert round(float(price_needed(10**10, 600_000, Fraction(1, 10))), 2) == 19.03
    assert round(float(share_needed(10**10, 600_000, Fraction("2.35"))), 2) == 0.81
    low, high = capex_sum([(Fraction("37.26"), Fraction("37.26")), (Fraction("72.22"), Fraction("72.22")), (115, 145)])
    assert (float(low), float(high)) == (224.48, 254.48)
    for bps, margin, wanted in ((300, "0.85", 14.9), (300, "0.95", 11.9), (500, "0.85", 26.1)):
        found = revenue_for_lift(META, bps, Fraction(margin))
        assert found is not None and round(float(found) / BN, 1) == wanted
        assert abs(lift_bps(META, found, found * Fraction(margin)) - bps) < Fraction(1, 10**9)
    assert revenue_for_lift(META, 500, Fraction("0.46")) is None


def test_what_does_not_fit_64_bits_is_known_beforehand() -> None:
    assert scenario().fits()
    assert not scenario(fleet=(fleet(gpus=10**8, capex=40_000),)).fits()
    assert not scenario(price=PricePath(10**10), fleet=(fleet(gpus=10**6),)).fits()


def test_hours_are_whole_and_of_a_month() -> None:
    one = scenario(leasing=Leasing())
    generation: Generation = one.fleet[0]
    assert one.hours(generation, one.classes[0], 0) == share_of(1_000 * MONTH_H, 60_001)
    assert one.hours(generation, one.classes[0], 36) == 0, "no longer in service"
