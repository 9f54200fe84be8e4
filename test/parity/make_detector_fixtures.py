"""Makes test/fixtures/detectors/CASE.json: the scores of all seven detectors by the plain definitions in oracles/, for seeded
networks in float64, each mode alone and all together; and test/fixtures/logistic.json, scikit-learn's LogisticRegressionCV.
Images, labels and weights come from formulas (synthetic.py), so that no fixture holds them. Prints how far the same oracle is
from itself when the networks compute in float32.

Run with a Python that has torch, numpy, scipy, scikit-learn and faiss:
python3 test/parity/make_detector_fixtures.py [--only CASE …] [--threads 2] [--output DIR]"""

import argparse
import copy
import hashlib
import json
import pathlib
import time
from typing import NamedTuple

import faiss
import numpy as np
import scipy
import sklearn
import torch

from logistic_cases import logistic_cases
from oracles import common, energy, gradnorm, knn, logistic, mahalanobis, msp, odin, rankfeat
from synthetic import scale_weights, scenes
from torch_networks import build
from torch_networks.wide import WideResNet

CIFAR = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 10
K = 5
EPSILON, TEMPERATURE = 0.0014, 1000
# At T = 1000 ODIN's scores of different perturbations differ by less than float32 rounding shows: another one as well.
LOW = 1
MAGNITUDES = (0, 0.0014)
STEP = 0.05
ADVERSARIAL = 12  # of the test images
SETS = {
    "train": {"salt": 1, "grid": 8, "classes": CLASSES},
    "test": {"salt": 2, "grid": 8, "classes": CLASSES},
    "out": {"salt": 3, "grid": 3, "classes": 0},
}


class Case(NamedTuple):
    arch: str
    width: int | None
    size: int
    statistics: tuple
    norms: float  # powers of two; see scale_weights()
    head: float
    counts: tuple  # of train, test, out
    seeds: tuple = (1000, 1100, 1300)


CASES = {
    "r18": Case("cifar-resnet18", 8, 32, CIFAR, 2, 8, (120, 30, 20)),
    "wrn": Case("wrn-10-1", 16, 32, CIFAR, 2, 8, (120, 30, 20)),
    # 256 channels in the last stage and 120 images: a singular covariance.
    "r50": Case("resnet50", 8, 64, IMAGENET, 1, 1 / 16, (120, 24, 16)),
    "dn121": Case("densenet121", 8, 64, IMAGENET, 1, 4, (160, 24, 16)),
    "t2t": Case("t2t-vit-14", 64, 224, IMAGENET, 4, 4, (60, 6, 4)),
    # Families that the paper has no RankFeat for.
    "small-resnet": Case("cifar-resnet20", 8, 32, IMAGENET, 1, 1 / 8, (100, 12, 8), (1000, 1100)),
    "small-densenet": Case("cifar-densenet-bc-100", 8, 32, CIFAR, 0.5, 64, (100, 12, 8), (1000, 1100)),
}


def network(case, seed):
    torch.manual_seed(seed)
    if case.arch == "wrn-10-1":
        net = WideResNet(10, 1, case.width, CLASSES, 0.3)
    else:
        net = build(case.arch, case.width, CLASSES)
    scale_weights(net, case.norms, case.head)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return net.eval()


