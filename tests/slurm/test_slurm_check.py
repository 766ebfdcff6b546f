"""`sublet slurm plan` on a cluster as its owner has it, and `check` before and after its lines are added."""

import json
from collections.abc import Callable, Iterator

import pytest

from conftest import running
from slurm_cluster import Cluster, Layout
from sublet.cli.app import run
from sublet.cli.root import Root
from sublet.engines.slurm import configuration, net, plan
from sublet.engines.slurm.check import Grade, Point, points
from sublet.engines.slurm.site import Cluster as Site
from sublet.engines.slurm.tools import Tools


@pytest.fixture(scope="module")
def untouched() -> Iterator[Cluster]:
    yield from running(Layout(nodes=2, surplus=False, preemption=False))


def graded(found: list[Point]) -> dict[str, Grade]:
    return {point.name: point.grade for point in found}


def test_the_plan_s_lines_are_all_that_a_cluster_lacks(untouched: Cluster, on: Callable[..., Site]) -> None:
    site = on(untouched, rest=True)
    before = graded(points(site, user="root", probe=False))
    assert before["partition"] is Grade.MISSING and before["preemption"] is Grade.MISSING
    tools = Tools(timeout_s=10)
    told = configuration.read(site, tools)
    steps = plan.steps(site, told, tools.nodes(), notice_s=90, user="root")
    lines = [line for step in steps if step.where.startswith("slurm.conf") for line in step.lines]
    keys = {line.split("=")[0] for line in lines}
    kept = [line for line in untouched.conf.read_text().splitlines() if line.split("=")[0] not in keys - {"PartitionName"}]
    untouched.conf.write_text("\n".join([*kept, *lines]) + "\n")
    untouched.restart("slurmctld")
    untouched.until_idle()
    after = points(site, user="root", probe=True)
    assert graded(after) == {**dict.fromkeys(graded(after), Grade.FINE), "safety net": Grade.ADVICE}, after
    again = configuration.read(site, tools)
    assert again.grace_s == 90 and again.sends_warning
    assert not [s for s in plan.steps(site, again, tools.nodes(), notice_s=90, user="root") if s.where.startswith("slurm.conf")]


def test_the_check_says_what_is_wrong_with_the_token(one_node: Cluster, on: Callable[..., Site]) -> None:
    site = on(one_node, rest=True)
    assert site.token_file is not None
    site.token_file.write_text("nonsense")
    (point,) = [point for point in points(site, user="root", probe=False) if point.name == "slurmrestd"]
    assert point.grade is Grade.MISSING and "token" in point.way_out


def test_an_unknown_release_is_refused_in_words(
    one_node: Cluster, on: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = on(one_node)
    monkeypatch.setattr(Tools, "version", lambda _: "slurm 31.05.1\n")
    (point,) = points(site, user="root", probe=False)
    assert point.grade is Grade.MISSING and "31.05" in point.said and "22.05" in point.said


def test_the_commands_speak_to_people_and_to_programs(
    one_node: Cluster,
    on: Callable[..., Site],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = on(one_node)
    monkeypatch.setenv("SUBLET_SLURM_SHARED", str(site.shared))
    root = Root(open_server=lambda _: pytest.fail("no server"), openapi=dict, open_gateway=lambda _: pytest.fail("no gateway"))
    assert run(["slurm", "check", "--json"], root) == 0
    assert {"name", "grade", "said", "way_out"} == set(json.loads(capsys.readouterr().out)[0])
    assert run(["slurm", "plan"], root) == 0
    assert "sublet slurm net" in capsys.readouterr().out
    assert run(["slurm", "net"], root) == 0
    assert str(site.shared / net.ALIVE) in capsys.readouterr().out
