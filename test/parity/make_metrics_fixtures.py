"""Makes test/fixtures/metrics.json: AUROC and AUPR by scikit-learn, FPR95 and the detection error by a brute-force
reading of the rules, in the three conventions; and bootstrap intervals from resamples that are really drawn and sorted.

Run: python test/parity/make_metrics_fixtures.py   (needs numpy and scikit-learn; takes some seconds)
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve


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


def reference(ind, ood):
    labels = np.r_[np.ones(len(ind)), np.zeros(len(ood))]
    scores = np.r_[ind, ood]
    fpr = fpr95_reference(ind, ood)
    assert fpr == get_measures_fpr95(ind, ood)
    return {
        "auroc": roc_auc_score(labels, scores),
        "aupr_in": average_precision_score(labels, scores),
        "aupr_out": average_precision_score(1 - labels, -scores),
        "fpr95": fpr,
        "detection_error": detection_error(ind, ood),
    }


def detection_error(ind, ood):
    """Every threshold on its own: accepting what lies strictly above it, or everything."""
    thresholds = np.r_[-np.inf, ind, ood]
    return min((np.sum(ind <= t) + np.sum(ood > t)) / (len(ind) + len(ood)) for t in thresholds)


def knn(ind, ood):
    """The kNN script's numbers from its definitions: the curve has a point for accepting everything, and one for what
    lies strictly above each score; a point at which nothing is accepted has no precision and is left out. The curves of
    precision are closed with 0 where recall is 0 and with one half where it is 1."""
    thresholds = [-np.inf, *np.unique(np.r_[ind, ood])]
    tpr = np.array([np.mean(ind > t) for t in thresholds])
    fpr = np.array([np.mean(ood > t) for t in thresholds])

    def area(hit, miss, hits, misses):
        points = [(h, h * hits / (h * hits + m * misses)) for h, m in zip(hit, miss) if h + m > 0]
        recall, precision = np.array(sorted([(0.0, 0.0), *points, (1.0, 0.5)], key=lambda point: point[0])).T
        return np.trapezoid(precision, recall)

    # sorted() is stable, so points of one recall keep the order of the curve.
    return {
        "auroc": -np.trapezoid(1 - fpr, tpr),
        "aupr_in": area(tpr[::-1], fpr[::-1], len(ind), len(ood)),
        "aupr_out": area(1 - fpr, 1 - tpr, len(ood), len(ind)),
        "fpr95": np.sum(ood > np.sort(ind)[round(0.05 * len(ind))]) / len(ood),
        "detection_error": detection_error(ind, ood),
    }


def openood(ind, ood):
    """As auc_and_fpr_recall of OpenOOD v1.5, on all thresholds."""
    label = np.r_[np.zeros(len(ind)), np.ones(len(ood))]
    conf = np.r_[ind, ood]
    fpr, tpr, _ = roc_curve(label, -conf, drop_intermediate=False)
    precision_in, recall_in, _ = precision_recall_curve(1 - label, conf)
    precision_out, recall_out, _ = precision_recall_curve(label, -conf)
    return {
        "auroc": auc(fpr, tpr),
        "aupr_in": auc(recall_in, precision_in),
        "aupr_out": auc(recall_out, precision_out),
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
        "detection_error": detection_error(ind, ood),
    }


def openood_fpr95_as_is(ind, ood):
    """With roc_curve's default, which leaves out points that lie on a straight line between their neighbours."""
    fpr, tpr, _ = roc_curve(np.r_[np.zeros(len(ind)), np.ones(len(ood))], -np.r_[ind, ood])
    return fpr[np.argmax(tpr >= 0.95)]


CONVENTIONS = {"reference": reference, "knn": knn, "openood": openood}


def xoshiro(state):
    """xoshiro128** 1.1 from its definition, in whole numbers."""
    rotl = lambda x, k: ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF
    s = list(state)
    while True:
        yield rotl(s[1] * 5 & 0xFFFFFFFF, 7) * 9 & 0xFFFFFFFF
        t = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)


