"""`sublet bench decide`: how long ranking all shipped offers takes for many workloads, with what would change each ranking."""

import time
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np

import sublet
from sublet.advice.decide.catalogue import catalogue
from sublet.advice.decide.report import report_of, shelf
from sublet.advice.decide.workload_file import WorkloadFile, parsed

MODELS = ("H100", "A100", "H200", "L4", "V100")


def measure(workloads: int, repeats: int) -> dict[str, Any]:
    """Seconds for so many different workloads, the least and the median of some repetitions; reading prices is told apart."""
    base = parsed((files("sublet.advice.decide") / "data" / "example.yaml").read_text(encoding="utf-8"), "the example")
    begin = time.perf_counter()
    found = catalogue(base)
    on = shelf(found)
    read_s = time.perf_counter() - begin
    asked = [_workload(base, n) for n in range(workloads)]
    took, first = [], []
    for _ in range(repeats):
        begin = time.perf_counter()
        first = [report_of(one, found, on).open for one in asked]
        took.append(time.perf_counter() - begin)
    return {
        "benchmark": "decide",
        "version": sublet.__version__,
        "at": datetime.now(UTC).strftime("%Y-%m-%d"),
        "workloads": workloads,
        "offers": len(on.offers),
        "providers": len(found.providers),
        "open_offers_mean": float(np.mean(first)),
        "reading_s": read_s,
        "seconds_least": min(took),
        "seconds_median": float(np.median(took)),
    }


def _workload(base: WorkloadFile, number: int) -> WorkloadFile:
    """The example with another size, length, GPU and residency."""
    return base.model_copy(
        update={
            "name": f"workload-{number}",
            "gpus": 2 ** (number % 7),
            "gpu_model": MODELS[number % len(MODELS)],
            "work": base.work * (1 + number) // 7,
            "deadline": None,
            "residency": () if number % 2 else base.residency,
            "sensitivity": "public" if number % 2 else base.sensitivity,
        }
    )
