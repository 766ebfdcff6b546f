"""Trees as arrays: what a boosting library has learnt, as a value of our own that is asked without the library.

A single row is answered in microseconds, as often as the demand changes; a learnt model can be kept, compared and sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sublet.core.forecast.kernels import forest_values
from sublet.core.forecast.window import Floats, Ints

RIGHT, LEFT, AS_ZERO = 0, 1, 2
"""Where a row goes whose feature is not known; or it is taken for 0."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose values add up. A leaf is a node whose feature is -1; then `threshold` is its value."""

    roots: Ints  # int64[trees]: the node that each tree begins with
    nodes: Ints  # int64[nodes, 3]: the feature that is asked for, the node to the left and the one to the right
    threshold: Floats  # float64[nodes]: a row goes left if its feature is at most this
    blank: Ints  # int64[nodes]: RIGHT, LEFT or AS_ZERO

    def values(self, rows: Floats) -> Floats:
        """float64[n]: what the trees say of each row (float64[n, features], NaN where not known)."""
        found: Floats = forest_values(self.roots, self.nodes, self.threshold, self.blank, rows)
        return found


@dataclass(slots=True)
class _Rows:
    """Nodes in the making."""

    nodes: list[tuple[int, int, int]]
    threshold: list[float]
    blank: list[int]

    def plant(self, node: Mapping[str, Any]) -> int:
        """Enter a node and everything below it; its number."""
        number = len(self.nodes)
        leaf = "split_feature" not in node
        self.nodes.append((-1, -1, -1))
        self.threshold.append(float(node["leaf_value"] if leaf else node["threshold"]))
        self.blank.append(RIGHT)
        if not leaf:
            assert node["decision_type"] == "<=", "only numbers are learnt from"
            self.nodes[number] = (node["split_feature"], self.plant(node["left_child"]), self.plant(node["right_child"]))
            self.blank[number] = AS_ZERO if node["missing_type"] == "None" else LEFT if node["default_left"] else RIGHT
        return number


def planted(trees: Sequence[Mapping[str, Any]]) -> Forest:
    """A forest from the `tree_info` of LightGBM's `dump_model`."""
    rows = _Rows([], [], [])
    roots = [rows.plant(tree["tree_structure"]) for tree in trees]
    return Forest(
        np.array(roots, np.int64),
        np.array(rows.nodes, np.int64),
        np.array(rows.threshold, np.float64),
        np.array(rows.blank, np.int64),
    )
