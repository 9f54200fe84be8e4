"""Makes test/fixtures/networks/NAME.json for every architecture of the registry from Python PyTorch: names, shapes and
hashes of the initial weights of a seed, and samples of what the network makes of two synthetic images.

Run with a Python that has torch: python3 test/parity/make_network_fixtures.py [--only NAME …] [--output DIR]"""

import argparse
import functools
import hashlib
import json
import pathlib

import torch
import torch.nn.functional as F

from synthetic import images, labels, set_norms
from torch_networks import NETWORKS, build

SEED = 2400
IMAGES = 2
SAMPLES = 48


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def numbers(tensor):
    """Eight digits: short, and far closer than the bounds of the tests."""
    return [float(f"{value:.8g}") for value in tensor.double().flatten().tolist()]


def summary(tensor):
    """Largest magnitude, L2 norm and a sample of the row-major elements: all, or one from each of SAMPLES equal stretches,
    at a place that varies. As summarise() in test/helpers/networks.ts."""
    flat = tensor.detach().contiguous().flatten()
    step = len(flat) // SAMPLES
    if len(flat) > SAMPLES:
        sample = flat[[k * len(flat) // SAMPLES + k * 7919 % step for k in range(SAMPLES)]]
    else:
        sample = flat
    wide = flat.double()
    max_, norm = numbers(torch.stack([wide.abs().max(), wide.norm()]))
    return {"shape": list(tensor.shape), "max": max_, "norm": norm, "sample": numbers(sample)}


def layout(state):
    """One line a tensor, in the order of the state_dict, as in layoutOf() in test/helpers/networks.ts."""
    return [f"{name} {','.join(map(str, tensor.shape))}" for name, tensor in state.items()]


def run(net, size, classes):
    """Logits, penultimate, stages and the input's gradient, in evaluation mode with the norms of set_norms()."""
    set_norms(net)
    net.eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    return run_as(net, size, classes, torch.float32)


def run_as(net, size, classes, dtype):
    x = images(IMAGES, size).to(dtype).requires_grad_(True)
    logits, penultimate, stages = net(x)
    F.cross_entropy(logits, labels(IMAGES, classes)).backward()
    tensors = {"logits": logits, "penultimate": penultimate}
    tensors |= {f"stage{k}": stage for k, stage in enumerate(stages, 1)}
    return tensors | {"input_gradient": x.grad}


def outputs(net, size, classes):
    """The gradient is that of float64, with the relative L2 error of Python's float32: in a deep network some of millions of
    ReLUs lie so near to 0 that rounding decides on which side, and the gradient is never closer than that."""
    tensors = run(net, size, classes)
    out = {key: summary(tensor) for key, tensor in tensors.items()}
    exact = run_as(net.double(), size, classes, torch.float64)["input_gradient"]
    roundoff = (tensors["input_gradient"] - exact).norm() / exact.norm()
    out["input_gradient"] = summary(exact) | {"roundoff": float(f"{roundoff:.2g}")}
    return out


def reduced_width(entry):
    """About an eighth. As in test/helpers/networks.ts."""
    return max(1, entry.width // 8 // entry.step) * entry.step


def fixture(name):
    entry = NETWORKS[name]
    classes = 20 if entry.size > 32 else 10
    torch.manual_seed(SEED)
    net = build(name, classes=classes)
    state = net.state_dict()
    lines = layout(state)
    out = {
        "arch": name,
        "width": entry.width,
        "classes": classes,
        "dropout": entry.dropout,
        "size": entry.size,
        "seed": SEED,
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "tensors": len(lines),
        "layout": sha256("\n".join(lines).encode()),
        "first": lines[:3],
        "last": lines[-3:],
        # Eight hexadecimal digits a tensor.
        "weights": "".join(sha256(t.numpy().tobytes())[:8] for t in state.values()),
        "loose": {key: summary(state[key]) for key in entry.loose},
    }
    out["outputs"] = outputs(net, entry.size, classes)
    width = reduced_width(entry)
    torch.manual_seed(SEED)
    net = build(name, width=width, classes=7)
    out["reduced"] = {
        "width": width,
        "classes": 7,
        "layout": sha256("\n".join(layout(net.state_dict())).encode()),
        "logits": numbers(run(net, entry.size, 7)["logits"].detach()),
    }
    return out


def text(value):
    """JSON with a line for each key of the first two levels."""
    dump = functools.partial(json.dumps, separators=(",", ":"), allow_nan=False)
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            inner = ",\n".join(f"  {dump(k)}: {dump(v)}" for k, v in item.items())
            lines.append(f" {dump(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {dump(key)}: {dump(item)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NETWORKS, metavar="NAME")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    folder = options.output or pathlib.Path(__file__).parent.parent / "fixtures" / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only or NETWORKS:
        path = folder / f"{name}.json"
        path.write_text(text(fixture(name)))
        print(path, flush=True)
    if options.only is None:
        for path in folder.glob("*.json"):
            if path.stem not in NETWORKS:
                path.unlink()


if __name__ == "__main__":
    main()
