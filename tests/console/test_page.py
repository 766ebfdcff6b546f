"""The live page in a real Chromium, in front of a running control plane on the fake engine."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from doors import TASK, Doors, good, open_doors
from sublet.console.pages import FILES
from sublet.store.database import Database

WAIT_MS = 15_000
NASTY = "<img src=x onerror=alert(1)>"


def _expect(locator: Any) -> Any:
    """Playwright's waiting assertion; a predicate as text is what the page's content security policy forbids."""
    from playwright.sync_api import expect

    return expect(locator)


@pytest.fixture
def doors(sqlite_template: Path, tmp_path: Path) -> Iterator[Doors]:
    """A control plane that the test drives tick by tick, with the page in front of it."""
    file = shutil.copy(sqlite_template, tmp_path / "sublet.db")
    with closing(Database(f"sqlite:///{file}")) as database, open_doors(database, tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A fresh tab; whatever the page's code or its policy complains about fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    opened.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    yield opened
    context.close()
    assert complaints == []


@pytest.mark.browser
def test_a_lease_that_is_launched_shows_and_changes_without_a_reload(doors: Doors, page: Any) -> None:
    acme = doors.tenant("acme")
    doors.tick()
    page.goto(f"{doors.url}/#key={doors.owner_key}")
    page.wait_for_selector("#link[data-state=live]")
    assert doors.owner_key not in page.url
    page.wait_for_selector("text=No lease lives.")
    lease = good(acme.post("/v1/leases", json={**TASK, "name": NASTY}))["id"]
    row = page.locator(f"tr[data-lease='{lease}']")
    row.wait_for()
    doors.tick(3)
    row.locator(".state.active").wait_for()
    assert NASTY in row.inner_text() and page.locator("main img").count() == 0
    _expect(page.locator(".gpu.leased")).to_have_count(2)
    page.locator("#events >> text=lease started").first.wait_for()
    good(acme.delete(f"/v1/leases/{lease}"))
    doors.tick(4)
    row.wait_for(state="detached")
    page.wait_for_selector("text=No lease lives.")


@pytest.mark.browser
def test_the_owner_takes_gpus_back_and_the_page_tells_of_it(doors: Doors, page: Any) -> None:
    acme = doors.tenant("acme")
    good(acme.post("/v1/leases", json={**TASK, "resources": {"accelerators": "H100:4"}}))
    good(acme.post("/v1/leases", json={**TASK, "resources": {"accelerators": "H100:4"}}))
    doors.tick(4)
    page.goto(f"{doors.url}/#key={doors.owner_key}")
    _expect(page.locator(".gpu.leased")).to_have_count(8)
    job = good(doors.owner.post("/v1/jobs", json={"name": "urgent", "run": "true", "resources": {"accelerators": "H100:4"}}))
    doors.tick(2)
    page.locator("#notices progress").wait_for()
    page.locator("#queue >> text=urgent").wait_for()
    assert "promised within" in page.locator("#queue").inner_text()
    assert job["name"] == "urgent"


@pytest.mark.browser
def test_a_tenants_key_shows_its_own_and_says_what_it_does_not(doors: Doors, page: Any) -> None:
    good(doors.tenant("rival").post("/v1/leases", json={**TASK, "name": "rivals-secret"}))
    mine = doors.tenant("acme")
    good(mine.post("/v1/leases", json={**TASK, "name": "my-own"}))
    doors.tick(3)
    page.goto(doors.url)
    page.fill("#key", mine.headers["Authorization"].removeprefix("Bearer "))
    page.click("#key-form button")
    page.locator("text=my-own").first.wait_for()
    assert "rivals-secret" not in page.inner_text("body")
    assert "does not show the fleet" in page.inner_text("#fleet")


@pytest.mark.browser
def test_a_wrong_key_is_refused_and_can_be_corrected(doors: Doors, page: Any) -> None:
    page.goto(f"{doors.url}/#key=sk_wrong")
    page.locator("text=This key is not valid").wait_for()
    page.fill("#key", doors.owner_key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#link[data-state=live]")
    page.click("#leave")
    assert page.is_visible("#key-form") and not page.is_visible("main")
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.browser
def test_a_lost_control_plane_is_said_and_found_again(doors: Doors, page: Any) -> None:
    doors.tick()
    page.goto(f"{doors.url}/#key={doors.owner_key}")
    page.wait_for_selector("#link[data-state=live]")
    page.wait_for_selector(".node")
    page.context.route("**/v1/leases*", lambda route: route.abort())
    doors.tenant("acme")
    page.locator("#banner").wait_for()
    page.context.unroute_all()
    doors.tenant("zenith")
    page.wait_for_selector("#link[data-state=live]")
    assert not page.is_visible("#banner")


@pytest.mark.browser
def test_a_phone_has_nothing_to_scroll_sideways(doors: Doors, page: Any) -> None:
    good(doors.tenant("acme").post("/v1/leases", json={**TASK, "name": "a-rather-long-name-" * 6}))
    doors.tick(3)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{doors.url}/#key={doors.owner_key}")
    page.locator(".state.active").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_every_file_comes_with_a_policy_that_lets_nothing_else_in(doors: Doors) -> None:
    for name in ["/", *(f"/console/{path.name}" for path in FILES.iterdir())]:
        answer = doors.nobody.get(name)
        assert answer.status_code == 200, name
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
    for name in ("nothing.js", "..%2fpages.py", "%2e%2e%2fpages.py"):
        assert doors.nobody.get(f"/console/{name}").status_code == 404


def test_the_page_asks_no_other_host_and_writes_no_markup() -> None:
    for path in FILES.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text, path.name
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text, path.name
