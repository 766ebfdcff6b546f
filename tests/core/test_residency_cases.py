"""Cases of residency as people argue them, each with its source: tests/core/residency_cases.yaml."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sublet.core.residency import RULES, Label, Party, Place, Sensitivity, allows, denials, verdicts

BOOK = yaml.safe_load((Path(__file__).parent / "residency_cases.yaml").read_text())
LISTS = ("regimes", "certifications", "safeguards")


def place_of(said: str | dict[str, Any]) -> Place:
    changes = {"of": said} if isinstance(said, str) else dict(said)
    name = changes.pop("of")
    facts = {**BOOK["places"][name], **changes}
    return Place(facts.pop("name", name), **{key: tuple(value) if key in LISTS else value for key, value in facts.items()})


def label_of(case: dict[str, Any]) -> Label:
    lists = {name: tuple(case.get(name, ())) for name in ("residency", "data", "regimes", "safeguards")}
    return replace(Label(**lists), sensitivity=Sensitivity(case.get("sensitivity", "public")))


@pytest.mark.parametrize("case", BOOK["cases"], ids=lambda case: case["says"])
def test_a_case_is_judged_as_its_source_says(case: dict[str, Any]) -> None:
    label, place = label_of(case), place_of(case["place"])
    found = verdicts(label, place, Party("acme", case.get("tenant")))
    assert [one.rule for one in denials(found)] == sorted(case.get("deny", []), key=list(RULES).index)
    assert allows(label, found) is case.get("allow", False)
    assert case["source"] and all(one.reason and one.source.as_of for one in found)


def test_there_are_many_cases_and_each_rule_both_allows_and_denies() -> None:
    assert len(BOOK["cases"]) >= 60
    denied = {rule for case in BOOK["cases"] for rule in case.get("deny", [])}
    allowed = {
        one.rule
        for case in BOOK["cases"]
        for one in verdicts(label_of(case), place_of(case["place"]), Party("acme", case.get("tenant")))
        if one.allows
    }
    assert denied == allowed == set(RULES)
