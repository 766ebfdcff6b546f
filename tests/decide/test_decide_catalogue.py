"""The shipped catalogue: every row has a source with a licence that allows it, and every provider is described."""

import tomllib
from importlib.resources import files

import pytest

from sublet.advice.decide.catalogue import Source, catalogue, shipped_table
from sublet.advice.decide.workload_file import parsed
from sublet.core.decide.models import is_one, plain
from sublet.core.decide.offer import SPOT

DATA = files("sublet.advice.decide") / "data"


def test_every_row_names_a_source_whose_licence_is_told() -> None:
    frame = shipped_table()
    told = (DATA / "ATTRIBUTION.md").read_text()
    for source in frame["source"].unique():
        row = next(line for line in told.splitlines() if source in line)
        assert "Apache-2.0" in row or "MIT" in row
    assert frame["as_of"].null_count() == 0 and frame["as_of"].min() > "2026"


def test_every_provider_is_described_and_every_number_of_a_kind_has_a_source() -> None:
    values = tomllib.loads((DATA / "providers.toml").read_text())
    assert set(shipped_table()["provider"].unique()) <= set(values["providers"])
    kinds = {one["kind"] for one in values["providers"].values()}
    assert kinds <= set(values["kinds"])
    for name, kind in values["kinds"].items():
        told = Source.model_validate(kind)
        for field in ("spot_hazard_h", "support") if name != "home" else ():
            if getattr(told, field) is not None:
                assert field in told.sources, f"{name}.{field}"


def test_spot_prices_of_aws_follow_from_the_advisor_and_are_below_on_demand() -> None:
    found = catalogue(parsed((DATA / "example.yaml").read_text(), "the example"))
    spot = [one for one in found.offers if one.provider == "aws" and one.mode == SPOT]
    assert len(spot) > 40 and all(one.hazard_h is not None and 0 < one.hazard_h < 0.001 for one in spot)
    dear = {(one.region, one.instance): one.price_micro for one in found.offers if one.provider == "aws" and one.mode != SPOT}
    assert all(one.price_micro < dear[one.region, one.instance] for one in spot)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("NVIDIA A100 80GB SXM4", "A100-80GB"), ("Tesla T4", "T4"), ("H100-80GB-MEGA", "H100"), ("NVIDIA H100 SXM5", "H100"),
        ("RTX 4090 (High freq.)", "RTX-4090"), ("NVIDIA GeForce RTX 5090", "RTX-5090"), ("A800 80G", "A800-80GB"),
        ("AMD MI300X", "MI300X"), ("A100-40GB", "A100-40GB"), ("A10G", "A10G"),
    ],
)  # fmt: skip
def test_models_have_one_spelling(written: str, name: str) -> None:
    assert plain(written) == name == plain(name)


def test_a_name_without_memory_takes_each_memory() -> None:
    assert is_one("A100-80GB", "A100") and is_one("A100", "A100")
    assert not is_one("A100-40GB", "A100-80GB") and not is_one("A10G", "A10") and not is_one("RTX-3080-TI", "RTX-3080")
