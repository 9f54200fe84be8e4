"""Takes checkpoints to and from Python, for test/parity/exchange.test.ts.

exchange.py load FILE ARCH CLASSES    opens FILE with torch.load(weights_only=True), as a person would, and prints the
                                      logits of two synthetic images as JSON
exchange.py save FOLDER ARCH CLASSES  writes a network with distinct norms in the ways Python people do, and prints
                                      {"logits": …, "files": …}"""

import argparse
import json
import pathlib
from collections import OrderedDict

import torch

from synthetic import images, set_norms
from torch_networks import NETWORKS, build

IMAGES = 2


def logits(net, name):
    net.eval()
    with torch.no_grad():
        return net(images(IMAGES, NETWORKS[name].size))[0].flatten().tolist()


def load(path, name, classes):
    content = torch.load(path, weights_only=True)
    net = build(name, classes=classes)
    net.load_state_dict(content["state_dict"], strict=True)
    return logits(net, name)


def save(folder, name, classes):
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(11)
    net = build(name, classes=classes)
    set_norms(net)
    state = net.state_dict()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    parallel = OrderedDict((f"module.{key}", value) for key, value in state.items())
    # As the ImageNet training script of the PyTorch examples writes it.
    full = {"epoch": 90, "arch": name, "state_dict": parallel, "best_acc1": torch.tensor(76.1), "optimizer": optimizer.state_dict()}
    ways = {
        "bare.pth": (state, {}),
        "checkpoint.pth.tar": (full, {}),
        "legacy.pth": ({"net": state, "acc": 93.5}, {"_use_new_zipfile_serialization": False}),
        "module-list.pth": ({"model": net.state_dict(), "epoch": 3}, {"pickle_protocol": 4}),
    }
    files = []
    for file, (content, options) in ways.items():
        torch.save(content, folder / file, **options)
        files.append(str(folder / file))
    return {"logits": logits(net, name), "files": files}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("load", "save"))
    parser.add_argument("path", type=pathlib.Path)
    parser.add_argument("arch", choices=NETWORKS)
    parser.add_argument("classes", type=int)
    options = parser.parse_args()
    work = {"load": load, "save": save}[options.what]
    print(json.dumps(work(options.path, options.arch, options.classes)))


if __name__ == "__main__":
    main()
