"""The page of a decision in a real Chromium with the network off: everything is drawn, nothing spills over."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

SPILLS = """() => [...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll, svg, .unseen'))
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.tagName + '.' + one.className)"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everything_is_drawn_and_nothing_spills_over(
    decided: Path, opened: Callable[..., Any], width: int, scheme: str
) -> None:
    page = opened(decided / "index.html", width=width, color_scheme=scheme)
    assert [one.get_attribute("id") for one in page.locator("main > section").all()] == [
        "answer", "ranking", "turned", "closed", "matrix", "limits",
    ]  # fmt: skip
    for canvas in page.locator(".canvas").all():
        name = canvas.get_attribute("id")
        assert canvas.locator(".scatterlayer .trace, .barlayer .point").count() > 0, f"nothing is drawn in {name}"
    assert page.evaluate(SPILLS) == []
    assert "own surplus" in page.locator("#ranking tbody tr").first.inner_text()
    assert page.locator("#matrix tbody td").count() == 28
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page.content())
    assert policy is not None and "http" not in policy[1]
