"""The commands, each as JSON for programs and as text for people."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import Sublet
from doors import CHEAP_TERMS, TASK, Doors, good
from sublet.core.ids import RunId

TASK_FILE = """\
name: train
resources: {accelerators: H100:2, cpus: 4+}
envs: {SEED: 1}
setup: pip list
run: python train.py
lease: {class: spot, max_price: $3.00, checkpoint: {path: ckpt, every: 10m}}
"""


def test_a_tenants_day(as_acme: Sublet, doors: Doors) -> None:
    Path("task.yaml").write_text(TASK_FILE)
    quote = as_acme("quote", "task.yaml", "--json").json
    assert quote["gpus"] == 2 and quote["starts_now"]
    assert "what it costs" in as_acme("quote", "task.yaml").out
    made = as_acme("launch", "task.yaml", "--yes", "--json", "-e", "SEED=7").json
    assert made["state"] == "requested" and any("cpus" in remark for remark in made["remarks"])
    lease = made["id"]
    doors.tick(3)
    (running,) = as_acme("ps", "--json").json
    assert running["id"] == lease and running["state"] == "active"
    table = as_acme("ps").out
    assert lease in table and "active" in table
    doors.engine.say(RunId(f"{lease}.1"), b"loss 0.5\n")
    assert as_acme("logs", lease).out == "loss 0.5\n"
    assert as_acme("logs", lease, "--json").json["text"] == "loss 0.5\n"
    assert as_acme("release", lease, "--yes", "--json").json["state"] == "stopping"
    doors.tick(4)
    doors.plane.loops.settle()
    told = as_acme("explain", lease)
    assert "lease.granted" in told.out and "released by the tenant" in told.out
    assert as_acme("explain", lease, "--json").json["lease"]["cause"] == "released"
    used = as_acme("usage", lease, "--json").json
    assert used["charge_micro"] > 0 and "billed" in as_acme("usage", lease).out
    assert as_acme("invoice", "--json").json["due_micro"] == used["charge_micro"]
    assert "to pay" in as_acme("invoice", "--html", "invoice.html").out and "<html" in Path("invoice.html").read_text()
    assert as_acme("ps").out.startswith("no living leases") and lease in as_acme("ps", "--all").out
    assert as_acme("events", "--lease", lease, "--json").json[0]["kind"] == "lease.requested"
    assert as_acme("ledger", "--json").json[0]["balance_micro"] == used["charge_micro"]


def test_launch_asks_and_a_no_costs_nothing(as_acme: Sublet, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ran = as_acme("launch", "--run", "x")
    assert ran.code == 130 and "what it costs" in ran.err and doors.owner.get("/v1/leases").json()["items"] == []
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert as_acme("launch", "--run", "x").code == 0
    assert len(doors.owner.get("/v1/leases").json()["items"]) == 1


def test_an_owners_day(sublet: Sublet, doors: Doors) -> None:
    assert sublet("status", "--json").json["engine"] == "fake" and "isolation" not in sublet("status").out
    assert sublet("pool", "ls", "--json").json[0]["settings"]["id"] == "h100"
    changed = sublet("pool", "set", "h100", "promise.gpus=4", "classes=[spot]", "price_micro=2000000", "--json").json
    assert changed["settings"]["promise"]["gpus"] == 4 and changed["settings"]["classes"] == ["spot"]
    assert "promise.gpus" in sublet("pool", "show", "h100").out
    assert sublet("tenant", "add", "acme", "--limit", "$20", "--json").json["limit_micro"] == 20_000_000
    assert sublet("tenant", "limit", "acme", "none", "--json").json["limit_micro"] is None
    assert sublet("tenant", "quota", "acme", "h100", "4", "--borrow", "2", "--json").json["quotas"][0]["nominal"] == 4
    assert (
        sublet("tenant", "suspend", "acme", "--json").json["suspended"]
        and "may lease" in sublet("tenant", "resume", "acme").out
    )
    assert "acme" in sublet("tenant", "ls").out
    key = sublet("key", "add", "--tenant", "acme", "--json").json
    assert key["secret"].startswith("sk_") and key["secret"] not in sublet("key", "ls").out
    assert sublet("key", "revoke", key["id"], "--yes", "--json").json["revoked_us"]
    job = sublet("owner", "run", "--run", "x", "--set", "resources.accelerators=H100:1", "--json").json
    doors.tick(2)
    assert sublet("owner", "ps", "--json").json[0]["state"] == "running" and job["id"] in sublet("owner", "ps").out
    assert sublet("owner", "cancel", job["id"], "--yes", "--json").json["state"] == "stopping"
    assert sublet("pool", "down", "node-00000", "--reason", "fan", "--json").json["down"]
    assert "fan" in sublet("pool", "nodes").out and "is up" in sublet("pool", "up", "node-00000").out
    assert "rack r1, pod p1" in sublet("pool", "label", "node-00000", "--rack", "r1", "--pod", "p1").out
    assert "no known place" in sublet("pool", "label", "node-00001").out
    assert sublet("ledger", "check", "--json").json == {"balanced": True, "findings": []}
    assert "option" in sublet("ledger", "export").out and sublet("ledger", "transfers", "--json").json["items"] == []
    assert sublet("ledger", "statement", "--json").json[0]["currency"] == "USD"
    assert "spot" in sublet("offers").out and sublet("offers", "--json").json[0]["pool"] == "h100"


def test_nodes_stand_where_a_file_says(sublet: Sublet, tmp_path: Path) -> None:
    """A byte order mark, columns that nobody asked for and blanks do no harm."""
    file = tmp_path / "racks.csv"
    file.write_text("\ufeffpod,serial,node,rack\np1,77,node-00000, r1\np1,78,node-00001,r1\n", encoding="utf-8")
    assert "2 nodes stand in 1 racks and 1 pods" in sublet("pool", "topology", str(file)).out
    assert {(node["rack"], node["pod"]) for node in sublet("pool", "nodes", "--json").json} == {("r1", "p1")}
    for text, said in (("node,place\nnode-00000,r1\n", "columns"), ("node,rack\n", "no node"), ("node,rack\nx9,r1\n", "x9")):
        file.write_text(text)
        refused = sublet("pool", "topology", str(file))
        assert refused.code == 2 and said in refused.err


def test_the_owner_says_how_near_each_other_nodes_have_to_be(sublet: Sublet) -> None:
    gang = ("h100", "2", "--nodes", "2", "--within", "rack")
    refused = sublet("reclaim", *gang, "--dry-run")
    assert refused.code == 2 and "no rack of pool h100 has 2 nodes" in refused.err
    for node in ("node-00000", "node-00001"):
        sublet("pool", "label", node, "--rack", "r1")
    assert "free: nobody is ended" in sublet("reclaim", *gang, "--dry-run").out
    task = ("--run", "x", "--set", "resources.accelerators=H100:2", "--set", "num_nodes=2")
    assert sublet("owner", "run", *task, "--within", "pod", "--json").json["within"] == "pod"
    assert sublet("owner", "run", *task, "--within", "row").code == 2


def test_a_reclaim_shows_its_victims_first(sublet: Sublet, doors: Doors) -> None:
    good(doors.owner.put("/v1/pools/h100", json=CHEAP_TERMS))
    lease = good(doors.tenant("acme").post("/v1/leases", json=TASK))["id"]
    doors.tick(3)
    seen = sublet("reclaim", "h100", "4", "--nodes", "2", "--dry-run", "--json").json
    assert [ending["lease"] for ending in seen["endings"]] == [lease]
    assert lease in sublet("reclaim", "h100", "4", "--nodes", "2", "--dry-run").out
    hold = sublet("reclaim", "h100", "4", "--nodes", "2", "--yes", "--json").json
    doors.tick()
    assert good(doors.owner.get(f"/v1/leases/{lease}"))["state"] == "noticed"
    assert sublet("owner", "cancel", hold["id"], "--yes", "--json").json["state"] == "ended"


def test_the_openapi_document_needs_no_server(offline: Sublet) -> None:
    assert offline("openapi").json["info"]["title"] == "Sublet"
    assert offline("--version").out.startswith("sublet ")


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[Callable[[], str], list[subprocess.Popen[bytes]]]]:
    """`sublet up` as a real process; a list of what was started."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        command = [sys.executable, "-m", "sublet.main", "up", "--engine", "fake", "--port", "0", "--data-dir", "data"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SUBLET_")}
        with (tmp_path / "up.log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=tmp_path, stderr=log, stdout=log, env=environment))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            text = (tmp_path / "up.log").read_text()
            if "is up at" in text:
                return text.split("is up at ")[1].split()[0]
            assert started[-1].poll() is None, text
            time.sleep(0.1)
        raise AssertionError((tmp_path / "up.log").read_text())

    yield start, started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_up_makes_the_owners_key_and_takes_up_again(
    up: Any, tmp_path: Path, offline: Sublet, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = up
    monkeypatch.setenv("SUBLET_URL", start())
    key = tmp_path / "data" / "owner.key"
    assert key.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("SUBLET_DATA_DIR", str(tmp_path / "data"))
    deadline = time.monotonic() + 20
    while offline("status", "--json").code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert offline("status", "--json").json["status"]["running"]
    assert offline("tenant", "add", "acme").code == 0
    second = offline("up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--engine", "fake")
    assert second.code == 2 and "running on" in second.err
    started[-1].send_signal(signal.SIGTERM)
    assert started[-1].wait(timeout=20) in {0, -signal.SIGTERM}
    before = key.read_text()
    monkeypatch.setenv("SUBLET_URL", start())
    deadline = time.monotonic() + 20
    while offline("status", "--json").code != 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert key.read_text() == before and [one["id"] for one in offline("tenant", "ls", "--json").json] == ["acme"]
    assert json.loads(offline("events", "--json").out)[0]["kind"]


def test_what_a_site_bears_is_set_and_shown(sublet: Sublet) -> None:
    assert "no site has settings" in sublet("site", "ls").out
    assert sublet("site", "set", "oslo", "ramp_kw_per_min=500", "save_gb_s=20", "--json").json["state_gb"] == 80
    assert "is set: save_gb_s" in sublet("site", "set", "oslo", "save_gb_s=null").out
    assert "500" in sublet("site", "ls").out and "no bound" in sublet("site", "show", "oslo").out
    assert sublet("site", "ls", "--json").json == [sublet("site", "show", "oslo", "--json").json]
    wrong = sublet("site", "set", "oslo", "500")
    assert wrong.code == 2 and "write SETTING=VALUE" in wrong.err