def normalised(images, statistics):
    """Float32, as ToTensor and Normalize compute it."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in statistics)
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std


def check_knn(bank, queries):
    """Against faiss, which computes in float32: the same rows but for ties at its precision."""
    index = faiss.IndexFlatL2(bank.shape[1])
    index.add(bank.astype(np.float32))
    found, rows = index.search(queries.astype(np.float32), K)
    distances, own = knn.search(bank, queries, K)
    assert np.allclose(found, distances, rtol=1e-4, atol=2e-6), np.abs(found - distances).max()
    assert np.allclose(((bank[rows] - queries[:, None]) ** 2).sum(2), distances, rtol=1e-4, atol=2e-6)
    return (np.sort(rows, 1) == np.sort(own, 1)).all(1).mean()


def of_member(nets, x, y, logits, moved, ranked, statistics, report):
    """All that is recorded of a mode or an ensemble: {quantity: {set: array}}. The lists have one element for each mode; `moved`
    is {(temperature, accumulated): {set: list}}."""
    sets = ("test", "out")
    out = {
        "logits": {s: common.mean(logits[s]) for s in sets},
        "msp": {s: msp.score(logits[s]) for s in sets},
        "energy": {s: energy.score(logits[s]) for s in sets},
        "energy, T=2": {s: energy.score(logits[s], 2) for s in sets},
        "odin, epsilon=0": {s: odin.score(logits[s], TEMPERATURE) for s in sets},
        "gradnorm": {s: gradnorm.score(nets, x[s]) for s in sets},
        "rankfeat": {s: rankfeat.score(ranked[s]) for s in sets},
        "rankfeat logits": {s: common.mean(ranked[s]) for s in sets},
    }
    for (temperature, accumulated), found in moved.items():
        if accumulated and len(nets) == 1:
            continue
        ending = (f", T={temperature}" if temperature == LOW else "") + (", accumulated" if accumulated else "")
        out[f"odin{ending}"] = {s: odin.score(found[s], temperature) for s in sets}
        if temperature == TEMPERATURE:
            out[f"odin logits{ending}"] = {s: common.mean(found[s]) for s in sets}
    for s in sets:
        closed = common.batched(lambda batch: gradnorm.closed_form(nets, batch), x[s])
        report["gradnorm, closed form"] = max(report.get("gradnorm, closed form", 0), relative(out["gradnorm"][s], closed))

    bank = knn.features(nets, x["train"])
    queries = {s: knn.features(nets, x[s]) for s in sets}
    out["knn"] = {s: knn.score(bank, queries[s], K) for s in sets}
    out["neighbours"] = {s: knn.search(bank, queries[s], K)[1] for s in sets}
    report["rows as faiss"] = min(report.get("rows as faiss", 1), *(check_knn(bank, queries[s]) for s in sets))

    train = mahalanobis.features(nets, x["train"])
    stages = mahalanobis.fit(train, y["train"])
    out["ranks"] = {"train": np.array([stage.rank for stage in stages])}
    report.setdefault("condition", []).append([condition(f.numpy(), y["train"].numpy()) for f in train])
    for magnitude in MAGNITUDES:
        scores = {s: mahalanobis.stage_scores(nets, x[s], stages, magnitude) for s in sets}
        out[f"mahalanobis, magnitude={magnitude}"] = scores
    some, true = x["test"][:ADVERSARIAL], y["test"][:ADVERSARIAL]
    for clamp in ("pixels", "normalized"):
        copies = mahalanobis.adversarial(nets, some, true, STEP, clamp, *statistics)
        for magnitude in MAGNITUDES:
            scores = mahalanobis.stage_scores(nets, copies, stages, magnitude)
            out[f"adversarial, clamp={clamp}, magnitude={magnitude}"] = {"test": scores}
    return {key: {s: np.asarray(values) for s, values in found.items()} for key, found in out.items()}


def condition(f, labels):
    """Largest over smallest eigenvalue that is not null, of a stage's covariance."""
    centred = np.concatenate([f[labels == c] - f[labels == c].mean(0) for c in np.unique(labels)])
    values = np.linalg.eigvalsh(np.cov(centred, rowvar=False, bias=True))
    kept = values[values > len(values) * np.finfo(float).eps * values.max()]
    return float(f"{kept.max() / kept.min():.2g}")


def of_case(nets, seeds, x, y, statistics):
    """{members: {quantity: {set: array}}}, and what is worth telling."""
    report = {}
    sets = ("test", "out")
    logits = {s: common.logits(nets, x[s]) for s in sets}
    moved = {
        (temperature, accumulated): {s: odin.perturbed_logits(nets, x[s], EPSILON, temperature, accumulated) for s in sets}
        for temperature in (TEMPERATURE, LOW)
        for accumulated in (False, True)
    }
    ranked, gaps = {}, []
    for s in sets:
        ranked[s], gap = rankfeat.logits(nets, x[s])
        gaps.append(gap)
    report["smallest gap of singular values"] = min(gaps)
    only = lambda lists, places: {s: [lists[s][m] for m in places] for s in sets}
    members = [[m] for m in range(len(nets))] + [list(range(len(nets)))]
    out = {}
    for places in members:
        chosen = [nets[m] for m in places]
        perturbed = {key: only(lists, places) for key, lists in moved.items()}
        lists = only(logits, places), perturbed, only(ranked, places)
        out["+".join(str(seeds[m]) for m in places)] = of_member(chosen, x, y, *lists, statistics, report)
    return out, report


def relative(found, expected):
    """The largest |a − b|/|b|."""
    found, expected = (np.asarray(t, float) for t in (found, expected))
    return float((np.abs(found - expected) / np.maximum(np.abs(expected), 1e-300)).max())


def to_largest(found, expected):
    found, expected = (np.asarray(t, float) for t in (found, expected))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def roundoff(rough, exact):
    """For each quantity how far float32 is from float64: the largest |a − b|/|b| of an element, and the largest |a − b| over
    the largest |b|; of rows of neighbours the share that differ."""
    worst = {}
    for member, quantities in exact.items():
        for quantity, sets in quantities.items():
            for s, expected in sets.items():
                found = rough[member][quantity][s]
                if expected.dtype.kind == "i":
                    now = np.array([(found != expected).mean()] * 2)
                else:
                    now = np.array([relative(found, expected), to_largest(found, expected)])
                worst[quantity] = np.maximum(worst.get(quantity, 0), now)
    return {quantity: [float(f"{v:.2g}") for v in values] for quantity, values in worst.items()}


