"""BoTorch's method for each kind of study: the same problem, budget, noise and size of the start as the Rust program.

Each function takes a seed and gives the figures of one run, by the names of the rows that they belong to.
"""

import itertools
import math

import numpy as np
import torch
from botorch.acquisition import LogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_mixed_alternating
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from botorch.utils.transforms import t_batch_mode_transform
from gpytorch.mlls import ExactMarginalLogLikelihood
from problems import branin, dtlz2, fails, mixed, mixture, noisy_score, start, zdt1

torch.set_num_threads(1)
torch.set_default_dtype(torch.double)

# Cheap settings of the search for the next point; more of them cost BoTorch time and gain it little.
SEARCH = {"num_restarts": 5, "raw_samples": 128}


def fitted(x, y, variance=None):
    model = SingleTaskGP(x, y, train_Yvar=variance, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model


def cube(dimensions):
    return torch.tensor([[0.0] * dimensions, [1.0] * dimensions])


def heteroscedastic(seed):
    """SingleTaskGP with the variances of the means of three readings, noisy expected improvement."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)

    def measured(row):
        value, sd = noisy_score(row)
        return value + sd * random.standard_normal(3).mean(), sd**2 / 3

    x = torch.tensor(start(3, seed, 12))
    data = [measured(row) for row in x.numpy()]
    model = None
    for at in range(31):
        y, variance = (torch.tensor(column).unsqueeze(-1) for column in zip(*data))
        model = fitted(x, y, variance)
        if at == 30:
            break
        gain = qLogNoisyExpectedImprovement(model, X_baseline=x, prune_baseline=True)
        pick, _ = optimize_acqf(gain, cube(3), q=1, **SEARCH)
        x = torch.cat([x, pick])
        data.append(measured(pick[0].numpy()))
    recommended = x[model.posterior(x).mean.argmax()]
    return {"heteroscedastic": 1 - noisy_score(recommended.numpy())[0]}


def mixed_levels(seed):
    """MixedSingleTaskGP, LogEI, local search over levels alternating with the numbers."""
    torch.manual_seed(seed)
    low, high = torch.tensor([0.0, 0, -5, 0, 0, 0]), torch.tensor([1.0, 1, 5, 2, 2, 2])
    unit = torch.tensor(start(6, seed, 12))
    whole = torch.tensor([0, 0, 1, 1, 1, 1])
    cells = torch.where(whole == 1, torch.floor(low + unit * (high - low + 1)).clamp(max=high), unit)
    x, y = cells, [-mixed(row) for row in cells.numpy()]
    levels = {"discrete_dims": {2: list(range(-5, 6))}, "cat_dims": {at: [0, 1, 2] for at in (3, 4, 5)}}
    for _ in range(40):
        values = torch.tensor(y).unsqueeze(-1)
        model = MixedSingleTaskGP(_scaled(x), values, cat_dims=[3, 4, 5], outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        gain = _Scaled(LogExpectedImprovement(model, values.max()))
        options = {"maxiter_alternating": 8}
        pick, _ = optimize_acqf_mixed_alternating(gain, torch.stack([low, high]), q=1, options=options, **levels, **SEARCH)
        x = torch.cat([x, pick])
        y.append(-mixed(pick[0].numpy()))
    return {"mixed": -max(y)}


def _scaled(x):
    """The integer onto [0, 1], so that priors of lengths mean the same everywhere."""
    return torch.cat([x[..., :2], (x[..., 2:3] + 5) / 10, x[..., 3:]], dim=-1)


class _Scaled(AcquisitionFunction):
    def __init__(self, inner):
        super().__init__(inner.model)
        self.inner = inner

    def forward(self, X):
        return self.inner(_scaled(X))


SUPPORTS = [support for size in (1, 2, 3) for support in itertools.combinations(range(5), size)]


def simplex(seed):
    """SingleTaskGP on the fractions, LogEI, one constrained search for every set of at most three parts."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    rows = []
    while len(rows) < 12:
        row = np.zeros(5)
        support = SUPPORTS[random.integers(len(SUPPORTS))]
        row[list(support)] = random.dirichlet(np.ones(len(support)))
        if all(row[at] >= 0.05 for at in support):
            rows.append(row)
    x, y = torch.tensor(np.array(rows)), [-mixture(row) for row in rows]
    for _ in range(30):
        values = torch.tensor(y).unsqueeze(-1)
        gain = LogExpectedImprovement(fitted(x, values), values.max())
        found = [_within(gain, support) for support in SUPPORTS]
        pick = max(found, key=lambda one: one[1])[0]
        x = torch.cat([x, pick])
        y.append(-mixture(pick[0].numpy()))
    return {"simplex": -max(y)}


def _within(gain, support):
    if len(support) == 1:
        pick = torch.zeros(1, 5)
        pick[0, support[0]] = 1.0
        return pick, gain(pick.unsqueeze(0)).item()
    bounds = torch.zeros(2, 5)
    bounds[0, list(support)], bounds[1, list(support)] = 0.05, 1.0
    fixed = {at: 0.0 for at in range(5) if at not in support}
    whole = [(torch.tensor(support), torch.ones(len(support)), 1.0)]
    pick, value = optimize_acqf(
        gain, bounds, q=1, num_restarts=2, raw_samples=32, equality_constraints=whole, fixed_features=fixed
    )
    return pick, value.item()


def hypervolumes(name, function, objectives, reference, ideal):
    def run(seed):
        """A process an objective, qLogNEHVI with the true reference."""
        torch.manual_seed(seed)
        x = torch.tensor(start(6, seed, 14))
        y = -torch.tensor([function(row) for row in x.numpy()])
        point = torch.full((objectives,), -reference)
        for _ in range(36):
            model = ModelListGP(*[fitted(x, y[:, m : m + 1]) for m in range(objectives)])
            sampler = SobolQMCNormalSampler(torch.Size([64]), seed=seed)
            gain = qLogNoisyExpectedHypervolumeImprovement(model, point, X_baseline=x, sampler=sampler, prune_baseline=True)
            pick, _ = optimize_acqf(gain, cube(6), q=1, **SEARCH)
            x = torch.cat([x, pick])
            y = torch.cat([y, -torch.tensor([function(pick[0].numpy())])])
        front = y[is_non_dominated(y)]
        return {name: Hypervolume(point).compute(front) / ideal}

    return run


class _Feasible(AcquisitionFunction):
    """LogEI plus ln of the probability of success."""

    def __init__(self, gain, success):
        super().__init__(success)
        self.gain, self.success = gain, success

    @t_batch_mode_transform(expected_q=1)
    def forward(self, X):
        seen = self.success.posterior(X)
        log_chance = torch.special.log_ndtr((seen.mean / seen.variance.sqrt()).squeeze(-1).squeeze(-1))
        return log_chance if self.gain is None else self.gain(X) + log_chance


def failing(seed):
    """LogEI on what worked, times the probability that a second process on the labels ±1 is above 0."""
    torch.manual_seed(seed)
    x = torch.tensor(start(2, seed, 6))
    works = [not fails(row) for row in x.numpy()]
    for _ in range(34):
        labels = torch.tensor([1.0 if one else -1.0 for one in works]).unsqueeze(-1)
        success = SingleTaskGP(x, labels)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(success.likelihood, success))
        good = x[torch.tensor(works)]
        gain = None
        if len(good) > 1:
            values = torch.tensor([-branin(row) for row in good.numpy()]).unsqueeze(-1)
            gain = LogExpectedImprovement(fitted(good, values), values.max())
        pick, _ = optimize_acqf(_Feasible(gain, success), cube(2), q=1, **SEARCH)
        x = torch.cat([x, pick])
        works.append(not fails(pick[0].numpy()))
    best = min(branin(row) for row, worked in zip(x.numpy(), works) if worked)
    return {"failing": best - 0.397887, "failing-count": float(sum(not one for one in works[10:]))}


BALL = {2: math.pi / 4, 3: math.pi / 6}
METHODS = {
    "heteroscedastic": heteroscedastic,
    "mixed": mixed_levels,
    "simplex": simplex,
    "zdt1": hypervolumes("zdt1", zdt1, 2, 11.0, 120 + 2 / 3),
    "dtlz2-2": hypervolumes("dtlz2-2", lambda x: dtlz2(x, 2), 2, 1.1, 1.1**2 - BALL[2]),
    "dtlz2-3": hypervolumes("dtlz2-3", lambda x: dtlz2(x, 3), 3, 1.1, 1.1**3 - BALL[3]),
    "failing": failing,
}
