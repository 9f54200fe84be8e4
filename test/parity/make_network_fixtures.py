"""Makes test/fixtures/networks.json from Python PyTorch: for CIFAR ResNet-18 of several widths the SHA-256 of each
initial tensor after torch.manual_seed(S), logits and pooled stages of four synthetic images, and the losses of a few
SGD steps. Run with a Python that has torch: python3 test/parity/make_network_fixtures.py"""

import hashlib
import json
import pathlib

import torch
import torch.nn.functional as F

from torch_resnet import ResNet18

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)


def images(count):
    """The same synthetic records as syntheticRecords() in test/helpers/cifar.ts."""
    pixels = torch.empty(count, 3, 32, 32)
    for i in range(count):
        for c in range(3):
            for y in range(32):
                for x in range(32):
                    pixels[i, c, y, x] = (i * 37 + c * 71 + y * (3 + i % 5) + x * (5 + i % 7) + (x * y) // 3) % 256
    labels = torch.tensor([i % 10 for i in range(count)])
    return (pixels / 255 - MEAN) / STD, labels


def case(seed, width):
    torch.manual_seed(seed)
    net = ResNet18(width, 10)
    tensors = {k: hashlib.sha256(t.numpy().tobytes()).hexdigest() for k, t in net.state_dict().items()}
    x, y = images(64)
    net.eval()
    with torch.no_grad():
        logits, stages = net(x[:4])
    out = {
        "seed": seed,
        "width": width,
        "tensors": tensors,
        "logits": logits.flatten().tolist(),
        "stages": [s.mean((2, 3)).flatten().tolist() for s in stages],
    }
    # One batch holds all images, so that the order in which a loader draws them does not matter.
    epochs, net = 5, net.train()
    sgd = torch.optim.SGD(net.parameters(), 0.02, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs)
    out["losses"], out["rates"] = [], []
    for _ in range(epochs):
        loss = F.cross_entropy(net(x)[0], y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        out["losses"].append(loss.item())
        out["rates"].append(sgd.param_groups[0]["lr"])
        schedule.step()
    return out


if __name__ == "__main__":
    out = pathlib.Path(__file__).parent.parent / "fixtures" / "networks.json"
    cases = [case(1000, 16), case(4294967295, 8)]
    out.write_text(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1) + "\n")
    # The full network: weights alone, its other figures would only make the file large.
    full = case(2400, 64)
    cases.append({k: full[k] for k in ("seed", "width", "tensors")})
    out.write_text(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1) + "\n")
    print(out)
