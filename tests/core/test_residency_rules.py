"""What holds for every residency rule, whoever adds one: nothing unknown allows, a denial wins, each says why and whence."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublet.core.errors import Invalid
from sublet.core.residency import RULES, Label, Party, Place, Sensitivity, allows, denials, judge, verdicts
from sublet.core.residency.lists import accelerators, adequacy
from sublet.core.residency.lists.blocs import BLOCS, EEA, EU_STATES
from sublet.core.residency.lists.countries import COUNTRIES
from sublet.core.residency.lists.reach import REACHING
from sublet.core.residency.lists.regimes import REGIMES, for_workloads
from sublet.core.residency.lists.terms import CERTIFICATIONS, KINDS, SAFEGUARDS, SECURITY
from sublet.core.residency.rules.regime_needs import NEEDS
from sublet.core.residency.words import check_residency, checked_keys, countries_of, country_of, names_sites_only, written

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date().isoformat()
codes = st.sampled_from([*COUNTRIES, *(EEA & COUNTRIES.keys()), "US", "CN", "GB", "DE"])
garbage = st.sampled_from(["", "XX", "de", "Atlantis", "EU", "??"])
seats = st.one_of(codes, st.none(), garbage)


def some(known: object, *, at_most: int = 4) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(sorted(known)), max_size=at_most, unique=True).map(tuple)  # type: ignore[call-overload]


labels = st.builds(
    Label,
    residency=some([*BLOCS, "DE", "US", "CN", "oslo", "site:DE"], at_most=3),
    sensitivity=st.sampled_from(Sensitivity),
    data=some(KINDS, at_most=2),
    regimes=some(for_workloads(), at_most=2),
    safeguards=some(SAFEGUARDS),
)
places = st.builds(
    Place,
    name=st.sampled_from(["oslo", "DE", "site"]),
    country=seats,
    operator=st.sampled_from(["ACME", None]),
    operator_country=seats,
    regimes=some(REGIMES),
    certifications=some(CERTIFICATIONS, at_most=8),
    safeguards=some(SAFEGUARDS),
    accelerator=st.sampled_from(["H100", "T4", "X9", None, "none"]),
)
parties = st.builds(Party, name=st.just("acme"), country=seats)


def allowed(label: Label, place: Place, tenant: Party) -> bool:
    return allows(label, verdicts(label, place, tenant))


def asks_for_facts(label: Label) -> bool:
    return not label.silent and not names_sites_only(label)


@given(labels.filter(asks_for_facts), places, parties)
def test_what_is_unknown_never_allows(label: Label, place: Place, tenant: Party) -> None:
    if place.country not in COUNTRIES or tenant.country not in COUNTRIES:
        assert not allowed(label, place, tenant)
    if label.sensitivity is not Sensitivity.PUBLIC and (place.operator is None or place.operator_country not in COUNTRIES):
        assert not allowed(label, place, tenant)


@given(labels.filter(asks_for_facts), places, parties, st.sampled_from(["country", "operator", "operator_country", "tenant"]))
def test_to_know_less_never_allows_more(label: Label, place: Place, tenant: Party, lost: str) -> None:
    if not allowed(label, place, tenant):
        assert not allowed(label, replace(place, certifications=(), safeguards=()), tenant)
        less = (place, Party("acme")) if lost == "tenant" else (replace(place, **{lost: None}), tenant)
        assert not allowed(label, *less)


@given(labels, places, parties, st.sampled_from(["regimes", "data", "safeguards"]), st.text(min_size=1, max_size=12))
def test_a_word_on_no_list_is_denied_everywhere(label: Label, place: Place, tenant: Party, where: str, word: str) -> None:
    known = {"regimes": for_workloads(), "data": KINDS, "safeguards": SAFEGUARDS}[where]
    strange = replace(label, **{where: (*getattr(label, where), word)})
    if word not in known and not strange.silent:
        assert not allowed(strange, place, tenant)


@given(labels, places, parties)
def test_a_denial_wins_and_each_verdict_says_why_and_whence(label: Label, place: Place, tenant: Party) -> None:
    found = verdicts(label, place, tenant)
    assert found == verdicts(label, place, tenant), "the same question has the same answer"
    assert [one.rule for one in found] == [name for name in RULES if name in {one.rule for one in found}]
    assert allows(label, found) is (not denials(found) and (bool(found) or label.silent))
    assert all(one.reason and one.source == RULES[one.rule].source for one in found)
    judged = judge(label, place, tenant)
    assert judged.allowed is allows(label, found) and bool(judged.reason)


@given(places, st.sampled_from(["H100", None]))
def test_who_states_nothing_runs_as_ever(place: Place, accelerator: str | None) -> None:
    here = replace(place, regimes=(), accelerator=accelerator)
    assert verdicts(Label(), here, Party("acme")) == () and allowed(Label(), here, Party("acme"))
    assert allowed(Label(safeguards=("scc",)), here, Party("acme"))


@given(labels.filter(lambda label: not label.silent), parties)
def test_a_place_without_facts_takes_nothing_that_is_stated(label: Label, tenant: Party) -> None:
    bare = Place("elsewhere", accelerator="H100")
    assert not bare.stated and not allowed(label, bare, tenant)


@given(places, parties)
def test_nobody_allows_is_a_denial(place: Place, tenant: Party) -> None:
    assert not allows(Label(data=("code",)), ()) and allows(Label(), ())
    assert allowed(Label(residency=(f"site:{place.name}",)), replace(place, regimes=()), Party("acme"))


@pytest.mark.parametrize("name", for_workloads())
def test_a_regime_is_judged_by_the_rules_that_it_names(name: str) -> None:
    label = Label(regimes=(name,))
    spoke = {one.rule for one in verdicts(label, Place("x", country="DE", accelerator="T4"), Party("acme", "DE"))}
    assert set(REGIMES[name].judged_by) <= spoke, "or else nobody would say a word about it"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_a_file_a_row_and_a_line_in_the_docs(name: str) -> None:
    rule = RULES[name]
    assert (ROOT / "src/sublet/core/residency/rules" / f"{name.replace('-', '_')}.py").is_file()
    assert rule.says.endswith(".") and f"`{name}`" in (ROOT / "docs/residency.md").read_text()


def test_every_source_has_a_day_that_is_past_and_every_code_is_a_country() -> None:
    lists = [adequacy.GDPR, adequacy.UK_GDPR, adequacy.SWISS_FADP]
    sources = [one.source for group in (RULES, REGIMES, BLOCS) for one in group.values()]
    sources += [one.source for one in lists] + list(REACHING.values()) + [accelerators.SOURCE]
    sources += [kind.source for kind in KINDS.values() if kind.source is not None]
    for source in sources:
        assert source.title and re.fullmatch(r"\d{4}-\d\d-\d\d", source.as_of) and source.as_of <= TODAY
    used = {code for bloc in BLOCS.values() for code in bloc.members} | accelerators.LICENSED_SEATS | accelerators.EMBARGOED
    used |= {code for one in lists for group in (one.home, one.adequate, one.conditional) for code in group}
    used |= {code for one in REGIMES.values() for code in one.home} | REACHING.keys()
    used |= {code for kind in KINDS.values() for code in kind.stays or ()}
    used |= {code for need in NEEDS.values() for code in need.countries | need.operator_from}
    assert used <= COUNTRIES.keys() and set(SECURITY) <= CERTIFICATIONS.keys()
    assert len(EU_STATES) == 27 and len(EEA & EU_STATES) == 27
    for one in lists:
        asked = set(one.conditional.values())
        assert not one.home & one.adequate and set(one.safeguards) <= SAFEGUARDS.keys() and asked <= {*CERTIFICATIONS, *REGIMES}


def test_the_countries_are_those_of_the_package_that_they_are_made_of() -> None:
    made = subprocess.run([sys.executable, ROOT / "scripts/make-countries", "--check"], check=False, timeout=60)
    assert made.returncode == 0, "run: .venv/bin/python scripts/make-countries"


@pytest.mark.parametrize(
    ("text", "code"), [("Germany", "DE"), ("deu", "DE"), (" de ", "DE"), ("UK", "GB"), ("South Korea", "KR"), ("Türkiye", "TR")]
)
def test_a_country_is_known_by_its_codes_and_names(text: str, code: str) -> None:
    assert country_of(text) == code and countries_of(text) == {code} and written(text) == code


@pytest.mark.parametrize(("text", "meant"), [("Germny", "Germany"), ("Norwai", "Norway"), ("Untied States", "United States")])
def test_a_misspelt_country_is_named_with_the_nearest(text: str, meant: str) -> None:
    with pytest.raises(Invalid, match=re.escape(repr(text))) as found:
        country_of(text)
    assert meant in (found.value.hint or "")


@pytest.mark.parametrize(
    ("item", "meant"),
    [("EUU", "EU"), ("five-eye", "FIVE-EYES"), ("osl", "oslo"), ("site:osl", "oslo"), ("zzzzzz", "sites: oslo")],
)
def test_a_misspelt_place_is_named_with_the_nearest(item: str, meant: str) -> None:
    with pytest.raises(Invalid, match=re.escape(repr(item))) as found:
        check_residency([item], ["oslo"])
    assert meant in (found.value.hint or "")
    check_residency(["EU", "de", "oslo", "site:oslo", "five-eyes"], ["oslo"])


@pytest.mark.parametrize(("word", "meant"), [("gdrp", "gdpr"), ("eu-ai-akt", "eu-ai-act"), ("qqqq", "choose from")])
def test_a_misspelt_regime_is_named_with_the_nearest(word: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        checked_keys([word], for_workloads(), what="regime")
    assert checked_keys(["GDPR", "EU AI Act", "gdpr"], for_workloads(), what="regime") == ("gdpr", "eu-ai-act")


@pytest.mark.parametrize(
    ("model", "number"),
    [
        *(("H100", "3A090.a"), ("NVIDIA H100-80GB", "3A090.a"), ("A30", "3A090.b"), ("L4", "3A090.a"), ("H20", "letter")),
        *(("T4", None), ("a10", None), ("V100", None), ("cpu", None), ("none", None), (None, "unknown"), ("H1000", "unknown")),
    ],
)
def test_an_accelerator_is_controlled_by_its_performance(model: str | None, number: str | None) -> None:
    assert accelerators.controlled(model) == number
