"""Makes test/fixtures/logistic-cv.json: what scikit-learn's LogisticRegressionCV() and SciPy's L-BFGS-B make of small data.

scikit-learn stops before the minimum where columns are badly scaled, and where it stops then depends on rounding. So each
set is fitted again with every number changed in its last bit at most: how far that moves the result is what no other
program can be asked to undercut. It is kept as `spread`, with all the C values that were chosen.

Run: python test/parity/make_logistic_cv_fixtures.py   (needs numpy, SciPy and scikit-learn; takes a few seconds)
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

AGAIN = 8


def stage_scores(rng, n, widths, shifts):
    """Like Mahalanobis scores of five stages: n images, then an adversarial copy of each, whose distances are larger."""
    image = rng.standard_normal(n)
    columns = [
        [-0.5 * w * np.exp(0.25 * image + 0.1 * rng.standard_normal(n) + a * s * (1 + 0.3 * rng.standard_normal(n))) for a in (0, 1)]
        for w, s in zip(widths, shifts)
    ]
    return np.stack([np.concatenate(column) for column in columns], 1), np.repeat([0, 1], n)


def data_sets(rng):
    cifar, imagenet = (64, 64, 128, 256, 512), (64, 256, 512, 1024, 2048)
    y = np.repeat([0, 1], 100)
    yield "well scaled", rng.standard_normal((200, 5)) + y[:, None] * np.array([1, -0.5, 0.3, 0, 0.2]), y
    yield "500 images and their adversarial copies", *stage_scores(rng, 500, cifar, (0.02, 0.05, 0.1, 0.3, 0.2))
    yield "scores from -20 to -2000", *stage_scores(rng, 150, imagenet, (0.02, 0.05, 0.1, 0.3, 0.2))
    yield "scores that tell little", *stage_scores(rng, 150, cifar, (0.005, 0.01, 0.02, 0.05, 0.02))
    yield "scores that separate all but a few", *stage_scores(rng, 100, cifar, (0.3, 0.5, 0.6, 0.9, 1))
    yield "separable", *stage_scores(rng, 60, cifar, (1, 1.5, 2, 3, 4))
    y = rng.permutation(np.repeat([1, 0], [23, 61]))
    yield "unequal counts in any order", rng.standard_normal((84, 2)) * [1, 20] + y[:, None], y
    y = np.repeat([1, 0], [31, 18])
    yield "label 1 first", rng.integers(-1, 2, (49, 3)) + y[:, None] * rng.integers(0, 2, (49, 3)), y
    y = np.repeat([0, 1], 5)
    yield "equal accuracy for every C", (y * 2.0 - 1)[:, None], y
    yield "a column of zeros and one twice", np.stack([np.zeros(40), *[np.arange(40.0) % 7] * 2], 1), (np.arange(40) % 7 > 2) * 1


def fit(x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegressionCV().fit(x, y)


def whole(model):
    return np.array([*model.coef_[0], model.intercept_[0]])


def regression(name, x, y, rng):
    x = np.array([[float(f"{value:.6g}") for value in row] for row in x])
    model = fit(x, y)
    found = whole(model)
    again = [fit(x * (1 + np.finfo(float).eps * rng.integers(-1, 2, x.shape)), y) for _ in range(AGAIN)]
    # What cancels to almost nothing (an intercept of 1e-17) has no digits that could agree.
    size = np.maximum(np.abs(found), 1e-6 * np.abs(found).max())
    folds = np.empty(len(y), int)
    for fold, (_, test) in enumerate(StratifiedKFold(5).split(x, y)):
        folds[test] = fold
    spread = float(max((np.abs(whole(other) - found) / size).max() for other in again))
    print(f"{name}: C {model.C_[0]:.4g}, spread {spread:.1e}, {model.n_iter_.max()} iterations at most")
    return {
        "name": name,
        "width": x.shape[1],
        "x": x.ravel().tolist(),
        "y": "".join(map(str, y)),
        "folds": "".join(map(str, folds)),
        "coefficients": found[:-1].tolist(),
        "intercept": float(found[-1]),
        "c": float(model.C_[0]),
        "cs": sorted({float(other.C_[0]) for other in [model, *again]}),
        "accuracies": model.scores_[1].tolist(),
        "spread": spread,
        "probabilities": model.predict_proba(x)[:4, 1].tolist(),
    }


def rosenbrock(x):
    a, b = x
    return 100 * (b - a * a) ** 2 + (1 - a) ** 2, np.array([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)])


def quartic(x):
    a, b = x
    return a**4 + 1e-3 * b**4 + a * b, np.array([4 * a**3 + b, 4e-3 * b**3 + a])


def valley(x):
    a, b = x
    return 1e6 * a * a + 1e-3 * b * b, np.array([2e6 * a, 2e-3 * b])


def kink(x):
    """Steep, then all but flat: many steps of one line search."""
    (a,) = x
    root = np.sqrt(a * a + 1e-12)
    return root + 1e-3 * a, np.array([a / root + 1e-3])


def minimisations():
    for function, start in (
        (rosenbrock, [-1.2, 1.0]),
        (rosenbrock, [3.0, -4.0]),
        (quartic, [0.5, -3.0]),
        (valley, [1.0, 1000.0]),
        (kink, [1.7]),
    ):
        values = []

        def called(x):
            value, gradient = function(x)
            values.append(float(value))
            return value, gradient

        options = {"maxiter": 100, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
        result = minimize(called, np.array(start), jac=True, method="L-BFGS-B", options=options)
        print(f"{function.__name__}: {result.nit} iterations, {result.nfev} values, {result.message}")
        yield {
            "function": function.__name__,
            "start": start,
            "values": values,
            "x": result.x.tolist(),
            "iterations": result.nit,
            "message": result.message,
        }


def main():
    rng = np.random.default_rng(2310_14227)
    made = f"test/parity/make_logistic_cv_fixtures.py, SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}"
    out = {
        "made": made,
        "penalties": np.logspace(-4, 4, 10).tolist(),
        "regressions": [regression(*case, rng) for case in data_sets(rng)],
        "minimisations": list(minimisations()),
    }
    path = Path(__file__).resolve().parents[1] / "fixtures" / "logistic-cv.json"
    path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


main()