def flips(nets, x, y):
    """Share of input gradients whose sign differs between float32 and float64: ODIN's, and each Mahalanobis stage's."""
    exact, rough = [net.double() for net in copy.deepcopy(nets)], [net.float() for net in copy.deepcopy(nets)]
    some = x["test"][:8]
    share = lambda a, b: float(f"{((a >= 0) != (b >= 0)).double().mean():.2g}")
    out = {"odin": share(odin.gradient(exact[0], some.double(), TEMPERATURE), odin.gradient(rough[0], some, TEMPERATURE))}
    train = mahalanobis.features(exact[:1], x["train"].double())
    stages = mahalanobis.fit(train, y["train"])
    moved = lambda nets, x, k: mahalanobis.perturbed(nets[:1], x, k, stages[k], 1) - x
    out["mahalanobis"] = [share(-moved(exact, some.double(), k), -moved(rough, some, k)) for k in range(len(stages))]
    return out


def numbers(array):
    """Nine digits."""
    if array.dtype.kind == "i":
        return array.ravel().tolist()
    return [float(f"{value:.9g}") for value in array.ravel().tolist()]


def make(name, case):
    start = time.time()
    images = {s: scenes(count, case.size, **SETS[s]) for (s, count) in zip(SETS, case.counts)}
    x = {s: normalised(t, case.statistics) for s, t in images.items()}
    y = {s: torch.arange(len(t)) % CLASSES for s, t in images.items()}
    nets = [network(case, seed) for seed in case.seeds]
    rough, _ = of_case(nets, case.seeds, x, y, case.statistics)
    wide = {s: t.double() for s, t in x.items()}
    exact, report = of_case([copy.deepcopy(net).double() for net in nets], case.seeds, wide, y, case.statistics)
    assert report["gradnorm, closed form"] < 1e-9, report
    difference = roundoff(rough, exact)
    report["flips"] = flips(nets, x, y)
    print(f"{name}: {case.arch}, {time.time() - start:.0f} s")
    for quantity, (element, largest) in difference.items():
        print(f"  {quantity:45s} float32 {element:8.1e} of the element {largest:8.1e} of the largest")
    for quantity, sets in exact["+".join(map(str, case.seeds))].items():
        if sets["train" if quantity == "ranks" else "test"].ndim == 1:
            ranges = "  ".join(f"{s} {v.min():.6g} … {v.max():.6g}" for s, v in sets.items())
            print(f"  {quantity:45s} {ranges}")
    for quantity, found in report.items():
        print(f"  {quantity}: {found}")
    return {
        "arch": case.arch,
        "width": case.width,
        "classes": CLASSES,
        "seeds": list(case.seeds),
        "scale": {"norms": case.norms, "head": case.head},
        "size": case.size,
        "mean": list(case.statistics[0]),
        "std": list(case.statistics[1]),
        "sets": {
            s: {"count": count, **SETS[s], "sha256": hashlib.sha256(images[s].numpy().tobytes()).hexdigest()}
            for s, count in zip(SETS, case.counts)
        },
        "parameters": {"k": K, "epsilon": EPSILON, "temperature": TEMPERATURE, "step": STEP, "adversarial": ADVERSARIAL},
        "members": {m: {q: {s: numbers(v) for s, v in of.items()} for q, of in of_m.items()} for m, of_m in exact.items()},
        "roundoff": difference,
        "flips": report["flips"],
        "gap": report["smallest gap of singular values"],
    }


def text(value, depth=0, lines=4):
    """JSON with a line for each key of the first levels."""
    if depth == lines or not isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    pad = " " * (depth + 1)
    inner = ",\n".join(f"{pad}{json.dumps(k)}: {text(v, depth + 1, lines)}" for k, v in value.items())
    return "{\n" + inner + "\n" + " " * depth + "}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*CASES, "logistic"], metavar="CASE", default=[*CASES, "logistic"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[1] / "fixtures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}"
    made = f"test/parity/make_detector_fixtures.py, {versions}, scikit-learn {sklearn.__version__}"
    folder = options.output / "detectors"
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        if name == "logistic":
            (options.output / "logistic.json").write_text(text({"made": made, **logistic_cases()}, lines=3) + "\n")
        else:
            (folder / f"{name}.json").write_text(text({"made": made, **make(name, CASES[name])}) + "\n")


if __name__ == "__main__":
    main()
