"""Plain regret: BoTorch and egobox on Branin and Hartmann6, with and without noise."""

import numpy as np
from problems import branin, hartmann, start

PICKS = 50
FUNCTIONS = {
    "Branin": (branin, 2, 0.39788735772973816),
    "Hartmann6": (hartmann, 6, -3.322368011415514),
}


def botorch(function, dimensions, noise, seed):
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.optim import optimize_acqf
    from methods import SEARCH, fitted

    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    x = torch.tensor(start(dimensions, seed), dtype=torch.double)
    y = [-function(row) + noise * random.standard_normal() for row in x.numpy()]
    bounds = torch.tensor([[0.0] * dimensions, [1.0] * dimensions], dtype=torch.double)
    for _ in range(PICKS):
        values = torch.tensor(y, dtype=torch.double).unsqueeze(-1)
        model = fitted(x, values)
        best = model.posterior(x).mean.max() if noise else values.max()
        pick, _ = optimize_acqf(LogExpectedImprovement(model, best), bounds, q=1, **SEARCH)
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
