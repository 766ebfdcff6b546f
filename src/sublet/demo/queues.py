"""Where the owner of a demo queues his jobs: with Sublet, or with his own scheduler as he always did."""

from collections.abc import Mapping
from typing import Any, Protocol

from sublet.cli.client import Client
from sublet.core.errors import Invalid
from sublet.demo.schedule import OwnerPiece, seconds_of
from sublet.engines.slurm.tools import Tools


class OwnerQueue(Protocol):
    """A queue that takes a day's jobs and can be emptied."""

    def submit(self, piece: OwnerPiece) -> None:
        """Queue a job that holds its GPUs and leaves the processor alone."""

    def clear(self) -> None:
        """End what is left of them."""


class OurQueue:
    """Sublet's own, through the public API."""

    def __init__(self, owner: Client, pool: str, gpu_model: str) -> None:
        self._owner, self._pool, self._gpu_model = owner, pool, gpu_model

    def submit(self, piece: OwnerPiece) -> None:
        """As `sublet owner run` does."""
        self._owner.post("/v1/jobs", self._task(piece))

    def clear(self) -> None:
        """As `sublet owner cancel` does."""
        for job in self._owner.everything("/v1/jobs"):
            if job["state"] != "ended":
                self._owner.delete(f"/v1/jobs/{job['id']}")

    def _task(self, piece: OwnerPiece) -> Mapping[str, Any]:
        return {
            "name": piece.name,
            "resources": {"accelerators": {self._gpu_model: piece.gpus}},
            "run": f"exec sleep {seconds_of(piece):.3f}",
            "lease": {"pool": self._pool},
        }


class SlurmQueue:
    """The cluster's own, by `sbatch` into its default partition: Sublet is told of nothing."""

    def __init__(self, tools: Tools, gpus_per_node: int) -> None:
        self._tools, self._gpus_per_node = tools, gpus_per_node
        self._jobs: list[str] = []

    def submit(self, piece: OwnerPiece) -> None:
        """A gang of whole nodes where the job is larger than one."""
        nodes = -(-piece.gpus // self._gpus_per_node)
        each = -(-piece.gpus // nodes)
        words = [f"--nodes={nodes}", f"--gres=gpu:{each}", f"--job-name={piece.name}", "--mem=10M", "--output=/dev/null"]
        script = f"#!/bin/sh\nexec sleep {seconds_of(piece):.3f}\n"
        self._jobs.append(self._tools.run("sbatch", "--parsable", *words, text=script).strip())

    def clear(self) -> None:
        """By `scancel`."""
        if self._jobs:
            self._tools.run("scancel", "-Q", *self._jobs)


def fleet_of(tools: Tools) -> tuple[int, int]:
    """(GPUs in all, GPUs of a node) of a cluster whose nodes are alike; raises `Invalid` for another."""
    sizes = {node.gpus for node in tools.nodes() if node.gpus}
    if len(sizes) != 1:
        raise Invalid("the demo wants a cluster whose nodes have equally many GPUs", field="--engine")
    (size,) = sizes
    return sum(node.gpus for node in tools.nodes()), size
