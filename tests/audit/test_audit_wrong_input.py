"""What is wrong with an audit's input is named, with the way out."""

from pathlib import Path

import pytest

from command_line import Sublet

LABEL = '[[label]]\nuser = "a"\n'


@pytest.mark.parametrize(
    ("arguments", "files", "field", "said"),
    [
        (("none.csv",), {}, "trace", "there is no file"),
        ((), {}, "jobs", "no job history"),
        (("jobs.csv", "--home", "-1"), {}, "home", "out of range"),
        (("jobs.csv", "--home", "cheap"), {}, "home", "no price"),
        (("jobs.csv", "--unlabelled", "internl"), {}, "unlabelled", "no sensitivity"),
        (("jobs.csv", "--labels", "l.toml"), {"l.toml": LABEL}, "label.0", "says nothing"),
        (
            ("jobs.csv", "--labels", "l.toml"),
            {"l.toml": LABEL + 'sensitivty = "public"'},
            "label.0.sensitivty",
            "no such field",
        ),
        (("jobs.csv", "--labels", "l.toml"), {"l.toml": LABEL + 'slack = "soon"'}, "label.0.slack", "no duration"),
        (("jobs.csv", "--labels", "l.toml"), {"l.toml": "[[label"}, "labels", "no TOML"),
        (("jobs.csv", "--surplus", "s.toml"), {"s.toml": "[spot]\ngpu_h = -2"}, "spot.gpu_h", "out of range"),
        (("jobs.csv", "--surplus", "s.toml"), {"s.toml": "[home]\ngpu_h = 15_000"}, "home.gpu_h", "one GPU for one hour"),
        (("jobs.csv", "--surplus", "s.toml"), {"s.toml": "[sopt]\ngpu_h = 1"}, "sopt", "no such field"),
        (
            ("jobs.csv", "--surplus", "s.toml"),
            {"s.toml": "[risk]\nsizes=[1]\nages_h=[0,1]\nhazards=[[1]]\nfirst_s=[[0,1]]\nagain_s=[[0,1]]"},
            "risk",
            "one for each of ages_h",
        ),
        (("jobs.csv", "--column", "gpus=cards"), {}, "column", "no column cards"),
        (("jobs.csv", "--out", "jobs.csv"), {}, "out", "it is a file"),
    ],
)
def test_it_is_named_with_the_way_out(
    sublet: Sublet, arguments: tuple[str, ...], files: dict[str, str], field: str, said: str
) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    ran = sublet("audit", *arguments, "--json")
    assert ran.code == 2 and ran.out == ""
    told = [ran.error, *ran.error["errors"]]
    assert any(one["field"] == field and said in one.get("detail", one.get("message", "")) for one in told), ran.error
    assert all(one["hint"] or said != "no such field" for one in told)


def test_a_near_miss_gets_the_nearest_name(sublet: Sublet) -> None:
    Path("s.toml").write_text("[sopt]\ngpu_h = 1")
    error = sublet("audit", "jobs.csv", "--surplus", "s.toml", "--json").error
    assert "spot" in str(error)
    assert "'internal'" in sublet("audit", "jobs.csv", "--unlabelled", "internl", "--json").error["hint"]
