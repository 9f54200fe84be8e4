"""The reference's way of a whole evaluation, for bench/whole.ts: eager float32 PyTorch, NCHW, each detector with passes of its own, an
ensemble evaluated from its members' networks as if nothing were known of them. Reads from standard input one JSON line a question
and answers each with a line: for each detector what it measured, phase by phase, as {"name", "seconds", "images", "of"}.

Only the first images of the in-distribution set and of one OoD set are measured (`count`; of GradNorm, which takes one image at a
time, `slow`); `of` says what a phase would have to be multiplied up to: `images` of all sets, `train` images, or `once`.

What each detector costs, for an image and a member, stands in bench/detectors_reference.py, whose parts this script uses. In its
favour, nothing of this is counted: starting Python, reading, decoding and normalising images (tensors lie in memory), one
pass that warms up, metrics. The training images' pass, which kNN and Mahalanobis each make, is run once and counted for both."""

import json
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from detectors_reference import Mahalanobis, Network, signs, without_largest
from oracles.parts import goes_on, head, last_layer
from sklearn.covariance import EmpiricalCovariance

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TEMPERATURE, EPSILON = 1000.0, 0.0014


def images_of(path, count=None):
    """[N, 3, 32, 32], normalised."""
    pixels = torch.from_numpy(np.load(path)[:count]).permute(0, 3, 1, 2).float() / 255
    return ((pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).contiguous()


def mean(tensors):
    return torch.stack(tensors).mean(0)


def msp(nets, x):
    with torch.no_grad():
        return torch.softmax(mean([net(x) for net in nets]), 1).amax(1)


def energy(nets, x):
    with torch.no_grad():
        return torch.logsumexp(mean([net(x) for net in nets]), 1)


def odin(nets, x):
    logits = []
    for net in nets:
        data = x.clone().requires_grad_(True)
        z = net(data)
        net.backward(F.cross_entropy(z / TEMPERATURE, z.detach().argmax(1)), len(x))
        logits.append(net(data.detach() - EPSILON * signs(data.grad)).detach())
    return torch.softmax(mean(logits) / TEMPERATURE, 1).amax(1)


def gradnorm(nets, x):
    for net in nets:
        net.net.zero_grad()
    data = x.clone().requires_grad_(True)
    z = mean([net(data) for net in nets])
    torch.mean(torch.sum(-torch.log_softmax(z, 1), 1)).backward()
    return mean([last_layer(net.net).weight.grad.abs().sum() for net in nets]).view(1)


def rankfeat(nets, x):
    logits = []
    for net in nets:
        a = head(net.net, without_largest(net.to_stage(x, 4)))
        b = head(net.net, goes_on(net.net)(without_largest(net.to_stage(x, 3))))
        logits.append(((a + b) / 2).detach())
    return torch.logsumexp(mean(logits), 1)


def pooled_stages(nets, x):
    """Of the five stages, the mean over the members: [N, C_k] each."""
    with torch.no_grad():
        members = [[stage.flatten(2).mean(2) for stage in net.features(x)[1]] for net in nets]
    return [mean(list(stage)) for stage in zip(*members)]


def fit(stages, labels):
    """Class means and the precision of each stage; covariances in float64, used in float32."""
    found = []
    classes = sorted(set(labels.tolist()))
    for stage in stages:
        rows = [stage[labels == label].double() for label in classes]
        means = [one.mean(0) for one in rows]
        centred = torch.cat([one - mean for one, mean in zip(rows, means)])
        precision = EmpiricalCovariance(assume_centered=False).fit(centred.numpy()).precision_
        found.append((torch.stack(means).float(), torch.from_numpy(precision).float()))
    return found


def mahalanobis(nets, x, statistics, magnitude, regression):
    columns = []
    for k, (means, precision) in enumerate(statistics):
        data = x.clone().requires_grad_(True)
        f = mean([net.to_stage(data, k).flatten(2).mean(2) for net in nets])
        closest = Mahalanobis.class_scores(f.detach(), means, precision).argmax(1)
        away = f - means.index_select(0, closest)
        own = -0.5 * torch.mm(torch.mm(away, precision), away.t()).diag()
        torch.mean(-own).backward()
        moved = data.detach() - magnitude * signs(data.grad)
        f = mean([net.to_stage(moved, k).flatten(2).mean(2).detach() for net in nets])
        columns.append(Mahalanobis.class_scores(f, means, precision).amax(1, keepdim=True))
    z = torch.cat(columns, 1).double() @ torch.tensor(regression["coefficients"]).double() + regression["intercept"]
    return -torch.sigmoid(z)


def normalised(f):
    f = f.numpy()
    return np.ascontiguousarray(f / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-10))


