"""Monte-Carlo paths of the accounts: the market from random draws, and the books at its prices, month by month.

Draws are arguments, so that the same draws give the same paths on any number of threads. Floats stand only in the market;
a price is rounded to a micro-unit and a share to a millionth, and from there on everything is whole numbers. Twins of both in
`tests/core/finance_twins.py`.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from sublet.core.kernels.money import Whole

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PPM = np.int64(1_000_000)
SCALE_MAX = 20.0
"""Refunds, credits and costs of a path are at most so many times those of the base case."""
TOTALS = 12
"""Columns of what the books say of a path: revenue, refund, credit, cost, selling, contribution, result, cash, receivable,
lowest cash, largest imbalance, leased GPU-hours."""


@njit(cache=True, nogil=True)
def share_of(amount: Whole, ppm: Whole) -> Whole:
    """`ppm` millionths of an amount, half a unit rounded up, as `finance.amounts.share_of` has it."""
    whole = amount // PPM
    rest = amount - whole * PPM
    return whole * ppm + (rest * ppm + PPM // 2) // PPM


@njit(cache=True, nogil=True)
def _regime(regimes: Floats, now: int, uniform: float) -> int:
    """The regime after a month: another one, each as likely, with the probability of leaving this one."""
    leaves = regimes[now, 1]
    if regimes.shape[0] == 1 or uniform >= leaves:
        return now
    other = int(uniform / leaves * (regimes.shape[0] - 1))
    return other if other < now else other + 1


@njit(cache=True, nogil=True)
def _stepped(steps: Floats, uniform: Floats, path: int, month: int) -> float:
    """Logarithm of the dated steps that a path takes in a month."""
    total = 0.0
    for s in range(steps.shape[0]):
        if month == int(steps[s, 0]) and uniform[path, s] < steps[s, 2]:
            total += steps[s, 1]
    return total


@njit(cache=True, nogil=True)
def market(
    normal: Floats, uniform: Floats, step_uniform: Floats, path_normal: Floats,
    steady: Floats, noise: Floats, regimes: Floats, steps: Floats, history: Floats, chances: Floats, limits: Ints,
) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """The market of each path: prices [P, T], leased shares [P, T], spikes [P, T] and scales [P, 2].

    Prices in micro-units, shares in millionths of the base case, spikes as the millionths that are taken back when one begins,
    scales in millionths, of refunds and credits, and of costs.
    `normal` [P, T, 3] and `uniform` [P, T, 4] are draws of a month, `step_uniform` [P, S] and `path_normal` [P, 3] of a path.
    `steady` [T] is the logarithm of the start price with its trend. `noise`: persistence and size of a month's reverting
    deviation, probability of a jump, mean and spread of its logarithm, block length of `history` [N], the logarithms of
    monthly changes. `regimes` [R, 2]: logarithm of the level, probability of leaving it in a month; the first is where it
    starts. `steps` [S, 3]: month, logarithm, probability. `chances`: spread of the leased share over the path and in a month,
    persistence, spreads of reclaims and costs, probability of a spike in a month, its months, what it leaves (of 1).
    `limits`: lowest and highest price in micro-units, largest leased share in millionths.
    """
    paths, months = normal.shape[0], normal.shape[1]
    price, leased = np.empty((paths, months), np.int64), np.empty((paths, months), np.int64)
    taken, scale = np.zeros((paths, months), np.int64), np.empty((paths, 2), np.int64)
    left_ppm = np.int64(math.floor(chances[7] * 1e6 + 0.5))
    for p in range(paths):
        deviation, jumped, stepped, told, wave = 0.0, 0.0, 0.0, 0.0, 0.0
        regime, block, spike = 0, 0, 0
        level = chances[0] * path_normal[p, 0]
        scale[p, 0] = np.int64(math.floor(min(math.exp(chances[3] * path_normal[p, 1]), SCALE_MAX) * 1e6 + 0.5))
        scale[p, 1] = np.int64(math.floor(min(math.exp(chances[4] * path_normal[p, 2]), SCALE_MAX) * 1e6 + 0.5))
        for t in range(months):
            stepped += _stepped(steps, step_uniform, p, t)
            if t > 0:  # the first month's price is known
                deviation = noise[0] * deviation + noise[1] * normal[p, t, 0]
                if uniform[p, t, 0] < noise[2]:
                    jumped += noise[3] + noise[4] * normal[p, t, 1]
                regime = _regime(regimes, regime, uniform[p, t, 1])
                if history.shape[0] > 0:
                    into = (t - 1) % int(noise[5])
                    if into == 0:
                        block = int(uniform[p, t, 2] * history.shape[0])
                    told += history[(block + into) % history.shape[0]]
            log_price = steady[t] + deviation + jumped + stepped + told + regimes[regime, 0]
            value = math.exp(min(log_price, 42.0))
            price[p, t] = min(max(np.int64(math.floor(value + 0.5)), limits[0]), limits[1])
            wave = chances[2] * wave + chances[1] * normal[p, t, 2]
            share = np.int64(math.floor(math.exp(min(level + wave, 20.0)) * 1e6 + 0.5))
            share = min(share, limits[2])
            if spike > 0:
                spike -= 1
            elif uniform[p, t, 3] < chances[5]:
                spike = int(chances[6]) - 1
                taken[p, t] = share_of(share, PPM - left_ppm)
            else:
                leased[p, t] = share
                continue
            leased[p, t] = share_of(share, left_ppm)
    return price, leased, taken, scale


@njit(cache=True, nogil=True)
def books(
    price: Ints, leased: Ints, taken: Ints, scale: Ints,
    list_h: Ints, leased_h: Ints, variable: Ints, terms: Ints, fixed: Ints, target: Ints, rules: Ints, opening: Whole,
) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """The books of each path: its end [P, TOTALS], months in which targets are reached [P, K], and contributions [P, T].

    Money in micro-units. The first four as `market` makes them. `list_h`, `leased_h` (GPU-hours) and `variable` [T, C] are of
    the base case, `terms` [C, 4] millionths of price, refund, credit and spike. `fixed` [T, 6]: programme, standing,
    depreciation, capex, disposal, assets at the end. `target` [K]: contributions to reach; months that never do are -1.
    `rules`: selling (millionths), months until tenants pay, whether the floor is kept.
    """
    paths, months, kinds = price.shape[0], price.shape[1], terms.shape[0]
    totals, reached = np.zeros((paths, TOTALS), np.int64), np.full((paths, target.shape[0]), -1, np.int64)
    contributions = np.empty((paths, months), np.int64)
    billed = np.empty(months, np.int64)
    for p in range(paths):
        row = totals[p]
        so_far, equity = np.int64(0), np.int64(opening)
        for t in range(months):
            revenue, refund, credit, cost, selling = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            for c in range(kinds):
                sold = share_of(share_of(list_h[t, c], leased[p, t]) * price[p, t], terms[c, 0])
                back = share_of(sold, share_of(terms[c, 1], scale[p, 0]))
                owed = share_of(sold, share_of(terms[c, 2], scale[p, 0]))
                sell = share_of(sold, rules[0])
                spent = share_of(share_of(variable[t, c], leased[p, t]), scale[p, 1])
                if taken[p, t] > 0:
                    was = share_of(share_of(list_h[t, c], taken[p, t]) * price[p, t], terms[c, 0])
                    credit += share_of(was, terms[c, 3])
                if rules[2] != 0 and sold - back - owed - sell < spent:
                    continue
                revenue += sold
                refund += back
                credit += owed
                selling += sell
                cost += spent
                row[11] += share_of(leased_h[t, c], leased[p, t])
            billed[t] = revenue
            paid = billed[t - rules[1]] if t >= rules[1] else np.int64(0)
            contribution = revenue - refund - credit - cost - selling - fixed[t, 0]
            result = contribution - fixed[t, 1] - fixed[t, 2]
            cash = paid - refund - credit - cost - selling - fixed[t, 0] - fixed[t, 1] - fixed[t, 3] + fixed[t, 4]
            for i, amount in enumerate((revenue, refund, credit, cost, selling, contribution, result, cash)):
                row[i] += amount
            row[8] += revenue - paid
            equity += result
            row[9] = min(row[9], row[7])
            row[10] = max(row[10], abs(fixed[t, 5] + row[8] + row[7] - equity))
            so_far += contribution
            contributions[p, t] = contribution
            for k in range(target.shape[0]):
                if reached[p, k] < 0 and so_far >= target[k]:
                    reached[p, k] = t
    return totals, reached, contributions
