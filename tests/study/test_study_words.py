"""Numbers in a report: no share reads as nothing or as all that is not, and three digits stay true."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublet.advice.study import words

THIN = "\u202f"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (words.share(0), "0 %"),
        (words.share(0.00001), "< 0.01 %"),
        (words.share(-0.00001), "-< 0.01 %"),
        (words.share(0.0036), "0.36 %"),
        (words.share(0.0372), "3.7 %"),
        (words.share(0.638), "64 %"),
        (words.share(0.9999), "99.9 %"),
        (words.share(1), "100 %"),
        (words.share(1.48), "148 %"),
        (words.number(0), "0"),
        (words.number(0.9574), "0.957"),
        (words.number(9.996), "10"),
        (words.number(64.12), "64.1"),
        (words.number(474_812), "475,000"),
        (words.number(999_700), "1 M"),
        (words.number(2_871_000), "2.87 M"),
        (words.number(-54_321), "-54,300"),
        (words.count(12_345), "12,345"),
        (words.counted(1, "job"), "1 job"),
        (words.counted(0, "job"), "0 jobs"),
        (words.counted(2, "job asks", "jobs ask"), "2 jobs ask"),
        (words.gpu_hours(1_500_000), "1.5 M GPU-hours"),
        (words.money(4_290_000, "USD"), "$4.29 M"),
        (words.money(-12.5, "CHF"), "-12.5 CHF"),
        (words.money(-0.0000001, "USD"), "$0"),
        (words.price(1.65, "USD"), "$1.65"),
        (words.price(0.957, "USD"), "$0.957"),
        (words.price(0.000012, "EUR"), "€0.000012"),
        (words.length(90), "90 s"),
        (words.length(354), "5.9 min"),
        (words.length(44_280), "12.3 h"),
        (words.length(60.5 * 86_400), "60.5 days"),
        (words.listed(["a"]), "a"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_read_as_people_write_them(said: str, wanted: str) -> None:
    assert said.replace(THIN, " ") == wanted


@given(st.floats(0, 2))
def test_only_nothing_reads_as_nothing_and_only_all_as_all(part: float) -> None:
    said = words.share(part).replace(THIN, " ")
    assert (said == "0 %") == (part == 0)
    assert said != "100 %" or 1 <= part < 1.005


@given(st.floats(1e-3, 9e14))
def test_a_number_keeps_three_digits(value: float) -> None:
    text = words.number(value).replace(THIN, " ")
    units = {"": 1, " M": 1e6, " bn": 1e9, " tn": 1e12}
    number, unit = re.fullmatch(r"([\d.,]+)( M| bn| tn|)", text).groups()  # type: ignore[union-attr]
    assert float(number.replace(",", "")) * units[unit] == pytest.approx(value, rel=0.006, abs=6e-4)


@given(st.floats(0.001, 1e8))
def test_a_length_is_true_to_five_percent_and_has_its_unit(seconds: float) -> None:
    number, unit = words.length(seconds).split(THIN)
    each = {"s": 1, "min": 60, "h": 3_600, "days": 86_400}[unit]
    assert float(number.replace(",", "")) * each == pytest.approx(seconds, rel=0.05, abs=0.06)
