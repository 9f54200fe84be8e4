"""Makes test/fixtures/metrics.json: AUROC and AUPR by scikit-learn, FPR95 by a brute-force reading of the rule.

Run: python test/parity/make_metrics_fixtures.py   (needs numpy and scikit-learn; takes a second)
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score


def fpr95_reference(ind, ood):
    """FPR at the recall nearest 0.95 over the distinct scores, written apart from the TypeScript: every threshold is
    counted on its own. Equal distance: the higher recall. Equal recall: the lowest threshold, but at full recall the
    highest (get_measures cuts the curve where recall first reaches 1)."""
    rows = []
    for t in np.unique(np.concatenate([ind, ood])):
        rows.append((float(np.mean(ind >= t)), float(np.mean(ood >= t)), float(t)))
    full = [row for row in rows if row[0] == 1.0]
    rows = [row for row in rows if row[0] < 1.0] + [max(full, key=lambda row: row[2])]
    nearest = min(abs(recall - 0.95) for recall, _, _ in rows)
    rows = [row for row in rows if abs(row[0] - 0.95) == nearest]
    recall = max(row[0] for row in rows)
    return min((row for row in rows if row[0] == recall), key=lambda row: row[2])[1]


def get_measures_fpr95(ind, ood):
    """The same number by the steps of the paper's code (cumulative counts over a descending sort), as a cross-check."""
    score = np.concatenate([ind, ood])
    true = np.concatenate([np.ones(len(ind), bool), np.zeros(len(ood), bool)])
    order = np.argsort(score, kind="mergesort")[::-1]
    score, true = score[order], true[order]
    at = np.r_[np.where(np.diff(score))[0], len(score) - 1]
    tps = np.cumsum(true)[at]
    fps = 1 + at - tps
    last = np.searchsorted(tps, tps[-1])
    recall = np.r_[(tps / tps[-1])[last::-1], 1]
    fps = np.r_[fps[last::-1], 0]
    return float(fps[np.argmin(np.abs(recall - 0.95))] / len(ood))


def cases(rng):
    yield "random 97/131", rng.normal(1, 1, 97), rng.normal(0, 1, 131)
    yield "random 200/50", rng.normal(0.5, 2, 200), rng.normal(0, 1, 50)
    yield "random 60/300", rng.normal(0.2, 1, 60), rng.normal(0, 1, 300)
    yield "nearest recall is on neither side of a tie, 10/10", rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    yield "distance tie in real numbers 30/40", rng.normal(1, 1, 30), rng.normal(0, 1, 40)
    yield "distance tie in real numbers 50/40", rng.normal(1, 1, 50), rng.normal(0, 1, 40)
    yield "ties of seven values", rng.integers(0, 7, 120) / 4 + 0.25, rng.integers(0, 7, 90) / 4
    yield "ties of two values", rng.integers(0, 2, 40) * 1.0, rng.integers(0, 2, 30) * 1.0
    yield "saturated at one", np.r_[np.ones(150), rng.random(50)], np.r_[np.ones(20), rng.random(80)]
    yield "all equal", np.full(5, 3.25), np.full(7, 3.25)
    yield "one each, right", np.array([1.0]), np.array([0.0])
    yield "one each, wrong", np.array([0.0]), np.array([1.0])
    yield "one against many", np.array([0.3]), rng.random(9)
    yield "many against one", rng.random(9), np.array([0.3])
    yield "separable", rng.random(40) + 2, rng.random(25)
    yield "reversed", rng.random(40), rng.random(25) + 2
    yield "OoD in a gap at one recall", np.r_[np.arange(20.0, 39.0), 1.0], np.array([19.0, 18.0, 17.0, 5.0, 0.5, 0.25])
    yield "OoD below all InD", np.arange(2.0, 22.0), np.array([-1.0, -2.0, -3.0, 30.0])
    yield "huge and tiny", np.array([1e300, 5e-324, -0.0, 1.0]), np.array([-1e300, 0.0, 5e-324])


def main():
    rng = np.random.default_rng(2310_14227)
    out = []
    for name, ind, ood in cases(rng):
        ind, ood = ind.astype(np.float64), ood.astype(np.float64)
        labels = np.r_[np.ones(len(ind)), np.zeros(len(ood))]
        scores = np.r_[ind, ood]
        fpr = fpr95_reference(ind, ood)
        assert fpr == get_measures_fpr95(ind, ood), name
        out.append(
            {
                "name": name,
                "in": ind.tolist(),
                "out": ood.tolist(),
                "auroc": float(roc_auc_score(labels, scores)),
                "aupr_in": float(average_precision_score(labels, scores)),
                "aupr_out": float(average_precision_score(1 - labels, -scores)),
                "fpr95": fpr,
            }
        )
    path = Path(__file__).resolve().parents[1] / "fixtures" / "metrics.json"
    made = f"test/parity/make_metrics_fixtures.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    path.write_text(json.dumps({"made": made, "cases": out}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {len(out)} cases")


main()
