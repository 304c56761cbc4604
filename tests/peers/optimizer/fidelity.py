"""BoTorch's knowledge gradient over fidelities: the same problem, costs, budget and size of the start."""

import numpy as np
import torch
from botorch.acquisition import PosteriorMean
from botorch.acquisition.cost_aware import InverseCostWeightedUtility
from botorch.acquisition.fixed_feature import FixedFeatureAcquisitionFunction
from botorch.acquisition.knowledge_gradient import qMultiFidelityKnowledgeGradient
from botorch.acquisition.utils import project_to_target_fidelity
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskMultiFidelityGP
from botorch.models.cost import AffineFidelityCostModel
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_mixed
from gpytorch.mlls import ExactMarginalLogLikelihood
from problems import BOREHOLE_BEST, borehole, borehole_unit, branin, branin_cheap, hartmann, hartmann_cheap, start

torch.set_num_threads(1)
# In single precision the line searches of a noise-free model end before they begin.
torch.set_default_dtype(torch.double)

CHEAP = 0.1


def spend(dear, cheap, dimensions, budget, seed, looks):
    """The lowest value of the laboratory among what was measured there and what is recommended in the end.

    `looks` are the numbers of cheap and dear results at the start. Fantasies and restarts are few: a step takes seconds
    all the same.
    """
    torch.manual_seed(seed)
    points = start(dimensions, seed, looks[0])
    rows = [[*row, 0.0] for row in points] + [[*row, 1.0] for row in points[: looks[1]]]
    x = torch.tensor(np.array(rows))
    value = lambda row: -(dear(row[:-1]) if row[-1] > 0.5 else cheap(row[:-1]))
    y = [value(row) for row in x.numpy()]
    spent = looks[0] * CHEAP + looks[1]
    target = {dimensions: 1.0}
    cost = InverseCostWeightedUtility(AffineFidelityCostModel({dimensions: 1 - CHEAP}, fixed_cost=CHEAP))
    project = lambda X: project_to_target_fidelity(X, target_fidelities=target, d=dimensions + 1)
    bounds = torch.tensor([[0.0] * (dimensions + 1), [1.0] * (dimensions + 1)])
    while True:
        values = torch.tensor(y).unsqueeze(-1)
        model = SingleTaskMultiFidelityGP(x, values, data_fidelities=[dimensions], outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        mean = FixedFeatureAcquisitionFunction(PosteriorMean(model), dimensions + 1, [dimensions], [1.0])
        best, now = optimize_acqf(mean, bounds[:, :-1], q=1, num_restarts=3, raw_samples=64)
        if spent + 1.0 > budget + 1e-9:
            break
        gain = qMultiFidelityKnowledgeGradient(
            model, num_fantasies=8, current_value=now, cost_aware_utility=cost, project=project
        )
        pick, _ = optimize_acqf_mixed(
            gain,
            bounds,
            fixed_features_list=[{dimensions: 0.0}, {dimensions: 1.0}],
            q=1,
            num_restarts=2,
            raw_samples=16,
            options={"maxiter": 50},
        )
        x = torch.cat([x, pick])
        y.append(value(pick[0].numpy()))
        spent += 1.0 if pick[0, -1] > 0.5 else CHEAP
    measured = [-one for one, row in zip(y, x) if row[-1] > 0.5]
    return min([*measured, dear(best[0].numpy())])


def fidelity_branin(seed):
    return {"fidelity-branin": spend(branin, branin_cheap, 2, 20, seed, (8, 4)) - 0.397887}


def fidelity_hartmann(seed):
    return {"fidelity-hartmann": spend(hartmann, hartmann_cheap, 6, 40, seed, (14, 7)) + 3.32237}


def fidelity_borehole(seed):
    flow = -spend(borehole_unit, lambda x: borehole_unit(x, True), 8, 25, seed, (14, 7))
    return {"fidelity-borehole": flow / borehole(BOREHOLE_BEST)}


METHODS = {
    "fidelity-branin": fidelity_branin,
    "fidelity-hartmann": fidelity_hartmann,
    "fidelity-borehole": fidelity_borehole,
}
