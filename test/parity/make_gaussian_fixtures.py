"""Makes test/fixtures/gaussians.json: class means, precision and Mahalanobis scores by scikit-learn's EmpiricalCovariance.

The features are drawn here and in gaussians.test.ts by the same generator, so that the file holds results alone.

Run: python test/parity/make_gaussian_fixtures.py   (needs numpy and scikit-learn; takes a second)
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.covariance import EmpiricalCovariance

CASES = [
    {"name": "one mode", "members": 1, "rows": 400, "width": 20, "classes": 4},
    {"name": "ensemble of three", "members": 3, "rows": 300, "width": 12, "classes": 5},
    {"name": "float16", "members": 2, "rows": 200, "width": 9, "classes": 3, "half": True},
    {"name": "dead channel", "members": 1, "rows": 200, "width": 10, "classes": 3, "dead": 4},
    {"name": "duplicate channel", "members": 1, "rows": 200, "width": 10, "classes": 3, "duplicate": [2, 7]},
    {"name": "fewer images than channels", "members": 1, "rows": 30, "width": 48, "classes": 3},
    {"name": "one image a class", "members": 1, "rows": 6, "width": 4, "classes": 6},
    {"name": "several panels and blocks", "members": 1, "rows": 7300, "width": 300, "classes": 7},
    {"name": "one channel, one class", "members": 1, "rows": 50, "width": 1, "classes": 1},
    {"name": "small noise on large means", "members": 1, "rows": 300, "width": 8, "classes": 3, "offset": 1000},
]
QUERIES = 25


class Random:
    """Numbers in [-1, 1) from a linear congruential generator (Numerical Recipes' constants)."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return self.state / 2**31 - 1


def features(case, rows, seed):
    """Float32 [rows, width]: noise whose size differs by channel, around a mean that differs by class."""
    random = Random(seed)
    out = np.empty((rows, case["width"]), np.float32)
    for i in range(rows):
        common = random.next()
        for d in range(case["width"]):
            value = random.next() * (1 + d % 5) + common + ((i % case["classes"]) * (d + 3)) % 7 + case.get("offset", 0)
            out[i, d] = np.floor(value * 64) / 64 if case.get("half") else value
    if "dead" in case:
        out[:, case["dead"]] = 0
    if "duplicate" in case:
        out[:, case["duplicate"][1]] = out[:, case["duplicate"][0]]
    return out


def fused(case, rows, seed):
    members = [features(case, rows, seed + m).astype(np.float64) for m in range(case["members"])]
    return sum(members) / len(members)


def main():
    out = []
    for case in CASES:
        train = fused(case, case["rows"], 1000)
        labels = np.arange(case["rows"]) % case["classes"]
        means = np.stack([train[labels == c].mean(0) for c in range(case["classes"])])
        covariance = EmpiricalCovariance(assume_centered=False).fit(train - means[labels])
        precision = covariance.precision_

        def scores(rows):
            differences = rows[:, None] - means[None]
            return (-0.5 * np.einsum("nci,ij,ncj->nc", differences, precision, differences)).max(1).tolist()

        vector = np.array([(3 * d) % 5 - 1.5 for d in range(case["width"])])
        out.append(
            {
                **case,
                "rank": int(np.linalg.matrix_rank(precision, hermitian=True)),
                "precisionTimesVector": (precision @ vector).tolist(),
                "scores": scores(fused(case, QUERIES, 2000)),
                "lastTrainScores": scores(train[-5:]),
            }
        )
    path = Path(__file__).resolve().parents[1] / "fixtures" / "gaussians.json"
    made = f"test/parity/make_gaussian_fixtures.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    path.write_text(json.dumps({"made": made, "queries": QUERIES, "cases": out}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {len(out)} cases")


main()
