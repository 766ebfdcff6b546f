"""The report in a real Chromium with the network off: everything is drawn, nothing spills over, nothing is kept quiet."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import Sublet
from sublet.advice.study.document import document
from sublet.advice.study.page import page_of
from sublet.advice.study.report import report_of
from sublet.advice.study.result import Study
from sublet.sim.policies import OURS, POLICIES

pytestmark = pytest.mark.browser

Opened = Callable[..., Any]
SECTIONS = ("answer", "idle", "forecasts", "policies", "sensitivity", "figures", "assumptions", "data", "limits")
FIGURES = (
    "over-time", "lengths", "states-over-time", "leased", "net", "delay", "states", "bands-east", "turned-net", "turned-delay",
)  # fmt: skip
SPILLS = """() => [...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll, svg, .unseen'))
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.tagName + '.' + one.className)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_everything_is_drawn_and_nothing_spills_over(made: Path, opened: Opened, width: int, scheme: str) -> None:
    page = opened(made / "index.html", width=width, color_scheme=scheme)
    assert [one.get_attribute("id") for one in page.locator("main > section").all()] == list(SECTIONS)
    canvases = page.locator(".canvas:visible")
    assert canvases.count() >= 15
    for canvas in canvases.all():
        name = canvas.get_attribute("id")
        marks = canvas.locator(".scatterlayer .trace, .barlayer .point, .barlayer .trace")
        assert marks.count() > 0, f"nothing is drawn in {name}"
        assert canvas.locator("svg.main-svg").first.bounding_box()["width"] <= width, name
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(SPILLS) == []


def test_text_can_be_read_in_light_and_dark(made: Path, opened: Opened) -> None:
    for scheme in ("light", "dark"):
        page = opened(made / "index.html", color_scheme=scheme)
        paper = luminance(page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor"))
        for words in ("section p", "figcaption", ".figures td", ".tile b", ".canvas .xtick text"):
            where = f"document.querySelector('{words}')"
            colour = page.evaluate(f"getComputedStyle({where})['{'fill' if 'tick' in words else 'color'}']")
            light, dark = sorted((paper, luminance(colour)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, words, colour)


def luminance(colour: str) -> float:
    """As WCAG has it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_policy_stands_beside_the_bound_and_with_what_it_cost_the_owner(made: Path, opened: Opened) -> None:
    page = opened(made / "index.html")
    table = page.locator("#figures > .scroll table.figures")
    heads = [one.inner_text().replace("\n", " ") for one in table.locator("thead th").all()]
    assert heads[1:] == [*(policy.title for policy in POLICIES.values()), "bound"]
    rows = {row.locator("th").inner_text().split("\n")[0]: row for row in table.locator("tbody tr").all()}
    for label in ("share of the fleet", "of all idle time", "wait, the longest", "promises broken", "net a year"):
        cells = [cell.inner_text() for cell in rows[label].locator("td").all()]
        assert len(cells) == len(POLICIES) + 1 and all(cells), label
    assert page.locator("#limits li").count() >= 6
    assert "no trace can tell" in page.locator("#limits").inner_text()
    assert page.locator("#answer a[href='#limits']").count() == 1


def test_the_figures_are_those_of_the_document(made: Path, found: Study, tmp_path: Path) -> None:
    report = report_of(found)
    text = page_of(report)
    told = document(report)
    for name, figures in (("leased", "leased_gpu_h"), ("states", "owner_gpu_h")):
        assert f'"{name}":{{"data"' in text and all(figures in one["figures"] for one in told["policies"])
    assert set(FIGURES) - set(re.findall(r'class="canvas" id="([^"]+)"', (made / "index.html").read_text())) == {"bands-east"}


def test_a_broken_promise_is_seen(found: Study, opened: Opened, tmp_path: Path) -> None:
    delays = replace(found.fleet[OURS].delays, max_s=1_500.0, broken=3)
    broken = replace(found, fleet={**found.fleet, OURS: replace(found.fleet[OURS], delays=delays)})
    for one, alarmed in ((found, False), (broken, True)):
        file = tmp_path / f"{alarmed}.html"
        file.write_text(page_of(report_of(one)))
        page = opened(file)
        assert page.locator("#answer.broken .tile.bad").count() == alarmed
        assert page.locator("#figures > .scroll tr.alarm").count() == alarmed
        assert ("broken 3 times" in page.locator("#answer").inner_text()) == alarmed
        promise, longest = page.evaluate(
            "() => { const plot = document.getElementById('delay'); return [plot.layout.shapes[0].x0, plot.data[1].x[0]]; }"
        )
        assert (longest > promise) == alarmed
        assert page.evaluate("document.getElementById('delay').layout.xaxis.range[1]") > max(promise, longest)


@pytest.mark.parametrize("case", ["nothing_leased", "nothing_idle"])
def test_a_study_of_nothing_is_a_whole_page_too(
    case: str, trace: Path, asked: tuple[str, ...], sublet: Sublet, opened: Opened
) -> None:
    Path("market.toml").write_text("tenants = []\n")
    Path("full.csv").write_text("at_s,gpus,capacity\n" + "".join(f"{hour * 3600},8,8\n" for hour in range(240)))
    words = (str(trace), *asked, "--price", "market.toml") if case == "nothing_leased" else ("full.csv", "--workers", "1")
    assert sublet("study", *words, "--policy", "gfs").code == 0
    page = opened(Path("report/index.html").absolute(), width=360)
    assert page.locator(f"#answer.{case}").count() == 1 and page.locator(".tile").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert "nothing is leased either" in page.locator("#sensitivity").inner_text()
    assert page.locator("#leased .bartext").all_text_contents() == ["0\u202f%", "0\u202f%"]
    assert page.locator(".canvas:visible").count() == page.locator(".canvas:visible:has(svg.main-svg)").count() > 5


def test_a_pool_opens_with_its_own_table_and_plots(made: Path, opened: Opened) -> None:
    page = opened(made / "index.html")
    pool = page.locator("#figures details").first
    assert "east" in pool.locator("summary").inner_text() and pool.locator("svg.main-svg").count() == 0
    pool.locator("summary").click()
    pool.locator(".canvas svg.main-svg").first.wait_for()
    assert pool.locator(".canvas").count() == pool.locator(".canvas:has(svg.main-svg)").count() >= 2
    assert pool.locator("table.figures tbody").count() == 4


def test_it_prints(made: Path, opened: Opened) -> None:
    page = opened(made / "index.html")
    paper = page.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF") and 4 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 20


def test_names_from_a_trace_are_text(found: Study, opened: Opened, tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror=alert(1)>"
    question = replace(found.question, source=nasty)
    file = tmp_path / "nasty.html"
    file.write_text(page_of(report_of(replace(found, question=question))))
    page = opened(file)
    assert nasty in page.locator("header").inner_text() and page.locator("img").count() == 0


def test_it_asks_nobody_for_anything(made: Path) -> None:
    head = (made / "index.html").read_text()[:20_000]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', head)
    assert policy is not None and "default-src &#39;none&#39;" in policy[1] and "http" not in policy[1]
