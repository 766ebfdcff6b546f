"""The command line in an empty folder with a workload, and a page of a report in a real Chromium."""

from importlib.resources import files
from pathlib import Path

import pytest

from command_line import ROOT, Sublet, at_home, captured
from doors import doors_on_sqlite
from sublet.cli.app import run

__all__ = ["doors_on_sqlite"]
EXAMPLE = (files("sublet.advice.decide") / "data" / "example.yaml").read_text(encoding="utf-8")


@pytest.fixture
def sublet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sublet:
    """`sublet` in an empty folder with the example as `w.yaml` and a table of prices as `mine.csv`."""
    home = at_home(tmp_path, monkeypatch, columns=180)
    (home / "w.yaml").write_text(EXAMPLE)
    (home / "mine.csv").write_text(
        "provider,region,country,instance,gpu_model,gpus,usd_h_ondemand,usd_h_spot,spot_hazard_h\n"
        "acme,fra,DE,x8,NVIDIA H100 SXM5,8,16.00,8.00,0.01\nacme,nyc,US,x8,H100,8,15.00,,\nbeta,par,FR,y8,H100 PCIe,8,14.00,,\n"
    )
    told = 'kind = "gpu cloud"\noperator_country = "DE"\n'
    (home / "p.toml").write_text(f"[providers.acme]\n{told}[providers.beta]\n{told}")
    return captured(capsys)


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a decision's report."""
    folder = tmp_path_factory.mktemp("decided")
    (folder / "w.yaml").write_text(EXAMPLE)
    assert run(("decide", str(folder / "w.yaml"), "--json", "--out", str(folder / "report")), ROOT) == 0
    return folder / "report"
