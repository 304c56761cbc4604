"""The functions of the benchmark of the optimizer, as the Rust program has them, and the start that peers get."""

import math

import numpy as np
from scipy.stats import qmc


def branin(x):
    a, b = 15 * x[0] - 5, 15 * x[1]
    inner = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return inner**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def branin_cheap(x):
    a, b = 15 * x[0] - 5, 15 * x[1]
    return 0.75 * branin([(a - 0.6 + 5) / 15, (b - 0.8) / 15]) + 3 * a - 10


HARTMANN_WIDTH = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
HARTMANN_CENTRE = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(x, weight=(1.0, 1.2, 3.0, 3.2)):
    return -float(np.array(weight) @ np.exp(-(HARTMANN_WIDTH * (np.asarray(x) - HARTMANN_CENTRE) ** 2).sum(1)))


def hartmann_cheap(x):
    return hartmann(x, (0.8, 1.1, 3.1, 2.9))


BOREHOLE = np.array(
    [(0.05, 0.15), (100, 50_000), (63_070, 115_600), (990, 1110), (63.1, 116), (700, 820), (1120, 1680), (9855, 12_045)], dtype=float
)
BOREHOLE_BEST = (0.15, 100, 115_600, 1110, 116, 700, 1120, 12_045)


def borehole(x, cheap=False):
    """Flow through a borehole; inputs in their units."""
    rw, r, tu, hu, tl, hl, length, kw = x
    log = math.log(r / rw)
    factor, one = (5.0, 1.5) if cheap else (2 * math.pi, 1.0)
    return factor * tu * (hu - hl) / (log * (one + 2 * length * tu / (log * rw * rw * kw) + tu / tl))


def borehole_unit(x, cheap=False):
    """The negative flow; inputs in the unit cube."""
    return -borehole(BOREHOLE[:, 0] + np.asarray(x) * (BOREHOLE[:, 1] - BOREHOLE[:, 0]), cheap)


def ackley(x):
    x = np.asarray(x, dtype=float)
    return -20 * math.exp(-0.2 * math.sqrt((x**2).mean())) - math.exp(np.cos(2 * math.pi * x).mean()) + 20 + math.e


def mixed(x):
    """Two numbers in [0, 1], an integer in [-5, 5], three levels off, on, half as 0, 1, 2."""
    level = [(0.0, 1.0, 0.5)[int(round(c))] for c in x[3:6]]
    return ackley([4 * x[0] - 1.5, 4 * x[1] - 1.5, round(x[2]) - 1] + level)


def mixture(x):
    away = float(((np.asarray(x) - [0.5, 0.3, 0.2, 0, 0]) ** 2).sum())
    return away + 0.2 * math.sin(3 * math.pi * math.sqrt(away)) ** 2


def noisy_score(x):
    """The true score, and the sd of one reading."""
    return 1 - (x[0] - 0.7) ** 2 - 0.6 * (x[1] - 0.4) ** 2 - 0.3 * abs(x[2] - 0.5), 0.02 + 0.3 * x[0] ** 2


def zdt1(x):
    g = 1 + 9 * sum(x[1:]) / (len(x) - 1)
    return [x[0], g * (1 - math.sqrt(x[0] / g))]


def dtlz2(x, objectives):
    g = sum((v - 0.5) ** 2 for v in x[objectives - 1 :])
    values = []
    for m in range(objectives):
        value = 1 + g
        for v in x[: objectives - 1 - m]:
            value *= math.cos(0.5 * math.pi * v)
        values.append(value * (math.sin(0.5 * math.pi * x[objectives - 1 - m]) if m else 1))
    return values


def fails(x):
    return x[0] + 0.4 * x[1] > 0.8


def start(dimensions, seed, count=None):
    """Scrambled Sobol points."""
    return qmc.Sobol(dimensions, scramble=True, seed=seed).random(count or 2 * (dimensions + 1))
