"""GPUs in Slurm's resource strings: TRES (`cpu=8,gres/gpu=8,gres/gpu:a100=8`) and GRES (`gpu:a100:8(S:0-1)`)."""

import re
from collections.abc import Sequence

import polars as pl

from sublet.traces.cells import FAR_TOO_MANY

_TRES = r"gres/gpu(?::[^=,]+)?=\d+"
_TRES_PART = re.compile(r"gres/gpu(?::([^=,]+))?=(\d+)")
_GRES_PART = re.compile(r"^(?:gres[:/])?gpu(?::([^:=]+?))?(?:[:=](\d+))?$")
_SOCKETS = re.compile(r"\([^)]*\)")
_PER = re.compile(r"^PER_(NODE|JOB|SOCKET|TASK):")


def gpus_of_tres(text: str) -> tuple[int, str | None]:
    """(GPUs, model) of a TRES string. The count without a model is the total, and contains those with one.

    A job with several models has all their names, joined by `+`.
    """
    total = 0
    typed: dict[str, int] = {}
    for model, count in _TRES_PART.findall(text):
        if model:
            typed[model] = typed.get(model, 0) + int(count)
        else:
            total = int(count)
    gpus = min(max(total, sum(typed.values())), FAR_TOO_MANY)
    return gpus, "+".join(sorted(model for model, count in typed.items() if count)) or None


def gpus_of_gres(text: str, nodes: int) -> tuple[int | None, str | None]:
    """(GPUs, model) of a GRES string, which counts for each node; None where it counts by tasks or sockets.

    `(null)`, `N/A` and nothing mean no GPU. A name without a count is one.
    """
    total = 0
    models: set[str] = set()
    for part in _SOCKETS.sub("", text).split(","):
        per = _PER.match(part)
        found = _GRES_PART.match(part[per.end() :] if per else part)
        if found is None:
            continue
        if per and per[1] in {"SOCKET", "TASK"}:
            return None, None
        model, count = found[1], found[2]
        if model and model.isdigit() and count is None:
            model, count = None, model
        total += int(count or 1) * (1 if per and per[1] == "JOB" else nodes)
        if model:
            models.add(model)
    return min(total, FAR_TOO_MANY), "+".join(sorted(models)) or None


def from_tres(tres: pl.Series) -> pl.DataFrame:
    """Columns `gpus` (null where the string is null) and `gpu_model`; each different string is looked at once."""
    part = tres.str.extract_all(_TRES).list.join(",")
    different = part.drop_nulls().unique()
    found = [gpus_of_tres(text) for text in different]
    return _looked_up(part, different, found)


def from_gres(gres: pl.Series, nodes: pl.Series) -> pl.DataFrame:
    """The same of GRES strings, times the number of nodes."""
    key = pl.DataFrame({"gres": gres, "nodes": nodes.fill_null(1).cast(pl.Int64)})
    both = key.select(pl.when(pl.col("gres").is_not_null()).then(pl.concat_str("nodes", pl.lit("|"), "gres"))).to_series()
    different = both.drop_nulls().unique()
    split = (text.partition("|") for text in different)
    return _looked_up(both, different, [gpus_of_gres(text, int(count)) for count, _, text in split])


def _looked_up(keys: pl.Series, different: pl.Series, found: Sequence[tuple[int | None, str | None]]) -> pl.DataFrame:
    known = pl.DataFrame(
        {"key": different, "gpus": [gpus for gpus, _ in found], "gpu_model": [model for _, model in found]},
        schema={"key": pl.String, "gpus": pl.Int64, "gpu_model": pl.String},
    )
    return keys.rename("key").to_frame().join(known, on="key", how="left", maintain_order="left").drop("key")
