"""Data sets [n, 5] for the logistic regression that Mahalanobis scores go through, and what scikit-learn makes of them: with
its defaults, as the paper's public code calls it, and with a tolerance at which every fit has converged."""

import numpy as np
from oracles import logistic

TIGHT = {"tol": 1e-10, "max_iter": 10000}


def blocks(count):
    """In-distribution first, as the paper's public code orders them."""
    return np.repeat([0, 1], count)


def data_sets(rng):
    y = blocks(100)
    yield "well scaled", rng.normal(size=(200, 5)) + y[:, None] * np.array([0.8, -0.5, 0.3, 0, 0.1]), y

    # As stage scores are: minus half a squared distance, the larger the more channels, stages correlated.
    y = blocks(200)
    channels = np.array([64, 64, 128, 256, 512])
    size = rng.gamma(12, 1 / 12, size=(400, 1)) * rng.gamma(40, 1 / 40, size=(400, 5))
    yield "stage scores", -0.5 * channels * size * (1 + y[:, None] * np.array([0.4, 0.25, 0.15, 0.1, 0.2])), y
    size = rng.gamma(6, 1 / 6, size=(400, 1)) * rng.gamma(20, 1 / 20, size=(400, 5))
    scale = np.array([20, 60, 150, 700, 2000])
    yield "stage scores from -5 to -9000", -scale * size * (1 + y[:, None] * np.array([0.02, 0.1, 0, 0.3, 0.05])), y
    size = rng.gamma(30, 1 / 30, size=(400, 5))
    yield "separable stage scores", -scale * size * (1 + 4 * y[:, None] * np.array([0.2, 1, 0.5, 2, 1])), y

    y = blocks(60)
    yield "separable", rng.normal(size=(120, 5)) * 0.3 + 2 * y[:, None], y
    yield "few values", rng.integers(-2, 3, size=(120, 5)) + (y * rng.integers(0, 2, size=120))[:, None], y
    y = rng.permutation(np.repeat([1, 0], [37, 96]))
    yield "unequal and mixed", rng.normal(size=(133, 5)) * [1, 3, 0.2, 5, 1] + y[:, None] * [0.5, 0, 0.2, -2, 0.4], y
    yield "one column for all", np.repeat(rng.normal(size=(120, 1)), 5, 1) + blocks(60)[:, None] * 0.7, blocks(60)
    yield "nothing to learn", rng.normal(size=(100, 5)), blocks(50)


def nine(found):
    """Nine digits of every number."""
    if isinstance(found, list):
        return [nine(one) for one in found]
    return float(f"{found:.9g}") if isinstance(found, float) else found


def logistic_cases():
    cases = {}
    for name, x, y in data_sets(np.random.default_rng(20240231)):
        x = np.array([[float(f"{value:.6g}") for value in row] for row in x])
        defaults, tight = logistic.fit(x, y), logistic.fit(x, y, **TIGHT)
        one, other = (np.array([*found["coefficients"], found["intercept"]]) for found in (defaults, tight))
        apart = np.abs(one - other).max()
        p = [logistic.score(x, found["coefficients"], found["intercept"]) for found in (defaults, tight)]
        accuracy = np.abs(np.array(defaults["accuracies"]) - np.array(tight["accuracies"])).max()
        print(
            f"{name}: C {defaults['C']:.5g} and {tight['C']:.5g}; coefficients apart by {apart:.2g}, "
            f"of the largest {apart / np.abs(other).max():.2g}; scores by {np.abs(p[0] - p[1]).max():.2g}; fold accuracies by "
            f"{accuracy:.2g}; {defaults['unconverged']} and {tight['unconverged']} fits stopped early; "
            f"iterations at most {np.max(defaults['iterations'])} and {np.max(tight['iterations'])}"
        )
        cases[name] = {
            "x": x.ravel().tolist(),
            "y": y.tolist(),
            "folds": logistic.folds(x, y),
            **{key: {k: nine(v) for k, v in found.items()} for key, found in (("defaults", defaults), ("tight", tight))},
        }
    return {"tight": TIGHT, "Cs": np.logspace(-4, 4, 10).tolist(), "cases": cases}
