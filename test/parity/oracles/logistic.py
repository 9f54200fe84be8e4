"""scikit-learn's LogisticRegressionCV as the paper's public code calls it: its defaults, which are ten values of C from 1e-4
to 1e4, an L2 penalty, lbfgs, five stratified folds without shuffling, accuracy."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold


def fit(x, y, **settings):
    """`y`: 1 for out-of-distribution. As plain numbers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = LogisticRegressionCV(**settings).fit(x, y)
    first = lambda table: np.asarray(table[1] if isinstance(table, dict) else table)
    scores = first(model.scores_).reshape(5, -1)  # [fold, C]
    return {
        "C": float(np.ravel(model.C_)[0]),
        "coefficients": model.coef_[0].tolist(),
        "intercept": float(model.intercept_[0]),
        "accuracies": scores.tolist(),
        "iterations": np.asarray(model.n_iter_).reshape(5, -1).tolist(),
        "unconverged": sum("failed to converge" in str(w.message) for w in caught),
    }


def folds(x, y):
    """The fold in which each sample is held out."""
    of = np.empty(len(y), int)
    for fold, (_, held) in enumerate(StratifiedKFold(5).split(x, y)):
        of[held] = fold
    return of.tolist()


def score(stage_scores, coefficients, intercept):
    """−P(OoD)."""
    return -1 / (1 + np.exp(-(np.asarray(stage_scores) @ np.asarray(coefficients) + intercept)))
