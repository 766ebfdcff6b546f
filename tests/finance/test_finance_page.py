"""The report in a real Chromium with the network off: everything is drawn, nothing spills over, the claims stand there."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

SECTIONS = ["answer", "units", "accounts", "chance", "turned", "claims", "assumptions", "limits"]
SPILLS = """() => [...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll, svg, .unseen'))
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.tagName + '.' + one.className)"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everything_is_drawn_and_nothing_spills_over(made: Path, opened: Callable[..., Any], width: int, scheme: str) -> None:
    page = opened(made / "index.html", width=width, color_scheme=scheme)
    assert [one.get_attribute("id") for one in page.locator("main > section").all()] == SECTIONS
    canvases = page.locator(".canvas")
    assert canvases.count() == 7
    for canvas in canvases.all():
        name = canvas.get_attribute("id")
        marks = canvas.locator(".scatterlayer .trace, .barlayer .point")
        assert marks.count() > 0, f"nothing is drawn in {name}"
        assert canvas.locator("svg.main-svg").first.bounding_box()["width"] <= width, name
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SPILLS) == []
    assert page.locator("#answer .plain p").count() == 1, "one paragraph"
    assert page.locator("#claims tbody tr").count() == 9
    assert "19.03" in page.locator("#C2").inner_text() and page.locator("#C3 .fails").count() == 1
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page.content())
    assert policy is not None and "http" not in policy[1]
