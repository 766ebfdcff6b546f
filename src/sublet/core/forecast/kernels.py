"""Loops over long histories, compiled by numba: no Python object is touched inside.

Each says its shapes and units and has a plain twin in the tests that it must equal.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NO_DEMAND = -1
"""Stands for a demand that nobody recorded."""
MANY = 64
"""So many new values at once are sorted in; fewer are put in their places one by one."""


@njit(cache=True)
def peaks(at_us: Ints, gpus: Ints, from_us: Ints, to_us: Ints) -> Ints:
    """Largest value of a step function in each [from_us[i], to_us[i]), int64[n] in GPUs; NO_DEMAND before its first step.

    `at_us` rises; `from_us` and `to_us` never fall and no interval is empty. A queue of the steps that may still become the
    largest is kept while the interval moves on, so all n intervals over m steps take O(n + m).
    """
    count, steps = len(from_us), len(at_us)
    found = np.full(count, NO_DEMAND, np.int64)
    queue = np.empty(steps, np.int64)  # steps by falling value; the first is the peak
    head, tail, entered, begun = 0, 0, 0, 0
    for i in range(count):
        while entered < steps and at_us[entered] < to_us[i]:
            while tail > head and gpus[queue[tail - 1]] <= gpus[entered]:
                tail -= 1
            queue[tail] = entered
            tail += 1
            entered += 1
        while begun < steps and at_us[begun] <= from_us[i]:
            begun += 1
        if begun == 0:
            continue  # the interval begins before anything was recorded
        while queue[head] < begun - 1:
            head += 1
        found[i] = gpus[queue[head]]
    return found


@njit(cache=True)
def trailing_quantiles(values: Ints, first: Ints, last: Ints, levels: int) -> Ints:
    """Quantiles (j + 1) / levels of values[first[i]:last[i]], int64[n, levels] in the values' unit; a row of 0 if it is empty.

    `first` and `last` never fall. The values of the moment are kept sorted, so one step in and one out cost a shift each
    instead of a sort of everything.
    """
    count = len(first)
    found = np.zeros((count, levels), np.int64)
    held = np.empty(len(values), np.int64)
    size, low, high = 0, 0, 0  # held[:size] are values[low:high], sorted
    for i in range(count):
        if last[i] - high > MANY:
            fresh = last[i] - high
            held[size : size + fresh] = values[high : last[i]]
            size += fresh
            high = last[i]
            held[:size] = np.sort(held[:size])
        while high < last[i]:
            place = np.searchsorted(held[:size], values[high])
            for k in range(size, place, -1):
                held[k] = held[k - 1]
            held[place] = values[high]
            size += 1
            high += 1
        while low < min(first[i], high):
            place = np.searchsorted(held[:size], values[low])
            for k in range(place, size - 1):
                held[k] = held[k + 1]
            size -= 1
            low += 1
        if size == 0:
            continue
        for j in range(levels):
            found[i, j] = held[((j + 1) * size + levels - 1) // levels - 1]
    return found


@njit(cache=True)
def forest_values(roots: Ints, nodes: Ints, threshold: Floats, blank: Ints, rows: Floats) -> Floats:
    """float64[n]: the sum of all trees' values for each row (float64[n, features]); the rest is as in `forest.Forest`."""
    count, trees = len(rows), len(roots)
    found = np.zeros(count)
    for i in range(count):
        for tree in range(trees):
            node = roots[tree]
            while nodes[node, 0] >= 0:
                seen = rows[i, nodes[node, 0]]
                if np.isnan(seen):
                    goes_left = blank[node] == 1 or (blank[node] == 2 and threshold[node] >= 0.0)
                else:
                    goes_left = seen <= threshold[node]
                node = nodes[node, 1] if goes_left else nodes[node, 2]
            found[i] += threshold[node]
    return found
