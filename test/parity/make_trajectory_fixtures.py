"""Makes test/fixtures/trajectory.json from Python PyTorch: the losses of 20 steps of SGD over batches that the loader draws, and
a sample of the weights before and after them; for one process, and for two with DistributedDataParallel over gloo. Run with a
Python that has torch: python3 test/parity/make_trajectory_fixtures.py

Batch norm at random weights makes much of little: at a learning rate of 0.01 PyTorch's own losses in float32 depart from those in
float64 by 2 % within these steps, at 0.0003 by 2e-4, at 0.0001 by 3e-5 (width 64). Hence small rates."""

import json
import math
import os
import pathlib

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from make_training_fixtures import MEAN, STD, nine
from synthetic import labels, scenes
from torch_networks import build

MASK = (1 << 64) - 1
IMAGES, BATCH, EPOCHS, SAMPLE = 640, 64, 2, 32


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def order(seed, epoch, count):
    """The sampler's permutation: Fisher and Yates' with a SplitMix64 of (seed, "shuffle", epoch), as native/runtime/random.h."""
    name = 0xCBF29CE484222325
    for byte in b"shuffle":
        name = (name ^ byte) * 0x100000001B3 & MASK
    state = seed
    for word in (name, epoch, 0):
        state = mix(state ^ mix(word + 0x9E3779B97F4A7C15 & MASK))
    places = list(range(count))
    for i in range(count - 1, 0, -1):
        state = state + 0x9E3779B97F4A7C15 & MASK
        j = mix(state) % (i + 1)
        places[i], places[j] = places[j], places[i]
    return places


def train(settings, rank, ranks):
    """Losses of this rank's batches, and the network."""
    torch.manual_seed(settings["seed"])
    net = build("cifar-resnet18", settings["width"], 10).train()
    x = (scenes(IMAGES, 32, 5, 8, 10).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    y = labels(IMAGES, 10)
    before = sample(net)
    parallel = DistributedDataParallel(net) if ranks > 1 else net
    rate = settings["learningRate"]
    sgd = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=settings["weightDecay"])
    losses = []
    for epoch in range(EPOCHS):
        sgd.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))
        own = order(settings["seed"], epoch, IMAGES)[rank::ranks]
        for start in range(0, len(own), BATCH // ranks):
            batch = own[start : start + BATCH // ranks]
            loss = F.cross_entropy(parallel(x[batch])[0], y[batch])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.detach())
    return torch.stack(losses), {"before": before, "after": sample(net)}


def sample(net):
    """Of each tensor, evenly spread values."""
    found = {}
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            flat = tensor.flatten()
            step = max(1, len(flat) // SAMPLE)
            found[name] = nine(flat[::step][:SAMPLE])
    return found


def one_of_two(rank, settings, path):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29471")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    losses, weights = train(settings, rank, 2)
    dist.all_reduce(losses)
    if rank == 0:
        path.write_text(json.dumps({"losses": nine(losses / 2), "weights": weights}))
    dist.destroy_process_group()


if __name__ == "__main__":
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "trajectory.json"
    one = {"seed": 11, "width": 64, "learningRate": 0.0001, "weightDecay": 1e-4}
    two = {"seed": 12, "width": 16, "learningRate": 0.0003, "weightDecay": 1e-4}
    losses, weights = train(one, 0, 1)
    part = path.with_suffix(".part")
    mp.spawn(one_of_two, (two, part), nprocs=2)
    shared = {"images": IMAGES, "batchSize": BATCH, "epochs": EPOCHS, "sample": SAMPLE, "torch": torch.__version__}
    cases = [
        {"settings": one, "ranks": 1, "losses": nine(losses), "weights": weights},
        {"settings": two, "ranks": 2} | json.loads(part.read_text()),
    ]
    part.unlink()
    path.write_text(json.dumps(shared | {"cases": cases}) + "\n")
    print(path)