def draw(seed, name, resample, n):
    """n places from 0 to n - 1, by Lemire's method."""
    stream = json.dumps(["bootstrap", seed, name, resample], separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(stream.encode()).digest()
    words = xoshiro([int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(4)])
    places = []
    while len(places) < n:
        product = next(words) * n
        if product % 2**32 >= 2**32 % n:
            places.append(product // 2**32)
    return places


def interval(values, level):
    return [float(v) for v in np.quantile(values, [(1 - level) / 2, (1 + level) / 2])]


def bootstrap(rng):
    """Two modes and an ensemble on one pair of sets: intervals of each, and of the gain over the mean of the modes."""
    seed, resamples, level = 11, 60, 0.9
    names = {"in": "CIFAR-10", "out": "Ä \"set\""}
    shared = rng.normal(0, 1, 70), rng.normal(0, 1, 90)
    subsets = {}
    for name, scale in {"1": 1.5, "2": 1.2, "1+2": 0.6}.items():
        # Rounded, so that many scores are tied.
        subsets[name] = [
            np.round(part + shift + rng.normal(0, scale, len(part)), 1) for part, shift in zip(shared, [1.5, 0])
        ]
    draws = [[draw(seed, names[side], r, n) for side, n in (("in", 70), ("out", 90))] for r in range(resamples)]
    better = {"auroc": 1, "aupr_in": 1, "aupr_out": 1, "fpr95": -1, "detection_error": -1}
    intervals, gains = {}, {}
    for convention, formula in CONVENTIONS.items():
        values = {
            name: [formula(ind[np.array(i)], ood[np.array(o)]) for i, o in draws]
            for name, (ind, ood) in subsets.items()
        }
        vector = lambda name, key: np.array([value[key] for value in values[name]])
        intervals[convention] = {
            name: {key: interval(vector(name, key), level) for key in better} for name in subsets
        }
        gains[convention] = {
            key: interval(sign * (vector("1+2", key) - (vector("1", key) + vector("2", key)) / 2), level)
            for key, sign in better.items()
        }
    return {
        "seed": seed,
        "resamples": resamples,
        "level": level,
        "names": names,
        "scores": {name: {"in": ind.tolist(), "out": ood.tolist()} for name, (ind, ood) in subsets.items()},
        "intervals": intervals,
        "gains": gains,
    }


def random_numbers():
    words = xoshiro([1, 2, 3, 4])
    return {
        "words": [next(words) for _ in range(8)],
        "draws": [
            {"seed": seed, "set": name, "resample": resample, "n": n, "places": draw(seed, name, resample, n)}
            for seed, name, resample, n in [(0, "shapes", 0, 12), (0, "shapes", 1, 12), (7, "Ä", 999, 7), (1, "x", 3, 1)]
        ],
    }


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
    yield "ten of each, overlapping", np.arange(5.0, 15.0), np.arange(0.0, 10.0)
    yield "thirty, where Python rounds 1.5 to 2", np.arange(30.0), np.array([0.5, 1.0, 1.5, 2.0, 2.5, 29.5])
    yield "fifty, where Python rounds 2.5 to 2", np.arange(50.0), np.array([1.5, 2.0, 2.5, 3.0, 49.5])
    yield "tied in one proportion", np.arange(20.0), np.arange(20.0)
    yield "huge and tiny", np.array([1e300, 5e-324, -0.0, 1.0]), np.array([-1e300, 0.0, 5e-324])


def main():
    rng = np.random.default_rng(2310_14227)
    out = []
    for name, ind, ood in cases(rng):
        ind, ood = ind.astype(np.float64), ood.astype(np.float64)
        found = {convention: formula(ind, ood) for convention, formula in CONVENTIONS.items()}
        # The areas under the ROC curve are one number, and so is the FPR of OpenOOD's call but in the case made for it.
        assert all(abs(m["auroc"] - found["reference"]["auroc"]) < 1e-12 for m in found.values()), name
        assert (found["openood"]["fpr95"] == openood_fpr95_as_is(ind, ood)) == (name != "tied in one proportion"), name
        numbers = {key: {k: float(v) for k, v in measures.items()} for key, measures in found.items()}
        out.append({"name": name, "in": ind.tolist(), "out": ood.tolist(), **numbers})
    path = Path(__file__).resolve().parents[1] / "fixtures" / "metrics.json"
    made = f"test/parity/make_metrics_fixtures.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    content = {"made": made, "cases": out, "random": random_numbers(), "bootstrap": bootstrap(rng)}
    path.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path.name}: {len(out)} cases")


main()
