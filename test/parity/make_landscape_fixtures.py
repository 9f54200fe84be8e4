"""Makes test/fixtures/landscape.json from Python PyTorch: a loss surface along two random directions under four label rules, losses
between two networks with statistics estimated anew, and a few steps of training a curve between them. Run with a Python that has
torch: python3 test/parity/make_landscape_fixtures.py

Directions, random labels, orders and places on the curve come from the project's streams (native/runtime/random.h), written here
anew; losses are computed in float64."""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

from make_trajectory_fixtures import MASK, mix, order
from make_training_fixtures import MEAN, STD, nine
from synthetic import labels, pixels, set_norms
from torch_networks import build

WIDTH, CLASSES, GRID, RANGE, SEED = 4, 10, 5, 1.0, 5
TEST, TRAIN, BATCH = 48, 96, 32
RATE, MOMENTUM, DECAY = 0.001, 0.9, 0.1
SAMPLE = 24


class Stream:
    def __init__(self, seed, name, a=0, b=0):
        text = 0xCBF29CE484222325
        for byte in name.encode():
            text = (text ^ byte) * 0x100000001B3 & MASK
        self.state = seed
        for word in (text, a, b):
            self.state = mix(self.state ^ mix(word + 0x9E3779B97F4A7C15 & MASK))

    def next(self):
        self.state = self.state + 0x9E3779B97F4A7C15 & MASK
        return mix(self.state)

    def uniform(self):
        return ((self.next() >> 11) + 0.5) * 2.0**-53

    def below(self, n):
        return (self.next() >> 32) * n >> 32


def network(seed):
    torch.manual_seed(seed)
    net = build("cifar-resnet18", WIDTH, CLASSES)
    with torch.no_grad():
        set_norms(net)
        # Fresh logits are all but equal. A power of two is exact.
        net.linear.weight.mul_(16)
    return net.double().eval()


def normal(shape, stream):
    count = math.prod(shape)
    values = []
    while len(values) < count:
        radius = math.sqrt(-2 * math.log(stream.uniform()))
        angle = 2 * math.pi * stream.uniform()
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return torch.tensor(values[:count]).float().double().view(shape)


def direction(net, number):
    """By filter as in Li et al.; zero for tensors of one dimension."""
    out = {}
    trained = dict(net.named_parameters())
    for i, (name, tensor) in enumerate(net.state_dict().items()):
        if name not in trained or tensor.dim() < 2:
            continue
        drawn = normal(tensor.shape, Stream(SEED, "landscape-direction", number, i))
        for d, w in zip(drawn, tensor):
            d.mul_(w.norm() / (d.norm() + 1e-10))
        out[name] = drawn.float().double()
    return out


def prepared(count):
    return ((pixels(count).float() / 255 - MEAN) / STD).double(), labels(count, CLASSES)


def loss_of(logits, rule, own, predicted, drawn):
    if rule == "uniform":
        return -F.log_softmax(logits, 1).mean(1).mean()
    return F.cross_entropy(logits, {"own": own, "prediction": predicted, "random": drawn}[rule])


def surface():
    net = network(3)
    x, own = prepared(TEST)
    base = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    ways = [direction(net, 1), direction(net, 2)]
    predicted = net(x)[0].argmax(1)
    rules = ["own", "prediction", "random", "uniform"]
    drawn = {
        s: torch.tensor([Stream(SEED, "landscape-labels", s, i).below(CLASSES) for i in range(TEST)]) for s in range(len(rules))
    }
    places = [RANGE * (2 * i - (GRID - 1)) / (GRID - 1) for i in range(GRID)]
    losses = []
    for beta in places:
        for alpha in places:
            moved = {n: t + alpha * ways[0][n] + beta * ways[1][n] if n in ways[0] else t for n, t in base.items()}
            logits = torch.func.functional_call(net, moved, (x,))[0]
            losses.append(nine(torch.stack([loss_of(logits, r, own, predicted, drawn[s]) for s, r in enumerate(rules)])))
    sample = {name: nine(ways[0][name].flatten()[:SAMPLE]) for name in list(ways[0])[:3]}
    return {"rules": rules, "losses": losses, "direction1": sample}


def estimate(net):
    """As update_bn of Garipov et al.: the mean over batches, weighted by images, of what they are in training mode."""
    x, _ = prepared(TRAIN)
    places = order(SEED, 0, TRAIN)
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    net.train()
    seen = 0
    for start in range(0, TRAIN, BATCH):
        batch = x[places[start : start + BATCH]]
        seen += len(batch)
        for norm in norms:
            norm.momentum = len(batch) / seen
        net(batch)
    net.eval()


def between():
    ends = [network(3), network(4)]
    x, own = prepared(TEST)
    losses = []
    for t in (0, 0.25, 0.5, 1):
        net = network(3)
        net.load_state_dict({n: ((1 - t) * a + t * b if a.is_floating_point() else a) for (n, a), b in zip(ends[0].state_dict().items(), ends[1].state_dict().values())})
        estimate(net)
        losses.append(float(f"{F.cross_entropy(net(x)[0], own).item():.9g}"))
    return losses


def curve(kind):
    """Three steps of SGD on the bend."""
    first, second = network(3), network(4)
    net = network(3).train()
    x, own = prepared(TRAIN)
    names = [name for name, _ in net.named_parameters()]
    a, b = ({n: p.detach() for n, p in end.named_parameters()} for end in (first, second))
    bend = {n: ((a[n] + b[n]) / 2).clone() for n in names}
    before = {n: bend[n].clone() for n in names}
    speed = {n: torch.zeros_like(bend[n]) for n in names}
    places = order(SEED, 0, TRAIN)
    losses = []
    for step, start in enumerate(range(0, TRAIN, BATCH)):
        t = (Stream(SEED, "curve", step).next() >> 11) * 2.0**-53
        if kind == "bezier":
            c = [(1 - t) ** 2, 2 * t * (1 - t), t * t]
        else:
            c = [max(0, 1 - 2 * t), 1 - abs(1 - 2 * t), max(0, 2 * t - 1)]
        moving = {n: bend[n].clone().requires_grad_(True) for n in names}
        at = {n: c[0] * a[n] + c[1] * moving[n] + c[2] * b[n] for n in names}
        batch = places[start : start + BATCH]
        loss = F.cross_entropy(torch.func.functional_call(net, at, (x[batch],))[0], own[batch])
        whole = loss + DECAY / 2 * sum((at[n] ** 2).sum() for n in names)
        whole.backward()
        for n in names:
            speed[n] = MOMENTUM * speed[n] + moving[n].grad
            bend[n] = bend[n] - RATE * speed[n]
        losses.append(loss.item())
    names = [names[0], names[len(names) // 2], names[-2], names[-1]]
    moved = {n: nine((bend[n] - before[n]).flatten()[:SAMPLE]) for n in names}
    return {"loss": sum(losses) / len(losses), "moved": moved, "before": {n: nine(before[n].flatten()[:SAMPLE]) for n in names}}


if __name__ == "__main__":
    torch.set_num_threads(2)
    settings = {"width": WIDTH, "classes": CLASSES, "grid": GRID, "range": RANGE, "seed": SEED, "test": TEST, "train": TRAIN}
    settings |= {"batchSize": BATCH, "learningRate": RATE, "momentum": MOMENTUM, "weightDecay": DECAY, "torch": torch.__version__}
    with torch.no_grad():
        out = settings | {"surface": surface(), "between": between()}
    out["curves"] = {kind: curve(kind) for kind in ("bezier", "chain")}
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "landscape.json"
    path.write_text(json.dumps(out) + "\n")
    print(path, path.stat().st_size)
