"""`sublet residency` and `sublet audit-log`: looked at before, proven afterwards."""

from pathlib import Path

from command_line import Sublet

TASK = """\
run: "true"
resources: {accelerators: H100:2}
lease: {max_price: 3, residency: [NO, DE], sensitivity: internal}
"""


def test_a_task_is_checked_then_leased_and_the_log_proves_it(sublet: Sublet, tmp_path: Path) -> None:
    task, export = tmp_path / "task.yaml", tmp_path / "log.jsonl"
    task.write_text(TASK)
    assert sublet("tenant", "add", "acme", "--country", "Norway").code == 0
    denied = sublet("residency", "check", str(task), "--tenant", "acme")
    assert denied.code == 1 and "may not be there" in denied.out and "way out" in denied.out
    refused = sublet("launch", str(task), "--tenant", "acme", "--yes", "--json")
    assert refused.code == 2 and refused.error["type"].endswith("data_residency_mismatch")
    facts = ("country=NO", "operator=Fjord", "operator_country=no", "certifications=iso-27001,c5-type2")
    assert sublet("site", "set", "local", *facts, "--json").json["country"] == "NO"
    assert "iso-27001, c5-type2" in sublet("site", "show", "local").out
    found = sublet("residency", "check", str(task), "--tenant", "acme", "--json")
    assert found.code == 0 and found.json["places"][0]["pools"] == ["h100"] and found.json["seat"] == "NO"
    assert sublet("launch", str(task), "--tenant", "acme", "--yes").code == 0
    proof = sublet("audit-log", "verify", "--json")
    assert proof.code == 0 and proof.json["whole"] and proof.json["entries"] == 3, "seat, denial, facts"
    assert sublet("audit-log", "export", "--out", str(export)).code == 0
    head = proof.json["head"]
    assert head in sublet("audit-log", "verify", "--file", str(export), "--head", head).out
    assert "site.facts" in sublet("audit-log", "show").out
    assert sublet("tenant", "country", "acme", "unknown", "--json").json["country"] is None
    assert sublet("audit-log", "verify", "--head", head).code == 1, "the log has grown"
    export.write_bytes(export.read_bytes().replace(b'"NO', b'"SE', 1).replace(b"NO", b"SE", 1))
    changed = sublet("audit-log", "verify", "--file", str(export), "--json")
    assert changed.code == 1 and "entry 1" in changed.json["finding"]


def test_rules_and_words_are_listed_with_their_days(sublet: Sublet) -> None:
    rules = sublet("residency", "rules")
    assert "us-export" in rules.out and "2026-05-31" in rules.out and "not legal advice" in rules.out
    assert {one["kind"] for one in sublet("residency", "words", "regime", "--json").json} == {"regime"}
    assert "no such kind" in sublet("residency", "words", "regimes").out


def test_what_is_wrong_is_named_with_the_way_out(as_acme: Sublet, offline: Sublet, tmp_path: Path) -> None:
    wrong = as_acme("residency", "check", "--set", "lease.residency=Norwai", "--json")
    assert wrong.code == 2 and "did you mean NO?" in wrong.error["hint"]
    wrong = as_acme("residency", "check", "--set", "lease.regimes=[gdrp]", "--json")
    assert wrong.code == 2 and "did you mean gdpr" in str(wrong.error)
    assert as_acme("residency", "check", "--site", "mars").code == 2
    missing = offline("audit-log", "verify", "--file", str(tmp_path / "none"), "--json")
    assert missing.code == 2 and "cannot be read" in missing.error["detail"]
    assert "403" in str(as_acme("audit-log", "show", "--json").error)
