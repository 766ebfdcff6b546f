"""Every page can be read, leads on, and uses our words."""

import re
from urllib.parse import urlsplit

import pytest
import yaml
from pages import PAGES, ROOT, Page, page

every_page = pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)

NOT_OUR_WORDS = re.compile(
    r"\b(customers?|rentals?|backends?|preempt\w*|allocations?|simply|seamless\w*|powerful|TODO|FIXME)\b", re.IGNORECASE
)

SLURMS_SETTINGS = re.compile(r"`preempt[^`]*`", re.IGNORECASE)  # are called what Slurm calls them


@every_page
def test_links_lead_somewhere(one: Page) -> None:
    for link in one.links:
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            continue
        target = (one.path.parent / parts.path).resolve() if parts.path else one.path
        assert target.is_relative_to(ROOT) and target.exists(), f"{one.name}: {link} leads nowhere"
        if parts.fragment:
            assert parts.fragment in Page(target).anchors, f"{one.name}: {link} names no heading"


@every_page
def test_words_are_the_glossarys(one: Page) -> None:
    said = one.prose if one.name != "docs/glossary.md" else re.sub(r"\| \([^)]*\) \|", "", one.prose)
    assert NOT_OUR_WORDS.findall(SLURMS_SETTINGS.sub("", said)) == []


@every_page
def test_yaml_is_yaml(one: Page) -> None:
    for block in one.code("yaml"):
        assert isinstance(yaml.safe_load(block), dict)


@every_page
def test_a_page_begins_with_its_title_and_has_no_machine_in_it(one: Page) -> None:
    assert one.text.startswith("# ") and one.text.endswith("\n")
    assert not re.search(r"/(root|work|tmp/bash)\b", one.text)


@pytest.mark.parametrize("one", [one for one in PAGES if one.path.parent.name == "docs"], ids=lambda one: one.name)
def test_a_page_of_a_noun_fits_a_screen_or_two(one: Page) -> None:
    assert len(one.text.splitlines()) <= 110


def test_every_page_is_listed() -> None:
    start = page("docs/README.md")
    listed = {(start.path.parent / link).resolve() for link in start.links}
    assert {one.path for one in PAGES if one.path.is_relative_to(ROOT / "docs")} - listed == {start.path}


@pytest.mark.parametrize("one", [one for one in PAGES if one.path.parent.name == "decisions"], ids=lambda one: one.name)
def test_a_decision_says_all_that_it_should(one: Page) -> None:
    number = one.path.name[:4]
    assert one.text.startswith(f"# {number}: ")
    order = [one.text.find(f"**{part}.**") for part in ("Context", "Decision", "Non-goals", "Consequences", "Alternatives")]
    assert -1 not in order and order == sorted(order)
