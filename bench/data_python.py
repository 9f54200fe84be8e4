"""The input pipeline as Python has it, for `npm run bench:data`: Pillow's decoding and torchvision's transforms, through
torch.utils.data.DataLoader.

    python3 bench/data_python.py --mode eval|train|cifar [--workers 0 1 2] [--batch 64] [--repeat 3] [--stages]
                                 [--files LIST] [FOLDER-OR-FILE ...]

LIST names one image a line; of a folder all files below are taken, in the order of their paths. For `cifar` they are
CIFAR-10's binary files, held in memory as torchvision.datasets.CIFAR10 holds them. Prints one line of JSON a measurement:
one epoch that takes all images `repeat` times, with files in the cache and workers that run already. With `--stages` also
the seconds that one process spends in each step.

torchvision's own transforms where it can be imported, else the same steps on the same calls of Pillow and torch. Its
compiled part is not needed: ToTensor, Normalize, Resize and the crops of Pillow images are plain Python.
"""

import argparse
import json
import math
import os
import sys
import time

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, Sampler

try:
    from torchvision.transforms import transforms as torchvision_transforms
except Exception:  # noqa: BLE001  a torchvision that does not fit this torch raises RuntimeError
    torchvision_transforms = None

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
BILINEAR = Image.Resampling.BILINEAR


class Resize:
    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        width, height = image.size
        short, long = min(width, height), max(width, height)
        if short == self.size:
            return image
        other = int(self.size * long / short)
        return image.resize((self.size, other) if width <= height else (other, self.size), BILINEAR)


class CenterCrop:
    def __init__(self, size):
        self.size = size

    def __call__(self, image):
        left, top = round((image.width - self.size) / 2), round((image.height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))


class RandomResizedCrop:
    def __init__(self, size):
        self.size = size

    def box(self, width, height):
        log_ratio = torch.log(torch.tensor((3 / 4, 4 / 3)))
        for _ in range(10):
            area = width * height * torch.empty(1).uniform_(0.08, 1.0).item()
            ratio = torch.exp(torch.empty(1).uniform_(log_ratio[0], log_ratio[1])).item()
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = torch.randint(0, height - h + 1, size=(1,)).item()
                left = torch.randint(0, width - w + 1, size=(1,)).item()
                return left, top, left + w, top + h
        w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h

    def __call__(self, image):
        return image.crop(self.box(*image.size)).resize((self.size, self.size), BILINEAR)


class RandomCrop:
    def __init__(self, size, padding):
        self.size, self.padding = size, padding

    def __call__(self, image):
        image = ImageOps.expand(image, border=self.padding, fill=0)
        top = torch.randint(0, image.height - self.size + 1, size=(1,)).item()
        left = torch.randint(0, image.width - self.size + 1, size=(1,)).item()
        return image.crop((left, top, left + self.size, top + self.size))


class RandomHorizontalFlip:
    def __call__(self, image):
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


class ToTensor:
    def __call__(self, image):
        array = torch.from_numpy(np.array(image, np.uint8, copy=True))
        return array.permute((2, 0, 1)).contiguous().to(dtype=torch.get_default_dtype()).div(255)


class Normalize:
    def __init__(self, mean, std):
        self.mean, self.std = mean, std

    def __call__(self, tensor):
        tensor = tensor.clone()
        mean, std = torch.as_tensor(self.mean, dtype=tensor.dtype), torch.as_tensor(self.std, dtype=tensor.dtype)
        return tensor.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def steps_of(mode):
    """The transform as a list, of torchvision's classes or of ours."""
    t = torchvision_transforms or sys.modules[__name__]
    table = {
        "eval": lambda: [t.Resize(256), t.CenterCrop(224), t.ToTensor(), t.Normalize(*IMAGENET)],
        "train": lambda: [t.RandomResizedCrop(224), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(*IMAGENET)],
        "cifar": lambda: [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(), t.ToTensor(), t.Normalize(*CIFAR)],
    }
    return table[mode]()


class Images(Dataset):
    """As torchvision.datasets.ImageFolder with its default loader."""

    def __init__(self, paths, steps):
        self.paths, self.steps = paths, steps

    def __len__(self):
        return len(self.paths)

    def load(self, index):
        with open(self.paths[index], "rb") as file:
            return Image.open(file).convert("RGB")

    def __getitem__(self, index):
        image = self.load(index)
        for step in self.steps:
            image = step(image)
        return image, 0


class Records(Images):
    """As torchvision.datasets.CIFAR10: one array [N, 32, 32, 3], an image made of a row when it is asked for."""

    def __init__(self, paths, steps):
        rows = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 3073) for path in paths])
        pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        super().__init__(np.ascontiguousarray(pixels), steps)

    def load(self, index):
        return Image.fromarray(self.paths[index])


class Order(Sampler):
    """What an epoch takes: some images to start the workers, then all of them, `repeat` times in one epoch, so that its
    beginning and end, when workers idle, weigh little."""

    def __init__(self, count, shuffle):
        self.count, self.shuffle, self.images = count, shuffle, count

    def __len__(self):
        return self.images

    def __iter__(self):
        passes = -(-self.images // self.count)
        order = torch.cat([torch.randperm(self.count) if self.shuffle else torch.arange(self.count) for _ in range(passes)])
        return iter(order[: self.images].tolist())


def epoch(loader):
    """Seconds and images."""
    start, images = time.perf_counter(), 0
    for batch, _ in loader:
        images += len(batch)
    return time.perf_counter() - start, images


def measure(dataset, workers, batch, repeat, shuffle):
    order = Order(len(dataset), shuffle)
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=one_thread,
    )
    order.images = min(len(dataset), 2 * batch * max(1, workers))
    epoch(loader)
    order.images = repeat * len(dataset)
    return epoch(loader)


def one_thread(_=0):
    torch.set_num_threads(1)


def stages(dataset):
    """Seconds of each step over all images, in this process."""
    spent = {}

    def timed(name, call):
        start = time.perf_counter()
        result = call()
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
        return result

    for index in range(len(dataset)):
        image = timed("load", lambda: dataset.load(index))
        for step in dataset.steps:
            image = timed(type(step).__name__, lambda: step(image))
    return {name: round(seconds, 4) for name, seconds in spent.items()}


def listed(arguments):
    paths = []
    if arguments.files:
        with open(arguments.files) as file:
            paths += file.read().splitlines()
    for given in arguments.paths:
        if os.path.isfile(given):
            paths.append(given)
        paths += sorted(os.path.join(at, name) for at, _, names in os.walk(given) for name in names)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["eval", "train", "cifar"], required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--files")
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("paths", nargs="*")
    arguments = parser.parse_args()
    mode = arguments.mode

    one_thread()
    paths = listed(arguments)
    for path in paths:
        with open(path, "rb") as file:
            file.read()
    dataset = (Records if mode == "cifar" else Images)(paths, steps_of(mode))
    versions = {
        "pillow": Image.__version__,
        "torch": torch.__version__,
        "transforms": "torchvision" if torchvision_transforms else "own",
    }
    for workers in arguments.workers:
        seconds, images = measure(dataset, workers, arguments.batch, arguments.repeat, mode != "eval")
        speed = {"seconds": round(seconds, 4), "imagesPerSecond": round(images / seconds, 1)}
        print(json.dumps({"mode": mode, "workers": workers, "images": images, **speed, **versions}), flush=True)
    if arguments.stages:
        print(json.dumps({"mode": mode, "stages": stages(dataset), **versions}), flush=True)


if __name__ == "__main__":
    main()
