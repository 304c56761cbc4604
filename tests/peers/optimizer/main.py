"""BoTorch and egobox beside the optimizer, one line of JSON a figure, for `cargo xtask bench optimizer --peers`.

Needs: pip install torch botorch egobox numpy scipy. Missing packages are told on standard error and left out.
"""

import argparse
import json
import sys
import time

import numpy as np
import regret


# Shares of what is possible; every other figure is a regret or a count.
MORE = {"zdt1", "dtlz2-2", "dtlz2-3", "fidelity-borehole"}
# Seeds at most, so that a row takes minutes: a step of these takes BoTorch seconds.
MOST = {"simplex": 5, "mixed": 5, "dtlz2-3": 5, "fidelity-branin": 3, "fidelity-hartmann": 3, "fidelity-borehole": 3}


def line(row, peer, values):
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    figure = {"row": row, "peer": peer, "seeds": len(values), "less": row not in MORE}
    print(json.dumps(figure | {"median": median, "low": low, "high": high}), flush=True)


def plain(seeds):
    for name, noise in [("Branin", 0.0), ("Hartmann6", 0.0), ("Hartmann6", 0.1)]:
        function, dimensions, least = regret.FUNCTIONS[name]
        for peer, run in [("BoTorch", regret.botorch), ("egobox", regret.egobox)]:
            try:
                values = [run(function, dimensions, noise, seed) - least for seed in range(seeds)]
            except ImportError as error:
                print(f"{peer}: {error}", file=sys.stderr)
                continue
            line(f"{name.lower()}{'-noisy' if noise else ''}", peer, values)


def study(part, seeds, first):
    try:
        if part.startswith("fidelity"):
            from fidelity import METHODS
        else:
            from methods import METHODS
    except ImportError as error:
        print(f"BoTorch: {error}", file=sys.stderr)
        return
    figures = {}
    for seed in range(first, first + min(seeds, MOST.get(part, seeds))):
        began = time.process_time()
        found = METHODS[part](seed)
        print(f"{part} seed {seed}: {found}, {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
        for row, value in found.items():
            figures.setdefault(row, []).append(value)
    for row, values in figures.items():
        line(row, "BoTorch", values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed of a study")
    parser.add_argument("parts", nargs="*", help="studies; plain regret where there is none")
    arguments = parser.parse_args()
    if not arguments.parts:
        plain(arguments.seeds)
    for part in arguments.parts:
        study(part, arguments.seeds, arguments.first)


if __name__ == "__main__":
    main()
