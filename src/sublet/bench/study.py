"""`sublet bench study`: whether the study's figures can be trusted, and how long they take."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sublet
from sublet.bench.exactness import exactness
from sublet.bench.offers import calibrated_offers
from sublet.bench.packing import packing
from sublet.bench.progress import Progress, prefixed
from sublet.bench.replays import all_policies, growth, half_year
from sublet.core.errors import Invalid

Part = Callable[[Path, str, Progress], dict[str, Any]]

PARTS: Mapping[str, Part] = {
    "exactness": lambda _folder, _method, tell: exactness(lambda share: tell("random cases", share)),
    "policies": lambda folder, _method, tell: all_policies(folder, tell),
    "half_year": lambda _folder, _method, tell: half_year(tell, saturated=False),
    "half_year_saturated": lambda _folder, _method, tell: half_year(tell, saturated=True),
    "growth": lambda _folder, _method, tell: growth(tell),
    "packing": lambda folder, _method, tell: packing(folder, progress=tell),
    "offers": calibrated_offers,
}
"""What is measured, by name; the public traces are in the folder, the forecast method is for `offers`."""


def measure(folder: Path, method: str, only: Sequence[str], progress: Progress) -> dict[str, Any]:
    """The parts of these names, all without a name; `progress`: (what is being measured, which share of it is done)."""
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise Invalid(f"there is no part {unknown[0]!r}", field="only", hint=f"there are: {', '.join(PARTS)}")
    found: dict[str, Any] = {
        "benchmark": "study",
        "version": sublet.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()},
    }
    for name in only or PARTS:
        found[name] = PARTS[name](folder, method, prefixed(progress, name))
        progress(name, 1.0)
    return found
