"""Evaluation as the paper's public code does it, for `npm run bench:detectors`: each detector runs the network anew over each
data set, and decodes the images anew. One mode, float32.

    python3 bench/detectors_reference.py --checkpoint FILE.pth --in NAME=FOLDER --out NAME=FOLDER [NAME=FOLDER …]
        --train FOLDER [--limit 200] [--images 200] [--detectors msp energy odin gradnorm rankfeat mahalanobis knn]
        [--magnitude 0.0014] [--k 50] [--epsilon 0] [--batch-size 32] [--threads 2] [--scores DIR]

What each detector costs there, and here, for an image of an evaluated set:

    msp, energy   one forward pass
    odin          forward, backward, forward, also where epsilon is 0
    gradnorm      forward and backward through the whole network, one image at a time
    rankfeat      two forward passes, the second to the last stage but one; a full singular value decomposition of each
                  image's two maps; the last stage again
    mahalanobis   for each of the five stages: forward to it, backward, forward to it, also where the magnitude is 0; distances
                  by a loop over the classes, before and after the perturbation
    knn           one forward pass, and a flat index in faiss

and for an image of the training set one forward pass for mahalanobis and one for knn. Weights keep asking for gradients, as
they do there. Decoding is Pillow's, in the process that computes or in DataLoader's workers (`--workers`).

Prints one line of JSON. `passes`: image passes forward and backward for each image of the set, however far they go.
`--scores DIR` writes DIR/DETECTOR/MEMBER/SET.npy, float32, and for mahalanobis the five stage scores, [N, 5], as
DIR/mahalanobis-MAGNITUDE/MEMBER/SET.npy; with `--regression FILE` ({"coefficients": […], "intercept": …}) also −P(OoD), as
DIR/mahalanobis-MAGNITUDE-score."""

import argparse
import json
import os
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.covariance import EmpiricalCovariance
from torch.utils.data import DataLoader, Dataset, Subset

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "test" / "parity")]
from data_python import steps_of  # noqa: E402
from oracles.parts import goes_on, head, last_layer  # noqa: E402
from torch_networks import NETWORKS, build  # noqa: E402


class Folder(Dataset):
    """A folder of images, in the order of torchvision's ImageFolder: sub-folders by name are the classes; files beside them
    come first, as class 0."""

    def __init__(self, root, steps):
        self.steps = steps
        key = os.fsencode
        entries = sorted((e for e in os.scandir(root) if not e.name.startswith(".")), key=lambda e: key(e.name))
        self.samples = [(e.path, 0) for e in entries if e.is_file()]
        for label, folder in enumerate(e for e in entries if e.is_dir()):
            for at, folders, files in sorted(os.walk(folder.path), key=lambda step: key(step[0])):
                names = sorted((name for name in files if not name.startswith(".")), key=key)
                self.samples += [(os.path.join(at, name), label) for name in names]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        with open(path, "rb") as file:
            image = Image.open(file).convert("RGB")
        for step in self.steps:
            image = step(image)
        return image, label


