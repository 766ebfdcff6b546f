"""What `POST /fine_tuning/jobs` says, read: OpenAI's fields, and which of ours they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sublet.core.tuning import BOUNDS, RATE
from sublet.gateway.refusals import invalid

_METADATA_MAX = 16
_SUFFIX_MAX = 24
_HYPERPARAMETERS: Mapping[str, tuple[str, float, type]] = {
    "n_epochs": ("epochs", 1, int),
    "batch_size": ("batch", 1, int),
    "learning_rate_multiplier": ("rate", RATE, float),
    "lora_rank": ("rank", 1, int),
    "lora_alpha": ("alpha", 1, float),
}
"""OpenAI's name: ours, what it is a multiple of, and its kind. The last two are no names of OpenAI's."""
_NOT_HERE: Mapping[str, str] = {
    "integrations": "no integration is there: leave it away; the job's events have its loss",
}


@dataclass(frozen=True, slots=True)
class TuningAsk:
    """A job that is wanted. `asked` are the fields of `weights.tune.Asked` that were given."""

    model: str
    training_file: str
    asked: Mapping[str, int | float] = field(default_factory=dict)
    suffix: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    validation_file: str = ""


def read(raw: bytes) -> TuningAsk:
    """Read a request; raises `Refusal` 400 that names the field."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    for name in ("model", "training_file"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise invalid(f"say which {name.replace('_', ' ')}: a string", param=name)
    validation_file = body.get("validation_file") or ""
    if not isinstance(validation_file, str):
        raise invalid("validation_file is the id of a file", param="validation_file")
    for name, said in _NOT_HERE.items():
        if body.get(name):
            raise invalid(said, param=name)
    asked = _asked(body)
    return TuningAsk(body["model"], body["training_file"], asked, _suffix(body), metadata_of(body), validation_file)


def hyperparameters(asked: Mapping[str, int | float]) -> dict[str, Any]:
    """A job's numbers under OpenAI's names; those that were left open are `auto`."""
    ours = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    given = {
        name: kind(asked[own] / unit) for name, (own, unit, kind) in _HYPERPARAMETERS.items() if own in asked
    }  # fmt: skip
    return ours | given


def metadata_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The caller's own texts."""
    metadata = body.get("metadata") or {}
    texts = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    if not texts or len(metadata) > _METADATA_MAX:
        raise invalid(f"metadata is an object of at most {_METADATA_MAX} texts", param="metadata")
    return dict(metadata)


def _asked(body: Mapping[str, Any]) -> dict[str, int | float]:
    given, where = _given(body), "hyperparameters"
    out: dict[str, int | float] = {}
    for name, value in given.items():
        if name not in _HYPERPARAMETERS:
            raise invalid(f"{name} is none of {', '.join(_HYPERPARAMETERS)}", param=f"{where}.{name}")
        own, unit, kind = _HYPERPARAMETERS[name]
        if value in {None, "auto"}:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or (kind is int and value != int(value)):
            raise invalid(f"{name} is a number, or auto", param=f"{where}.{name}")
        out[own] = kind(value * unit)
        _check(own, name, out[own], unit, where)
    seed = body.get("seed")
    if seed is not None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise invalid("seed is a whole number", param="seed")
        out["seed"] = seed
        _check("seed", "seed", seed, 1, "")
    return out


def _check(own: str, name: str, value: float, unit: float, where: str) -> None:
    least, most = (bound / unit for bound in BOUNDS[own])
    if not least <= value / unit <= most:
        raise invalid(f"{name} is from {least:g} to {most:g}", param=f"{where}.{name}".lstrip("."))


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters, wherever they stand: beside the method, or in it."""
    method = body.get("method")
    given = body.get("hyperparameters") or {}
    if method is not None:
        if not isinstance(method, dict) or method.get("type") != "supervised":
            raise invalid("method.type is supervised: other methods are not there", param="method.type")
        inner = method.get("supervised") or {}
        if not isinstance(inner, dict):
            raise invalid("method.supervised is an object", param="method.supervised")
        given = inner.get("hyperparameters") or given
    if not isinstance(given, dict):
        raise invalid("hyperparameters is an object", param="hyperparameters")
    return given


def _suffix(body: Mapping[str, Any]) -> str:
    suffix = body.get("suffix") or ""
    if not isinstance(suffix, str) or len(suffix) > _SUFFIX_MAX or (suffix and not suffix.replace("-", "").isalnum()):
        raise invalid(f"suffix is at most {_SUFFIX_MAX} letters, digits and dashes", param="suffix")
    return suffix.lower()
