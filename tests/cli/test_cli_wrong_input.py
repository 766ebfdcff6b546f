"""Wrong input: the message names the field and the way out, exit code 2 (3 when nobody answers), nothing half done."""

from pathlib import Path

import pytest

from command_line import Sublet
from doors import Doors

GOOD = "run: python train.py\nresources: {accelerators: H100:2}\nlease: {max_price: 3}\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("run: x\nlease:\n  clas: spot\n", 3, "did you mean 'class'?"),
        ("run: x\nresources:\n  accelerators: H100:lots\n", 3, "no number of GPUs"),
        ("run: x\nlease:\n  hours: 4 fortnights\n", 3, "write 4h"),
        ("run: x\nlease: {max_price: cheap}\n", 2, "write $1.50"),
        ("run: x\nnum_nodes: 0\n", 2, "greater than or equal to 1"),
        ("run: x\nrun: y\n", 2, "stands there twice"),
        ("run: [\n", None, "not YAML|expected|flow"),
        ("name: nothing\n", None, "missing"),
        ("- run: x\n", 1, "fields such as"),
        ("", 1, "fields such as"),
        ("run: x\nlease: {webhook: 'file:///etc/passwd'}\n", 2, "http"),
        ("run: x\nlease: {checkpoint: {path: ../../etc}}\n", 2, "below the working directory"),
        ("run: x\nenvs: {TOKEN: null}\n", 2, "--env TOKEN"),
    ],
)
def test_a_broken_task_file_is_named_with_its_line(
    as_acme: Sublet, doors: Doors, text: str, line: int | None, said: str
) -> None:
    Path("task.yaml").write_text(text)
    ran = as_acme("launch", "task.yaml", "--yes", "--json")
    assert ran.code == 2 and ran.out == ""
    first = ran.error["errors"][0]
    assert line is None or first["line"] == line
    assert any(part in f"{first['message']} {first['hint']}" for part in said.split("|"))
    people = as_acme("launch", "task.yaml", "--yes")
    assert people.code == 2 and first["field"] in people.err
    assert doors.owner.get("/v1/leases").json()["items"] == []


def test_all_mistakes_of_a_task_file_are_told_at_once(as_acme: Sublet) -> None:
    Path("task.yaml").write_text("runs: x\nnum_nodes: many\nlease: {clas: spot, hours: 4x}\n")
    errors = as_acme("launch", "task.yaml", "--json").error["errors"]
    assert {error["field"] for error in errors} == {"run", "runs", "num_nodes", "lease.clas", "lease.hours"}


@pytest.mark.parametrize(
    ("field", "value", "named", "way_out"),
    [
        ("lease.pool", "h10", "lease.pool", "did you mean 'h100'?"),
        ("lease.max_price", "0.01", "lease.max_price", "bid at least"),
        ("resources.accelerators", "A100:1", "resources.accelerators", "h100"),
        ("lease.class", "dedicated", "lease.class", "it offers"),
    ],
)
def test_a_request_that_cannot_be_granted_names_the_way_out(
    as_acme: Sublet, field: str, value: str, named: str, way_out: str
) -> None:
    Path("task.yaml").write_text(GOOD)
    ran = as_acme("launch", "task.yaml", "--set", f"{field}={value}", "--yes", "--json")
    assert ran.code == 2 and ran.error["field"] == named and way_out.lower() in ran.error["hint"].lower()


def test_a_spent_budget_says_how_to_go_on(as_acme: Sublet, doors: Doors) -> None:
    doors.owner.put("/v1/tenants/acme/limit", json={"limit_micro": 0})
    ran = as_acme("launch", "--run", "x", "--yes")
    assert ran.code == 2 and "spend limit" in ran.err and "sublet tenant limit" in ran.err


def test_another_tenants_lease_id_is_unknown(as_acme: Sublet, doors: Doors) -> None:
    other = doors.tenant("other").post("/v1/leases", json={"run": "x"}).json()["id"]
    for command in ("explain", "logs", "usage", "release"):
        ran = as_acme(command, other, *(["--yes"] if command == "release" else []))
        assert ran.code == 2 and f"there is no lease {other}" in ran.err and "sublet ps" in ran.err
    assert doors.owner.get(f"/v1/leases/{other}").json()["state"] == "requested"


@pytest.mark.parametrize("command", [("status",), ("ps",), ("offers",), ("launch", "--run", "x", "--yes"), ("events", "-f")])
def test_when_nobody_answers_it_says_how_to_start(offline: Sublet, command: tuple[str, ...]) -> None:
    ran = offline(*command)
    assert ran.code == 3 and "sublet up" in ran.err and "SUBLET_URL" in ran.err
    assert offline(*command, "--json").error["hint"]


@pytest.mark.parametrize(
    "command",
    [
        ("nonsense",),
        ("ps", "--nope"),
        ("launch",),
        ("launch", "nothing.yaml"),
        ("reclaim", "h100", "many"),
        ("tenant", "limit", "acme", "x"),
    ],
)
def test_a_wrong_command_line_is_explained(offline: Sublet, command: tuple[str, ...]) -> None:
    ran = offline(*command)
    assert ran.code == 2 and ran.err.startswith("error") and "Traceback" not in ran.err
    assert offline(*command, "--json").error["detail"]


def test_a_key_that_may_not_is_told_which_may(as_acme: Sublet) -> None:
    ran = as_acme("pool", "set", "h100", "site=x")
    assert ran.code == 2 and "scope owner" in ran.err


def test_with_json_nobody_is_asked(as_acme: Sublet) -> None:
    ran = as_acme("launch", "--run", "x", "--json")
    assert ran.code == 2 and "--yes" in ran.error["detail"]


def test_a_file_that_cannot_be_written_is_named(as_acme: Sublet) -> None:
    ran = as_acme("ledger", "export", "--out", "no/such/directory/books.csv")
    assert ran.code == 2 and "cannot be written" in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1\n", "did you mean 'port'?"),
        ("port = 99999\n", "65535"),
        ("port = \n", "TOML"),
        ("engine = 'locl'\n", "did you mean 'local'?"),
    ],
)
def test_a_settings_file_that_is_wrong_is_not_started(offline: Sublet, text: str, said: str) -> None:
    Path("sublet.toml").write_text(text)
    ran = offline("up")
    assert ran.code == 2 and said in ran.err
    assert not Path("sublet-data").exists()


def test_a_port_that_is_taken_is_named(sublet: Sublet, doors: Doors) -> None:
    ran = sublet("up", "--port", doors.url.rpartition(":")[2], "--data-dir", "other", "--engine", "fake")
    assert ran.code == 2 and "--port 0" in ran.err


def test_a_data_directory_that_cannot_be_made_is_named(offline: Sublet) -> None:
    Path("file").write_text("")
    ran = offline("up", "--data-dir", "file/data", "--port", "0", "--engine", "fake")
    assert ran.code == 2 and "data_dir" in ran.err and "--data-dir" in ran.err