class Run:
    """One mode or ensemble."""

    def __init__(self, question, threads):
        self.question = question
        self.threads = threads
        self.phases = {}
        self.sets = {name: images_of(path, question["count"]) for name, path in question["sets"].items()}
        self.train = images_of(question["train"]["images"])
        self.labels = torch.from_numpy(np.load(question["train"]["labels"]))
        start = time.perf_counter()
        self.nets = [Network("cifar-resnet18", question["width"], path) for path in question["checkpoints"]]
        self.note("networks", "open", time.perf_counter() - start, 1, "once")
        for net in self.nets:
            net.net(next(iter(self.sets.values()))[: question["batch"]])

    def note(self, detector, name, seconds, images, of):
        entry = {"name": name, "seconds": seconds, "images": images, "of": of}
        self.phases.setdefault(detector, []).append(entry)
        print(f"{len(self.nets) if hasattr(self, 'nets') else ''} {detector} {name}: {seconds:.2f} s", file=sys.stderr, flush=True)

    def phase(self, detector, name, images, of, work):
        start = time.perf_counter()
        found = work()
        self.note(detector, name, time.perf_counter() - start, images, of)
        return found

    def batches(self, x, batch=None):
        return x.split(batch or self.question["batch"])

    def keep(self, detector, name, scores):
        folder = pathlib.Path(self.question["scores"]) / detector
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", np.asarray(scores, dtype=np.float32))

    def over_sets(self, detector, score, batch=None, count=None):
        for name, x in self.sets.items():
            x = x[:count]
            work = lambda: torch.cat([score(one) for one in self.batches(x, batch)]).numpy()
            self.keep(detector, name, self.phase(detector, name, len(x), "images", work))

    def learn(self):
        """The training images' stages, which kNN and Mahalanobis each compute for themselves."""
        start = time.perf_counter()
        found = [pooled_stages(self.nets, x) for x in self.batches(self.train)]
        seconds = time.perf_counter() - start
        for detector in ("mahalanobis", "knn"):
            self.note(detector, "train", seconds, len(self.train), "train")
        return [torch.cat(stage) for stage in zip(*found)]

    def knn(self, bank):
        import faiss

        faiss.omp_set_num_threads(self.threads)
        index = faiss.IndexFlatL2(bank.shape[1])
        self.phase("knn", "index", len(bank), "train", lambda: index.add(normalised(bank)))
        for name, x in self.sets.items():
            features = lambda: normalised(torch.cat([pooled_stages(self.nets, one)[-1] for one in self.batches(x)]))
            queries = self.phase("knn", name, len(x), "images", features)
            search = lambda: -index.search(queries, self.question["k"])[0][:, -1]
            self.keep("knn", name, self.phase("knn", f"{name}, search", len(x), "images", search))

    def all(self):
        for detector, score in (("msp", msp), ("odin", odin), ("energy", energy)):
            self.over_sets(detector, lambda x: score(self.nets, x))
        stages = self.learn()
        statistics = self.phase("mahalanobis", "fit", 1, "once", lambda: fit(stages, self.labels))
        magnitude, regression = self.question["magnitude"], self.question["regression"]
        self.over_sets("mahalanobis", lambda x: mahalanobis(self.nets, x, statistics, magnitude, regression))
        self.over_sets("gradnorm", lambda x: gradnorm(self.nets, x), 1, self.question["slow"])
        self.over_sets("rankfeat", lambda x: rankfeat(self.nets, x))
        self.knn(stages[-1])
        return {"phases": self.phases, "torch": torch.__version__}


if __name__ == "__main__":
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    for line in sys.stdin:
        print(json.dumps(Run(json.loads(line), threads).all()), flush=True)
