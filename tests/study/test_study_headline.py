"""The paragraph at the top is right whatever was found: good, bad, or nothing at all."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small

from command_line import Sublet
from sublet.advice.study.report import Report, report_of
from sublet.advice.study.result import Study
from sublet.sim.figures import Figures
from sublet.sim.policies import OURS


def with_ours(found: Study, **figures: Any) -> Study:
    """The study with other figures of our policy."""
    return replace(found, fleet={**found.fleet, OURS: replace(found.fleet[OURS], **figures)})


def said(report: Report) -> str:
    return " ".join(report.headline.sentences + report.headline.warnings)


def ours(found: Study) -> Figures:
    return found.fleet[OURS]


def test_the_numbers_are_those_of_our_policy_scaled_to_a_year(found: Study) -> None:
    head, mine = report_of(found).headline, ours(found)
    years = mine.fleet_gpu_h / (8_760 * 48)
    assert head.case == "leased"
    assert head.leased_gpu_h_year == pytest.approx(mine.leased_gpu_h / years)
    assert head.net_year == pytest.approx(mine.net / years)
    assert (head.delay_p99_s, head.delay_max_s, head.waited) == (mine.delays.p99_s, mine.delays.max_s, mine.delays.waited)


def test_a_broken_promise_is_said_first_of_all_warnings(found: Study) -> None:
    delays = replace(ours(found).delays, max_s=1_500.0, broken=3)
    report = report_of(with_ours(found, delays=delays))
    assert report.headline.case == "broken"
    assert "that promise was broken 3 times" in said(report) and "the longest 25\u202fmin" in said(report)
    assert report.headline.warnings[0].startswith("The hand-back promise was broken 3 times.")
    assert "was kept" not in said(report)


CASES: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "a loss": ({"net": -100.0, "revenue": 1.0}, "loss", "Leasing costs more than it brings"),
    "an account that does not add up": ({"conserved": False}, "leased", "does not add up"),
    "an alarm": ({"alarms": {"late": 2, "none": 0}}, "leased", "late (2)"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_a_warning(found: Study, name: str) -> None:
    figures, case, warning = CASES[name]
    assert warning not in said(report_of(found))
    report = report_of(with_ours(found, **figures))
    assert report.headline.case == case
    assert any(warning in one for one in report.headline.warnings)


def test_a_short_study_warns_of_its_yearly_figures(found: Study) -> None:
    assert any("Yearly figures are those few days, scaled" in one for one in report_of(found).headline.warnings)


def study_of(sublet: Sublet, *words: str) -> Any:
    return sublet("study", *words, "--workers", "1", "--no-sensitivity", "--policy", "ours", "--judge", "none", "--json").json


def test_a_full_fleet_has_nothing_to_lease(sublet: Sublet, tmp_path: Path) -> None:
    rows = "\n".join(f"{hour * 3600},{8},{8}" for hour in range(240))
    log = small.write(tmp_path / "log.csv", f"at_s,gpus,capacity\n{rows}\n")
    head = study_of(sublet, str(log))["headline"]
    assert head["case"] == "nothing_idle" and head["leased_gpu_h_year"] == 0
    assert "there is nothing to lease" in " ".join(head["sentences"])


@pytest.mark.parametrize(
    ("market", "why", "way_out"),
    [
        ("tenants = []\n", "the market has no tenants", "add [[tenants]]"),
        ("[[tenants]]\ngpus = 16\n", "every tenant wants 16 or more", "gpus = 8 or fewer"),
        ("[reserve]\nmin = 99\n", "nothing is ever lendable", "lower reserve.min"),
        ('[terms]\npromise = "30s"\n', "the owner is promised 30\u202fs", "even without a notice"),
        (
            '[terms]\nspot_notice = "20m"\n[[tenants]]\ngpus = 1\n',
            "with a notice of 20\u202fmin",
            'set terms.spot_notice to "',
        ),
    ],
)
def test_nothing_leased_says_why_and_what_to_change(
    sublet: Sublet, trace: Path, asked: tuple[str, ...], *, market: str, why: str, way_out: str
) -> None:
    Path("market.toml").write_text(market)
    head = study_of(sublet, str(trace), *asked, "--price", "market.toml")["headline"]
    told = " ".join(head["sentences"])
    assert head["case"] == "nothing_leased" and head["net_year"] == 0
    assert why in told and way_out in told


def test_the_way_out_of_a_late_notice_is_one(sublet: Sublet, trace: Path, asked: tuple[str, ...]) -> None:
    head = "[[tenants]]\ngpus = 1\n"
    Path("market.toml").write_text(f'[terms]\nspot_notice = "20m"\n{head}')
    told = " ".join(study_of(sublet, str(trace), *asked, "--price", "market.toml")["headline"]["sentences"])
    for pattern, key in ((r'spot_notice to "(\d+s)"', "spot_notice"), (r'terms.promise to "(\d+s)"', "promise")):
        value = re.search(pattern, told)
        assert value is not None
        notice = 'spot_notice = "20m"\n' if key == "promise" else ""
        Path("better.toml").write_text(f'[terms]\n{notice}{key} = "{value[1]}"\n{head}')
        better = study_of(sublet, str(trace), *asked, "--price", "better.toml", "--out", key)["headline"]
        assert better["case"] == "leased", key


def test_costs_and_prices_of_a_file_are_used_and_named(sublet: Sublet, trace: Path, asked: tuple[str, ...]) -> None:
    Path("costs.toml").write_text(
        '[cost]\ntariff_kwh = "0.20"\nwear_gpu_h = 0\noperations_gpu_h = 0\n[models.west]\npue = 2\ntariff_kwh = "0.10"\n'
    )
    Path("market.toml").write_text('currency = "EUR"\n[price]\ndefault = "0.90"\n[price.models]\nwest = "0.50"\n')
    found = study_of(sublet, str(trace), *asked, "--cost", "costs.toml", "--price", "market.toml")
    by_name = {one["pool"]: one for one in found["pools"]}
    assert (by_name["east"]["price"], by_name["west"]["price"]) == (0.9, 0.5)
    assert by_name["east"]["cost"] == pytest.approx((1_275 - 320) / 1_000 * 1.2 * 0.20, abs=1e-4)
    assert by_name["west"]["cost"] == pytest.approx((1_275 - 320) / 1_000 * 2 * 0.10, abs=1e-4)
    given = {one["name"]: (one["value"], one["source"]) for one in found["assumptions"]}
    assert given["models.west.tariff_kwh"] == (0.1, "file") and given["models.west.pue"] == (2.0, "file")
    assert given["cost.tariff_kwh"] == (0.2, "file") and given["cost.pue"] == (1.2, "default")
    assert found["trace"]["currency"] == "EUR" and "€0.50 to €0.90 a GPU-hour" in " ".join(found["headline"]["sentences"])
