"""The three tenants, and everything they ask for: decided by the seed before the day begins.

`aurora` trains a model that saves its work and resumes; `borealis` takes guarded leases; `cirrus` bids low and takes what is
left. Instants are real µs from the start of the day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublet.core.units import SECOND_US, on_grid
from sublet.demo.terms import HERE, Pace

TENANTS = {
    "aurora": "trains a model, checkpoints and resumes",
    "borealis": "serves from guarded leases",
    "cirrus": "bids low, takes what is left",
}
_LATEST_SHARE = 0.92  # of the day: what is asked for later would hardly run


@dataclass(frozen=True, slots=True)
class Wish:
    """A task that a tenant submits at `at_us`."""

    at_us: int
    tenant: str
    task: dict[str, Any]


def wishes(
    *, length_us: int, slots: int, gpu_model: str, seed: int, pace: Pace = HERE, python: str = "python"
) -> tuple[Wish, ...]:
    """Everything that the tenants ask for, in order of time; the same arguments give the same wishes.

    `slots` is the most that one of them may ask four times of: a fourth of it has to fit one node.
    """
    rng = np.random.default_rng([seed, 1])
    every = [_training(slots, gpu_model, python)]
    every += [*_guarded(rng, length_us, slots, gpu_model, pace), *_low(rng, length_us, slots, gpu_model, pace)]
    return tuple(sorted(every, key=lambda wish: (wish.at_us, wish.tenant)))


def _training(slots: int, gpu_model: str, python: str) -> Wish:
    """One lease for the whole day; the price is no object."""
    gpus = max(1, slots // 4)
    return Wish(
        0,
        "aurora",
        {
            "name": "train",
            "resources": {"accelerators": {gpu_model: gpus}},
            "run": f"{python} -m sublet.demo.training",
            "lease": {"class": "spot", "max_price": 2.4, "checkpoint": {"every": 1}},
        },
    )


def _guarded(rng: np.random.Generator, length_us: int, slots: int, gpu_model: str, pace: Pace) -> Iterator[Wish]:
    """One guarded lease after the other."""
    at = SECOND_US
    number = 1
    while at < length_us * _LATEST_SHARE:
        bid = round(float(rng.uniform(1.7, 2.3)), 2)
        yield Wish(
            on_grid(at),
            "borealis",
            {
                "name": f"serve-{number}",
                "resources": {"accelerators": {gpu_model: max(1, slots // 8)}},
                "run": "exec sleep 3600",
                "lease": {"class": "guarded", "hours": f"{pace.guarded_us / SECOND_US:g}s", "max_price": bid, "restart": False},
            },
        )
        at += pace.guarded_us + int(rng.uniform(1.5, 3.0) * pace.stretch * SECOND_US)
        number += 1


def _low(rng: np.random.Generator, length_us: int, slots: int, gpu_model: str, pace: Pace) -> Iterator[Wish]:
    """Many small tasks at low bids."""
    at = SECOND_US // 2
    number = 1
    while at < length_us * _LATEST_SHARE:
        bid = round(float(rng.uniform(0.12, 0.9)), 2)
        run_s = round(float(rng.uniform(4.0, 9.0)) * pace.stretch, 2)
        gpus = int(rng.integers(1, max(2, slots // 4) + 1))
        yield Wish(
            on_grid(at),
            "cirrus",
            {
                "name": f"sweep-{number}",
                "resources": {"accelerators": {gpu_model: gpus}},
                "run": f"exec sleep {run_s}",
                "lease": {"class": "spot", "max_price": bid},
            },
        )
        at += int(rng.uniform(2.0, 4.5) * pace.stretch * SECOND_US)
        number += 1
