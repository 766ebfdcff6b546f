"""`sublet audit` end to end: groups, what each should do and why, task files that parse, the same bytes twice."""

import csv
import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from histories import history, mixed, rows

from command_line import Sublet
from sublet.app import task_files


def by_user(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {group["user"]: group for group in document["groups"]}


CALM = """
[risk]
sizes = [8, 64]
ages_h = [0.0, 8.0]
hazards = [[0.02, 0.01], [0.02, 0.01]]
later = [[0.02, 0.01], [0.02, 0.01]]
first_s = [[10, 100, 3600], [10, 200, 20000]]
again_s = [[60, 300, 3600], [60, 600, 20000]]

[guarded_waits]
sizes = [64]
first_s = [[5, 60, 900]]
again_s = [[200, 1000, 9000]]
"""
"""A market in which little is taken back; who needs a guarantee waits a quarter of an hour for it at most."""


def test_each_group_gets_the_way_that_its_jobs_can_bear(sublet: Sublet) -> None:
    Path("calm.toml").write_text(CALM)
    found = sublet("audit", "jobs.csv", "--home", "2.35", "--surplus", "calm.toml", "--json").json
    groups = by_user(found)
    assert {user: group["recommended"]["way"] for user, group in groups.items()} == {
        "ann": "spot",  # saves by its name, and gangs of whole nodes
        "bob": "guarded",  # a person waits: not long, and is not thrown out
        "cy": "guarded",  # too long to start again, and nothing gives it the day that a batch API takes
        "dee": "stay",  # patients
        "eve": "spot",  # so short that it may start again
        "fay": "spot",  # so long that it must save
        "gus": "stay",  # half an hour
    }
    assert groups["ann"]["traits"]["checkpoints"]["answer"] == "likely"
    assert "DeepSpeed" in groups["ann"]["traits"]["checkpoints"]["reasons"][0]
    assert groups["bob"]["traits"]["kind"] == "interactive" and groups["cy"]["traits"]["kind"] == "inference"
    assert groups["dee"]["traits"]["sensitivity"] == "confidential" and "patient" in groups["dee"]["why"]
    assert groups["ann"]["pattern"] == "deepspeed-llm-#" and groups["ann"]["shape"] == "2x8"


def test_who_cannot_wait_stays_where_guarded_leases_are_waited_for(sublet: Sublet) -> None:
    Path("busy.toml").write_text("[guarded_waits]\nsizes = [1]\nfirst_s = [[1800, 7200]]\nagain_s = [[1800, 7200]]\n")
    bob = by_user(sublet("audit", "jobs.csv", "--surplus", "busy.toml", "--json").json)["bob"]
    assert bob["recommended"]["way"] == "stay" and "later than they may be" in bob["why"]
    shipped = sublet("audit", "--show-surplus").out
    begin = shipped.index("[risk]")
    Path("risk.toml").write_text(shipped[begin : shipped.index("[guarded_waits]")])
    bob = by_user(sublet("audit", "jobs.csv", "--surplus", "risk.toml", "--json").json)["bob"]
    assert bob["recommended"]["way"] == "stay", "a risk of one's own says how long guarded leases wait, too"


def test_all_gpu_time_is_classified_and_the_sums_add_up(sublet: Sublet) -> None:
    found = sublet("audit", "jobs.csv", "--json").json
    with Path("jobs.csv").open() as file:
        spent = sum(float(row["duration_s"]) * int(row["gpus"]) for row in csv.DictReader(file)) / 3_600
    assert found["classified"] == 1.0 and found["gpu_h"] == pytest.approx(spent)
    assert sum(one["share"] for one in found["sums"]) == pytest.approx(1.0)
    assert sum(one["jobs"] for one in found["sums"]) == found["jobs"] == 243
    assert sum(one["saving_micro"] for one in found["sums"]) == found["saving_micro"] > 0
    for group in found["groups"]:
        assert group["saving_micro"] == group["stay_micro"] - group["recommended"]["cost_micro"]
        assert group["why"] and all(trait["reasons"] for name, trait in group["traits"].items() if isinstance(trait, dict))
        for option in group["options"]:
            if option["ruled_out"] is None and option["way"] != group["recommended"]["way"]:
                margin = 0.05 * group["stay_micro"] if group["recommended"]["way"] == "stay" else 0
                assert option["cost_micro"] >= group["recommended"]["cost_micro"] - margin, "a cheaper way was open"


def test_labels_win_over_names(sublet: Sublet) -> None:
    Path("labels.toml").write_text("""
[[label]]
user = "DEE"
sensitivity = "internal"
checkpoints = true

[[label]]
name = "sweep-*"
sensitivity = "confidential"

[[label]]
user = "bob"
kind = "batch"
slack = "12h"
checkpoints = false
""")
    groups = by_user(sublet("audit", "jobs.csv", "--labels", "labels.toml", "--json").json)
    assert groups["dee"]["recommended"]["way"] == "spot" and groups["dee"]["traits"]["checkpoints"]["answer"] == "yes"
    assert groups["eve"]["recommended"]["way"] == "stay" and "label 2" in groups["eve"]["why"]
    assert groups["bob"]["recommended"]["way"] == "spot" and groups["bob"]["traits"]["slack_h"] == 12
    for option in groups["eve"]["options"][1:]:
        assert "label 2 says confidential" in option["ruled_out"]


def test_a_requeue_that_went_on_proves_a_checkpoint_and_a_timeout_followed_by_another_run_too(sublet: Sublet) -> None:
    requeued = rows("ann", "x", 10, gpus=8, run=10.0, restarts=1)
    chained = rows("bob", "y", 10, gpus=8, run=2.0, wait=0.0, every=2.5, status="timeout")
    neither = rows("cy", "z", 10, gpus=8, run=10.0)
    history(Path("some.csv"), requeued, chained, neither)
    groups = by_user(sublet("audit", "some.csv", "--json").json)
    assert [groups[user]["traits"]["checkpoints"]["answer"] for user in ("ann", "bob", "cy")] == ["yes", "yes", "unknown"]
    assert groups["ann"]["restarted"] == 10 and groups["bob"]["resumed"] == 9


def test_task_files_are_tasks(sublet: Sublet) -> None:
    found = sublet("audit", "jobs.csv", "--tasks", "tasks", "--json").json
    leaving = {group["id"]: group for group in found["groups"] if group["recommended"]["way"] != "stay"}
    files = sorted(Path("tasks").iterdir())
    assert {path.name.split("-")[0] for path in files} == set(leaving) and files
    for path in files:
        group = leaving[path.name.split("-")[0]]
        task = task_files.read(path.read_text())
        asked = task.request()
        assert asked.nodes == group["nodes"] and asked.gpus == group["gpus"]
        assert asked.lease_class in {"spot", "guarded", "block"}
        assert (task.lease.checkpoint is not None) == (group["traits"]["checkpoints"]["answer"] in {"yes", "likely"})
        assert "put the command of" in task.run and "exit 64" in task.run
    refused = sublet("audit", "jobs.csv", "--tasks", "tasks", "--json")
    assert refused.code == 2 and refused.error["field"] == "tasks"
    assert sublet("audit", "jobs.csv", "--tasks", "tasks", "--force", "--json").code == 0


def test_explain_says_everything_of_one_group(sublet: Sublet) -> None:
    whole = sublet("audit", "jobs.csv", "--json").json
    one = sublet("audit", "jobs.csv", "--explain", "g1", "--json").json
    assert one == whole["groups"][0]
    by_name = sublet("audit", "jobs.csv", "--explain", one["name"])
    assert by_name.code == 0
    for word in ("heavy", "can wait", "saves", "sensitive", "guarded", "block", "batch API", "open"):
        assert word in by_name.out
    wrong = sublet("audit", "jobs.csv", "--explain", "g99", "--json")
    assert wrong.code == 2 and "g1" in wrong.error["hint"]


def test_the_same_history_and_seed_give_the_same_bytes(sublet: Sublet, audited: Path) -> None:
    one = sublet("audit", "jobs.csv", "--json").out
    assert one == sublet("audit", "jobs.csv", "--json").out == (audited / "audit.json").read_text()
    assert one != sublet("audit", "jobs.csv", "--seed", "1", "--json").out


def test_several_files_count_as_one_and_what_is_in_both_once(sublet: Sublet) -> None:
    whole = mixed(Path("whole.csv")).read_text().splitlines()
    numbered = ["job_id," + whole[0], *(f"j{n},{row}" for n, row in enumerate(whole[1:]))]
    Path("first.csv").write_text("\n".join(numbered[:150]) + "\n")
    Path("second.csv").write_text("\n".join([numbered[0], *numbered[120:]]) + "\n")
    both = sublet("audit", "first.csv", "second.csv", "--json").json
    alone = sublet("audit", "whole.csv", "--json").json
    assert both["jobs"] == alone["jobs"] and both["gpu_h"] == pytest.approx(alone["gpu_h"])


def test_a_dearer_home_never_saves_less_and_a_cheap_one_keeps_everything(sublet: Sublet) -> None:
    savings = [
        sublet("audit", "jobs.csv", "--home", price, "--json").json["saving_micro"] for price in ("0.5", "1.9", "2.35", "4")
    ]
    assert savings[0] == 0 and savings == sorted(savings) and savings[-1] > savings[-2] > 0


def test_the_shipped_prices_can_be_printed_and_replaced(sublet: Sublet) -> None:
    shipped = sublet("audit", "--show-surplus").out
    values = tomllib.loads(shipped)
    assert set(values["sources"]) >= {"home.gpu_h", "spot.gpu_h", "guarded", "block.gpu_h", "batch_api.gpu_h", "risk"}
    Path("mine.toml").write_text("[spot]\ngpu_h = 0.4\n[home]\ngpu_h = 1\n")
    found = sublet("audit", "jobs.csv", "--surplus", "mine.toml", "--json").json
    assert found["surplus"]["spot"]["gpu_h"] == 400_000 and "home.gpu_h" not in found["surplus"]["sources"]
    assert not any("is assumed" in warning for warning in found["warnings"])


def test_the_terminal_says_what_matters(sublet: Sublet) -> None:
    said = sublet("audit", "jobs.csv")
    assert said.code == 0 and "could run on surplus" in said.out and "patient" in said.out
    rows_of = list(csv.reader(io.StringIO(said.out)))
    assert rows_of and "--explain" in said.out


def test_json_is_one_document(sublet: Sublet) -> None:
    said = sublet("audit", "jobs.csv", "--json")
    assert said.err == "" and json.loads(said.out)["kind"] == "sublet.audit"
