"""The least that small reclaims lose, proven by CP-SAT. From standard input to standard output, both JSON.

A program of its own: OR-Tools brings a HiGHS under the name of the one that our own wheels bring, and one process bears one
of them. In: a list of {need, nodes, loss (by lease), free (by node), frees (by node: [lease, GPUs] pairs), racks (lists of
nodes)}. Out: for each the least loss; -1 where it could not be proven in time; null where there is no choice.
"""

import json
import sys
from typing import Any

from ortools.sat.python import cp_model


def least(asked: dict[str, Any]) -> int | None:
    """The least loss of any choice."""
    model = cp_model.CpModel()
    ends = [model.new_bool_var("") for _ in asked["loss"]]
    served = [model.new_bool_var("") for _ in asked["free"]]
    inside = [model.new_bool_var("") for _ in asked["racks"]]
    for node, (free, frees) in enumerate(zip(asked["free"], asked["frees"], strict=True)):
        model.add(sum(gpus * ends[lease] for lease, gpus in frees) + free >= asked["need"] * served[node])
    for rack, among in zip(inside, asked["racks"], strict=True):
        model.add(sum(served[node] for node in among) >= asked["nodes"]).only_enforce_if(rack)
    model.add_bool_or(inside)
    model.minimize(sum(loss * end for loss, end in zip(asked["loss"], ends, strict=True)))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers, solver.parameters.max_deterministic_time = 1, 4.0
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    return round(solver.objective_value) if status == cp_model.OPTIMAL else -1


if __name__ == "__main__":
    json.dump([least(asked) for asked in json.load(sys.stdin)], sys.stdout)