def spread(dataset, limit):
    """`limit` images, evenly over the set, so that all classes of a sorted set take part."""
    count = len(dataset)
    if limit is None or limit >= count:
        return dataset
    return Subset(dataset, [i * count // limit for i in range(limit)])


class Network:
    """A ResNet of torch_networks with the calls of the public code, which count the images that pass."""

    def __init__(self, arch, width, checkpoint):
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = content.get("state_dict", content)
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        classes = list(state.values())[-1].shape[0]
        self.net = build(arch, width, classes)
        self.net.load_state_dict(state, strict=True)
        self.net.eval()
        self.classes = classes
        self.counts = {"forward": 0, "backward": 0}

    def __call__(self, x):
        self.counts["forward"] += len(x)
        return self.net(x)[0]

    def features(self, x):
        """(logits, five stages)."""
        self.counts["forward"] += len(x)
        logits, _, stages = self.net(x)
        return logits, stages

    def to_stage(self, x, k):
        """Stage k from 0, and nothing behind it."""
        self.counts["forward"] += len(x)
        net = self.net
        x = net.pool(F.relu(net.bn1(net.conv1(x))))
        for layer in range(1, k + 1):
            x = getattr(net, f"layer{layer}")(x)
        return x

    def backward(self, loss, images):
        self.counts["backward"] += images
        loss.backward()


def signs(gradient):
    """−1 and 1; 1 where the gradient is 0."""
    return (torch.ge(gradient, 0).float() - 0.5) * 2


def msp(net, x, options):
    with torch.no_grad():
        return torch.softmax(net(x), 1).amax(1)


def energy(net, x, options):
    with torch.no_grad():
        return torch.logsumexp(net(x), 1)


def odin(net, x, options):
    x = x.requires_grad_(True)
    z = net(x)
    net.backward(F.cross_entropy(z / options.temperature, z.detach().argmax(1)), len(x))
    z = net(x.detach() - options.epsilon * signs(x.grad)).detach()
    return torch.softmax(z / options.temperature, 1).amax(1)


def gradnorm(net, x, options):
    x = x.requires_grad_(True)
    net.net.zero_grad()
    z = net(x)
    net.backward(torch.mean(torch.sum(-torch.log_softmax(z, 1), 1)), len(x))
    return last_layer(net.net).weight.grad.abs().sum().view(1)


def without_largest(stage):
    n, c, h, w = stage.shape
    matrices = stage.reshape(n, c, h * w)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    return (matrices - s[:, 0:1].unsqueeze(2) * u[:, :, 0:1].bmm(vh[:, 0:1, :])).view(n, c, h, w)


def rankfeat(net, x, options):
    a = head(net.net, without_largest(net.to_stage(x, 4)))
    b = head(net.net, goes_on(net.net)(without_largest(net.to_stage(x, 3))))
    return torch.logsumexp((a + b) / 2, 1).detach()


class Mahalanobis:
    def __init__(self, net, train, options):
        """Statistics from one pass over the training set; covariances in float64, used in float32."""
        by_class, stages = {}, []
        with torch.no_grad():
            for x, labels in loader(train, options.batch_size, options):
                pooled = [stage.flatten(2).mean(2) for stage in net.features(x)[1]]
                for i, label in enumerate(labels.tolist()):
                    by_class.setdefault(label, []).append([stage[i] for stage in pooled])
        # The classes that the training set has: each of the public code's loops is as long as that.
        classes = sorted(by_class)
        for k in range(5):
            rows = [torch.stack([image[k] for image in by_class[c]]).double() for c in classes]
            means = [one.mean(0) for one in rows]
            centred = torch.cat([one - mean for one, mean in zip(rows, means)])
            precision = EmpiricalCovariance(assume_centered=False).fit(centred.numpy()).precision_
            stages.append((torch.stack(means).float(), torch.from_numpy(precision).float()))
        self.stages = stages

    @staticmethod
    def class_scores(f, means, precision):
        """−½ d² to each class, [N, K], one class after the other, each as the diagonal of an [N, N] product."""
        columns = []
        for mean in means:
            away = f - mean
            columns.append((-0.5 * torch.mm(torch.mm(away, precision), away.t()).diag()).view(-1, 1))
        return torch.cat(columns, 1)

    def scores(self, net, x, magnitude):
        """[N, 5]."""
        columns = []
        for k, (means, precision) in enumerate(self.stages):
            data = x.detach().clone().requires_grad_(True)
            f = net.to_stage(data, k).flatten(2).mean(2)
            closest = self.class_scores(f.detach(), means, precision).argmax(1)
            away = f - means.index_select(0, closest)
            own = -0.5 * torch.mm(torch.mm(away, precision), away.t()).diag()
            net.backward(torch.mean(-own), len(x))
            moved = data.detach() - magnitude * signs(data.grad)
            f = net.to_stage(moved, k).flatten(2).mean(2).detach()
            columns.append(self.class_scores(f, means, precision).amax(1, keepdim=True))
        return torch.cat(columns, 1)


def pooled_features(net, dataset, options):
    """[N, D], each divided by its norm + 1e-10."""
    found = []
    with torch.no_grad():
        for x, _ in loader(dataset, options.batch_size, options):
            found.append(net.features(x)[1][-1].mean((2, 3)))
    f = torch.cat(found).numpy()
    return np.ascontiguousarray(f / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-10))


def loader(dataset, batch, options):
    return DataLoader(dataset, batch_size=batch, shuffle=False, num_workers=options.workers)


class Bench:
    """Runs phases, and keeps what each took."""

    def __init__(self, net, sets, train, options):
        self.net, self.sets, self.train, self.options = net, sets, train, options
        self.detectors = {}

    def phase(self, detector, name, images, work):
        start, before = time.perf_counter(), dict(self.net.counts)
        found = work()
        seconds = time.perf_counter() - start
        passes = {kind: (self.net.counts[kind] - before[kind]) / images for kind in before}
        entry = self.detectors.setdefault(detector, {"seconds": 0.0, "phases": {}})
        entry["seconds"] = round(entry["seconds"] + seconds, 4)
        entry["phases"][name] = {"seconds": round(seconds, 4), "images": images, "passes": passes}
        print(f"{detector} {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
        return found

    def over(self, dataset, score, batch=None):
        def work():
            batches = loader(dataset, batch or self.options.batch_size, self.options)
            return torch.cat([score(x).detach() for x, _ in batches]).numpy()

        return work

    def keep(self, detector, name, scores):
        if self.options.scores:
            folder = self.options.scores / detector / self.options.member
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{name}.npy", scores.astype(np.float32))

    def plain(self, detector, score, batch=None):
        for name, dataset in self.sets.items():
            work = self.over(dataset, lambda x: score(self.net, x, self.options), batch)
            self.keep(detector, name, self.phase(detector, name, len(dataset), work))

    def mahalanobis(self):
        found = None
        for magnitude in dict.fromkeys((0.0, self.options.magnitude)):
            detector = f"mahalanobis-{magnitude:g}"
            if found is None:
                found = self.phase(detector, "train", len(self.train), lambda: Mahalanobis(self.net, self.train, self.options))
            for name, dataset in self.sets.items():
                work = self.over(dataset, lambda x: found.scores(self.net, x, magnitude))
                scores = self.phase(detector, name, len(dataset), work)
                self.keep(detector, name, scores)
                if self.options.regression:
                    fitted = json.loads(self.options.regression.read_text())
                    z = scores.astype(float) @ np.array(fitted["coefficients"]) + fitted["intercept"]
                    self.keep(f"{detector}-score", name, -1 / (1 + np.exp(-z)))

    def knn(self):
        import faiss

        faiss.omp_set_num_threads(self.options.threads)
        features = lambda dataset: lambda: pooled_features(self.net, dataset, self.options)
        bank = self.phase("knn", "train", len(self.train), features(self.train))
        index = faiss.IndexFlatL2(bank.shape[1])
        self.phase("knn", "index", len(self.train), lambda: index.add(bank))
        for name, dataset in self.sets.items():
            queries = self.phase("knn", name, len(dataset), features(dataset))
            search = lambda: -index.search(queries, self.options.k)[0][:, -1]
            self.keep("knn", name, self.phase("knn", f"{name}, search", len(dataset), search))


DETECTORS = {
    "msp": lambda bench: bench.plain("msp", msp),
    "energy": lambda bench: bench.plain("energy", energy),
    "odin": lambda bench: bench.plain("odin", odin),
    "gradnorm": lambda bench: bench.plain("gradnorm", gradnorm, 1),
    "rankfeat": lambda bench: bench.plain("rankfeat", rankfeat),
    "mahalanobis": Bench.mahalanobis,
    "knn": Bench.knn,
}


def named(argument):
    name, equals, path = argument.partition("=")
    return (name, path) if equals else (pathlib.Path(argument).name, argument)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--arch", default="resnet50", choices=[name for name in NETWORKS if name.startswith("resnet")])
    parser.add_argument("--width", type=int)
    parser.add_argument("--in", dest="inside", required=True, type=named)
    parser.add_argument("--out", nargs="+", action="extend", default=[], type=named)
    parser.add_argument("--train", required=True)
    parser.add_argument("--limit", type=int, help="images of the training set, spread evenly over it")
    parser.add_argument("--images", type=int, help="images of each evaluated set, the first ones")
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument("--magnitude", type=float, default=0.0014)
    parser.add_argument("--epsilon", type=float, default=0.0)
    parser.add_argument("--temperature", type=float, default=1000.0)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--scores", type=pathlib.Path)
    parser.add_argument("--member", default="reference")
    parser.add_argument("--regression", type=pathlib.Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net = Network(options.arch, options.width, options.checkpoint)
    steps = steps_of("eval")
    sets = {}
    for name, path in [options.inside, *options.out]:
        dataset = Folder(path, steps)
        sets[name] = Subset(dataset, range(min(len(dataset), options.images or len(dataset))))
    train = spread(Folder(options.train, steps), options.limit)
    if options.k > len(train) and "knn" in options.detectors:
        parser.error(f"--k {options.k}: expected at most {len(train)}, the images of the training set")
    bench = Bench(net, sets, train, options)
    # What a first pass sets up belongs to no detector.
    with torch.no_grad():
        net.net(torch.zeros(2, 3, 224, 224))
    start = time.perf_counter()
    for name in options.detectors:
        DETECTORS[name](bench)
    result = {
        "seconds": round(time.perf_counter() - start, 4),
        "detectors": bench.detectors,
        "images": {name: len(dataset) for name, dataset in sets.items()} | {"train": len(train)},
        "settings": {
            key: getattr(options, key)
            for key in ("arch", "batch_size", "threads", "workers", "magnitude", "epsilon", "temperature", "k")
        },
        "classes": net.classes,
        "torch": torch.__version__,
        "pillow": Image.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
