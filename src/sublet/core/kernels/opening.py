"""The opening of a step function: what of it lasts.

The opened value at t is the largest k such that the function stays at k or above for a whole window of length H that contains
t: (h o B_H)(t) = max over windows W of length H with t in W of min over W of h. Erosion, then dilation, by the window.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

Ints = npt.NDArray[np.int64]


@njit(cache=True)
def nests(height: Ints, at_us: Ints) -> tuple[Ints, Ints, Ints]:
    """For each step (parent, from_us, to_us), int64[n]: how long the function stays at the step's height or above around it.

    `height`: int64[n], the value from `at_us[i]` up to `at_us[i + 1]`; `at_us`: int64[n + 1], rising. Steps of one height that
    are joined by nothing lower are one nest. The parent is the step whose nest holds this one and is lower, -1 at the ends
    where nothing lower stands; parents come from a stack, so all of it costs O(n).
    """
    n = len(height)
    left, right = np.empty(n, np.int64), np.empty(n, np.int64)
    stack = np.empty(n, np.int64)
    many = 0
    for i in range(n):  # the last step before i that is lower
        while many and height[stack[many - 1]] >= height[i]:
            many -= 1
        left[i] = stack[many - 1] if many else -1
        stack[many] = i
        many += 1
    many = 0
    for i in range(n - 1, -1, -1):  # the first step after i that is lower
        while many and height[stack[many - 1]] >= height[i]:
            many -= 1
        right[i] = stack[many - 1] if many else n
        stack[many] = i
        many += 1
    parent, from_us, to_us = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        before, after = left[i], right[i]
        from_us[i], to_us[i] = at_us[before + 1], at_us[after]
        if before < 0:
            parent[i] = after if after < n else -1
        elif after == n or height[before] >= height[after]:
            parent[i] = before
        else:
            parent[i] = after
    return parent, from_us, to_us


@njit(cache=True)
def opened(height: Ints, nest: tuple[Ints, Ints, Ints], length_us: Whole) -> Ints:
    """The opening by windows of `length_us` (µs): int64[n].

    A step keeps its height if its nest is that long, else it is cut down to what its parent keeps, or to 0. `nest`: what
    `nests` gives for these heights, none of them below 0.
    """
    parent, from_us, to_us = nest
    n = len(height)
    kept = np.full(n, -1, np.int64)
    path = np.empty(n, np.int64)
    for i in range(n):
        many, step = 0, i
        while step >= 0 and kept[step] < 0 and to_us[step] - from_us[step] < length_us:
            path[many] = step
            many += 1
            step = parent[step]
        value: Any = 0
        if step >= 0:
            if kept[step] < 0:
                kept[step] = height[step]
            value = kept[step]
        for j in range(many):
            kept[path[j]] = value
    return kept
