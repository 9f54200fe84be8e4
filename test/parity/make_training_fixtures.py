"""Makes test/fixtures/training.json from Python PyTorch: for a few small networks the logits and pooled stages of four
synthetic images as a data set gives them, and the losses, learning rates and running statistics of a few SGD steps. Run
with a Python that has torch: python3 test/parity/make_training_fixtures.py"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

from synthetic import labels, pixels
from torch_networks import build
from torch_networks.wide import WideResNet

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)
EPOCHS = 5


def nine(tensor):
    """Nine digits hold a float32."""
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def case(arch, seed, width, make):
    torch.manual_seed(seed)
    net = make(width).eval()
    x, y = (pixels(64).float() / 255 - MEAN) / STD, labels(64, 10)
    with torch.no_grad():
        logits, _, stages = net(x[:4])
    out = {
        "arch": arch,
        "seed": seed,
        "width": width,
        "logits": nine(logits),
        "stages": [nine(s.mean((2, 3))) for s in stages],
        "losses": [],
        "rates": [],
    }
    # One batch holds all images, so that the order in which a loader draws them does not matter.
    net.train()
    sgd = torch.optim.SGD(net.parameters(), 0.02, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, EPOCHS)
    for _ in range(EPOCHS):
        loss = F.cross_entropy(net(x)[0], y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        out["losses"].append(loss.item())
        out["rates"].append(sgd.param_groups[0]["lr"])
        schedule.step()
    # Of the outermost batch norm: the momentum with which it follows the batches shows here alone.
    state = net.state_dict()
    out["statistics"] = {name: nine(state[name]) for name in ("bn1.running_mean", "bn1.running_var")}
    return out


def recipe(settings, make_optimizer, make_schedule, smoothing, epochs):
    """Losses and rates of a ResNet-18 of width 8; the optimizer gets parameters with weight decay and those without."""
    torch.manual_seed(3)
    net = build("cifar-resnet18", 8, 10).train()
    x, y = (pixels(64).float() / 255 - MEAN) / STD, labels(64, 10)
    groups = [[p for p in net.parameters() if p.dim() > 1], [p for p in net.parameters() if p.dim() <= 1]]
    optimizer = make_optimizer(*groups)
    schedule = make_schedule(optimizer)
    out = {"settings": settings | {"epochs": epochs}, "losses": [], "rates": []}
    for _ in range(epochs):
        loss = F.cross_entropy(net(x)[0], y, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out["losses"].append(loss.item())
        out["rates"].append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return out


def recipes():
    lr = torch.optim.lr_scheduler
    # A large epsilon: with the usual one, gradients that are rounding errors alone move weights by a whole learning rate.
    adamw = recipe(
        {"optimizer": "adamw", "learningRate": 0.002, "weightDecay": 0.05, "decayOn": "matrices", "beta2": 0.99,
         "epsilon": 1e-3, "schedule": "step", "stepEpochs": 2, "stepFactor": 0.5, "labelSmoothing": 0.1},
        lambda with_decay, without: torch.optim.AdamW(
            [{"params": with_decay, "weight_decay": 0.05}, {"params": without, "weight_decay": 0.0}],
            0.002, betas=(0.9, 0.99), eps=1e-3),
        lambda optimizer: lr.StepLR(optimizer, 2, 0.5), 0.1, 5)

    # timm's warm-up: the cosine of all epochs but the last, and a line in place of its first two.
    def rate(epoch):
        cosine = 0.001 + 0.5 * (0.02 - 0.001) * (1 + math.cos(math.pi * epoch / 4))
        return (0.005 + epoch * (0.02 - 0.005) / 2 if epoch < 2 else 0.001 if epoch >= 4 else cosine) / 0.02

    sgd = recipe(
        {"learningRate": 0.02, "weightDecay": 5e-4, "decayOn": "matrices", "nesterov": True, "schedule": "cosine",
         "minRate": 0.001, "cooldownEpochs": 1, "warmupEpochs": 2, "warmupRate": 0.005},
        lambda with_decay, without: torch.optim.SGD(
            [{"params": with_decay, "weight_decay": 5e-4}, {"params": without, "weight_decay": 0.0}],
            0.02, momentum=0.9, nesterov=True),
        lambda optimizer: lr.LambdaLR(optimizer, rate), 0.0, 5)
    return [adamw, sgd]


if __name__ == "__main__":
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "training.json"
    cases = [
        case("cifar-resnet18", 1000, 16, lambda width: build("cifar-resnet18", width)),
        # The largest seed of 32 bits.
        case("cifar-resnet18", 4294967295, 8, lambda width: build("cifar-resnet18", width)),
        case("wrn-10-1", 7, 16, lambda width: WideResNet(10, 1, width, 10, dropout=0)),
        case("cifar-densenet-bc-100", 7, 8, lambda width: build("cifar-densenet-bc-100", width)),
    ]
    path.write_text(json.dumps({"torch": torch.__version__, "cases": cases, "recipes": recipes()}) + "\n")
    print(path)
