"""Writes test/fixtures/boxes.json: how the boxes of torchvision's RandomResizedCrop are distributed, and what a comparison
of 20,000 draws with it finds in a right implementation and in wrong ones.

    python3 test/parity/make_box_fixtures.py

Needs torch, torchvision and numpy. Takes some minutes. A distribution is a list of pairs (value, share of the boxes at
most as large); the statistic is the largest difference of the shares, over all cases and quantities.
"""

import json
import math
import pathlib

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.transforms import RandomResizedCrop

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
SIZES = [(500, 375), (375, 500), (224, 224), (1000, 40), (40, 1000), (32, 32), (2, 3)]
# The usual one, and one whose ratios are not symmetric, with which some of ten tries fail on thin images.
SETTINGS = [{"scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}, {"scale": (0.02, 0.5), "ratio": (0.6, 2.5)}]
REFERENCE, DRAWS, POINTS = 100_000, 20_000, 40
BOUND = 0.02


def drawn_by_torchvision(width, height, scale, ratio, count):
    image = Image.new("L", (width, height))
    rows = (RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(count))
    return np.array([(left, top, w, h) for top, left, h, w in rows])


def fallback_box(width, height, ratio):
    """The central box where ten tries fail: as large as the ratio allows."""
    w = round(height * ratio[1]) if width / height > ratio[1] else width
    h = round(width / ratio[0]) if width / height < ratio[0] else height
    return [(width - w) // 2, (height - h) // 2, w, h]


def draw(random, width, height, scale, ratio, count, wrong=""):
    """The rule in our own words, and with one fault."""
    boxes = np.tile(fallback_box(width, height, ratio), (count, 1))
    if wrong == "fallback is the whole image":
        boxes[:] = [0, 0, width, height]
    if wrong == "fallback in the corner":
        boxes[:, :2] = 0
    open_ = np.arange(count)
    for _ in range({"one try": 1, "five tries": 5}.get(wrong, 10)):
        n = len(open_)
        area = random.uniform(*scale, n) * width * height
        if wrong == "scale of sides":
            area = random.uniform(*scale, n) ** 2 * width * height
        if wrong == "scale of sides, uniform":
            area = random.uniform(math.sqrt(scale[0]), math.sqrt(scale[1]), n) ** 2 * width * height
        aspect = np.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1]), n))
        if wrong == "ratio uniform":
            aspect = random.uniform(*ratio, n)
        if wrong == "ratio of height to width":
            aspect = 1 / aspect
        if wrong == "ratio of the image":
            aspect = aspect * width / height
        whole = np.floor if wrong == "rounded down" else np.ceil if wrong == "rounded up" else np.rint
        w, h = whole(np.sqrt(area * aspect)).astype(int), whole(np.sqrt(area / aspect)).astype(int)
        if wrong == "clamped instead of tried again":
            w, h = np.clip(w, 1, width), np.clip(h, 1, height)
        fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
        last = 0 if wrong == "never at the end" else 1
        w, h, at = w[fits], h[fits], open_[fits]
        left = random.integers(0, np.maximum(width - w + last, 1))
        top = random.integers(0, np.maximum(height - h + last, 1))
        if wrong == "never at the beginning":
            left, top = width - w - left, height - h - top
            left, top = np.maximum(left, np.minimum(1, width - w)), np.maximum(top, np.minimum(1, height - h))
        if wrong == "in the middle":
            left, top = (width - w) // 2, (height - h) // 2
        boxes[at] = np.stack([left, top, w, h], axis=-1)
        open_ = open_[~fits]
    if wrong == "width and height confused":
        boxes = boxes[:, [1, 0, 3, 2]]
    return boxes


WRONG = [
    "one try",
    "five tries",
    "clamped instead of tried again",
    "fallback is the whole image",
    "fallback in the corner",
    "scale of sides",
    "scale of sides, uniform",
    "ratio uniform",
    "ratio of height to width",
    "ratio of the image",
    "rounded down",
    "rounded up",
    "never at the end",
    "never at the beginning",
    "in the middle",
    "width and height confused",
]


def quantities(boxes, width, height):
    left, top, w, h = boxes.T
    return {
        "left": left,
        "top": top,
        "right": width - w - left,
        "bottom": height - h - top,
        "width": w,
        "height": h,
        "area": w * h,
        "ratio": w / h,
    }


def distribution(values):
    sorted_ = np.sort(values)
    points = np.unique(sorted_)
    if len(points) > POINTS:
        points = np.unique(sorted_[np.arange(POINTS) * len(sorted_) // POINTS])
    shares = np.searchsorted(sorted_, points, side="right") / len(sorted_)
    return [[float(f"{value:.6g}"), round(float(share), 5)] for value, share in zip(points, shares)]


def distance(values, reference):
    """As the test has it."""
    return max(abs(np.mean(values <= value + 1e-5) - share) for value, share in reference)


def farthest(cases, random, wrong=""):
    """The statistic, and where it was found."""
    found = (0.0, "")
    for case in cases:
        width, height = case["width"], case["height"]
        boxes = draw(random, width, height, case["scale"], case["ratio"], DRAWS, wrong)
        for name, values in quantities(boxes, width, height).items():
            found = max(found, (distance(values, case["distribution"][name]), f"{name} of {width} x {height}"))
    return {"statistic": round(float(found[0]), 4), "of": found[1]}


def main():
    torch.manual_seed(1)
    cases = []
    for setting in SETTINGS:
        for width, height in SIZES:
            boxes = drawn_by_torchvision(width, height, **setting, count=REFERENCE)
            central = fallback_box(width, height, setting["ratio"])
            table = {name: distribution(values) for name, values in quantities(boxes, width, height).items()}
            share = round(float(np.mean((boxes == central).all(axis=1))), 5)
            cases.append({"width": width, "height": height, **setting, "central": [*central, share], "distribution": table})
            print(width, height, setting, "central box:", share, flush=True)
    random = np.random.default_rng(2)
    right = max((farthest(cases, random) for _ in range(10)), key=lambda found: found["statistic"])
    wrong = {name: farthest(cases, random, name) for name in WRONG}
    for name, found in {"right, the worst of ten": right, **wrong}.items():
        print(f"{found['statistic']:.4f} {name}: {found['of']}")
    assert right["statistic"] < BOUND < 2 * BOUND < min(found["statistic"] for found in wrong.values())
    head = json.dumps({"draws": DRAWS, "bound": BOUND, "right": right, "wrong": wrong}, indent=2)
    body = ",\n".join(json.dumps(case) for case in cases)
    (FIXTURES / "boxes.json").write_text(f'{head[:-2]},\n  "cases": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
