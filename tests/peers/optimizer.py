"""Regret of BoTorch and egobox on Branin and Hartmann6, one line of JSON a bar, for `cargo xtask bench optimizer --peers`.

Needs: pip install torch botorch egobox numpy scipy. Missing packages are told on standard error and left out.
"""

import argparse
import json
import math
import sys

import numpy as np
from scipy.stats import qmc

PICKS = 50


def branin(x):
    a, b = 15 * x[0] - 5, 15 * x[1]
    inner = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return inner**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann(x):
    weight = np.array([1.0, 1.2, 3.0, 3.2])
    width = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
    centre = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    return -float(weight @ np.exp(-(width * (np.asarray(x) - centre) ** 2).sum(1)))


FUNCTIONS = {
    "Branin": (branin, 2, 0.39788735772973816),
    "Hartmann6": (hartmann, 6, -3.322368011415514),
}


def start(dimensions, seed):
    count = 2 * (dimensions + 1)
    return qmc.Sobol(dimensions, scramble=True, seed=seed).random(count)


def botorch(function, dimensions, noise, seed):
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    x = torch.tensor(start(dimensions, seed), dtype=torch.double)
    y = [-function(row) + noise * random.standard_normal() for row in x.numpy()]
    bounds = torch.tensor([[0.0] * dimensions, [1.0] * dimensions], dtype=torch.double)
    for _ in range(PICKS):
        values = torch.tensor(y, dtype=torch.double).unsqueeze(-1)
        model = SingleTaskGP(x, values, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        best = model.posterior(x).mean.max() if noise else values.max()
        pick, _ = optimize_acqf(LogExpectedImprovement(model, best), bounds, q=1, num_restarts=5, raw_samples=128)
        x = torch.cat([x, pick])
        y.append(-function(pick[0].numpy()) + noise * random.standard_normal())
    return min(function(row) for row in x.numpy())


def egobox(function, dimensions, noise, seed):
    import egobox as egx

    random = np.random.default_rng(seed)
    seen = []

    def objective(rows):
        seen.extend(rows)
        return np.array([[function(row) + noise * random.standard_normal()] for row in rows])

    optimizer = egx.Egor([[0.0, 1.0]] * dimensions, doe=start(dimensions, seed), seed=seed)
    optimizer.minimize(objective, max_iters=PICKS)
    return min(function(row) for row in seen)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    for name, noise in [("Branin", 0.0), ("Hartmann6", 0.0), ("Hartmann6", 0.1)]:
        function, dimensions, least = FUNCTIONS[name]
        for peer, run in [("botorch", botorch), ("egobox", egobox)]:
            try:
                regrets = [run(function, dimensions, noise, seed) - least for seed in range(seeds)]
            except ImportError as error:
                print(f"{peer}: {error}", file=sys.stderr)
                continue
            bar = {
                "bar": f"{peer}: median regret after {PICKS} picks, {name}, noise sd {noise}, {seeds} seeds",
                "value": float(np.median(regrets)),
                "unit": "1",
                "target": "a peer, nothing to reach",
                "peer": peer,
                "peer_value": None,
                "holds": True,
            }
            print(json.dumps(bar), flush=True)


if __name__ == "__main__":
    main()
