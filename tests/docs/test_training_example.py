"""The task of "How to make a training job survive a reclaim", run just as it stands there."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pages import page

from sublet.app.settings import Settings
from sublet.serving import Server

SLOTS = 2


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[httpx.Client]:
    """The owner's connection to a whole installation, whose pool is made impatient."""
    tmp_path.chmod(0o755)
    server = Server(Settings(data_dir=tmp_path / "data", port=0, slots=SLOTS, tick_ms=50, log_level="error"))
    server.start()
    key = (tmp_path / "data" / "owner.key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.settings.base_url, headers=headers, timeout=20, trust_env=False) as client:
        (pool,) = client.get("/v1/pools").json()["items"]
        name = pool["settings"]["id"]
        client.put(f"/v1/pools/{name}", json={"backoff_us": 1_000_000, "gpu_model": "cpu"}).raise_for_status()
        client.post("/v1/tenants", json={"id": "acme"}).raise_for_status()
        yield client
    server.stop()


def until(look: Callable[[], Any], wanted: Callable[[Any], bool], within_s: float = 40) -> Any:
    """What `look` shows once it is what is wanted."""
    give_up = time.monotonic() + within_s
    while not wanted(seen := look()):
        assert time.monotonic() < give_up, f"still {seen}"
        time.sleep(0.05)
    return seen


def test_the_training_job_survives_a_reclaim(owner: httpx.Client) -> None:
    (text,) = page("docs/how-to/make-a-training-job-survive-a-reclaim.md").code("yaml")
    made = owner.post("/v1/leases", params={"tenant": "acme"}, json=yaml.safe_load(text))
    made.raise_for_status()
    lease = f"/v1/leases/{made.json()['id']}"

    until(lambda: owner.get(lease).json(), lambda seen: seen["checkpoint_us"] is not None)
    asked = owner.post("/v1/reclaim", json={"pool": made.json()["pool"], "gpus": SLOTS}).json()
    job = f"/v1/jobs/{asked['id']}"
    held = until(lambda: owner.get(job).json(), lambda seen: seen["state"] == "running")
    assert held["delay_us"] < 10_000_000, "the job left at its own pace, not at the deadline"
    owner.delete(job).raise_for_status()
    ended = until(lambda: owner.get(lease).json(), lambda seen: seen["state"] == "ended")

    assert (ended["cause"], ended["exit_code"], ended["attempt"], ended["reclaims"]) == ("completed", 0, 2, 1)
    first, second = (owner.get(f"{lease}/logs", params={"attempt": n}).text.splitlines() for n in (1, 2))
    assert first[0] == "attempt 1 begins at step 0"
    saved = int(first[-1].removeprefix("saved at step "))
    assert 0 < saved < 100
    assert second == [f"attempt 2 begins at step {saved}", "saved at step 100"]
