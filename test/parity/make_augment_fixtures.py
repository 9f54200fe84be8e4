"""Writes test/fixtures/augment.json: the first 8 bytes of the SHA-256 of what Pillow makes of formula-made squares, for each
op of RandAugment and parameters of it.

    python3 test/parity/make_augment_fixtures.py

Needs Pillow and numpy. A case is op, parameter, filter, and a hash for each of the pictures, which the test makes by the
same formulas.
"""

import hashlib
import json
import pathlib

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
# Name, and side in pixels.
PICTURES = [("noise", 32), ("steps", 32), ("narrow", 32), ("flat", 32), ("two", 32), ("noise", 1), ("noise", 2), ("steps", 3), ("rings", 61), ("rings", 224)]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Of ImageNet's mean, as timm rounds it.
OUTSIDE = (124, 116, 104)


def picture(name, side):
    """[side, side, 3], uint8."""
    y, x, c = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    if name == "noise":  # a linear congruential generator (Numerical Recipes' constants)
        state, values = 7, []
        for _ in range(side * side * 3):
            state = (state * 1664525 + 1013904223) % 2**32
            values.append(state >> 24)
        return np.array(values, np.uint8).reshape(side, side, 3)
    formulas = {
        "steps": (x * 8 + y * 5 + c * 60) % 256,
        "narrow": 60 + (x * x + 3 * y * y + 17 * c) % 91,
        "flat": 90 + 40 * c,
        "two": np.where((x + y) % 5 == 0, 200 - 30 * c, 20 + c),
        "rings": (x * x + y * y + x * y * c) // 23 % 256,
    }
    return formulas[name].astype(np.uint8)


def affine(image, matrix, filter):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=FILTERS[filter], fillcolor=OUTSIDE)


def solarize_add(image, add):
    table = [min(255, v + add) if v < 128 else v for v in range(256)]
    return image.point(table * 3)


FACTORS = [0.1, 0.145, 0.19, 0.5, 0.75, 1.0, 1.0001, 1.25, 1.81, 1.8633, 1.9]
SHEARS = [-0.3, -0.27, -0.0113, 0.0, 0.1, 0.25, 0.27123, 0.3]
SHARES = [-0.45, -0.405, -0.25, -0.0113, 0.0, 0.125, 0.39871, 0.45]
# Op -> what Pillow does with (image, parameter), and parameters.
PIXEL_OPS = {
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), [0]),
    "Equalize": (lambda image, _: ImageOps.equalize(image), [0]),
    "Invert": (lambda image, _: ImageOps.invert(image), [0]),
    "Posterize": (ImageOps.posterize, [0, 1, 2, 3, 4, 8]),
    "Solarize": (ImageOps.solarize, [0, 1, 26, 128, 255, 256]),
    "SolarizeAdd": (solarize_add, [0, 1, 57, 99, 110]),
    "Color": (lambda image, factor: ImageEnhance.Color(image).enhance(factor), FACTORS),
    "Contrast": (lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), FACTORS),
    "Brightness": (lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), FACTORS),
    "Sharpness": (lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor), FACTORS),
}
# With a filter.
MOVES = {
    "Rotate": (
        lambda image, degrees, filter: image.rotate(degrees, resample=FILTERS[filter], fillcolor=OUTSIDE),
        [-30, -27, -13.37, -0.02, 0, 0.5, 26.123456789, 27, 30],
    ),
    "ShearX": (lambda image, by, filter: affine(image, (1, by, 0, 0, 1, 0), filter), SHEARS),
    "ShearY": (lambda image, by, filter: affine(image, (1, 0, 0, by, 1, 0), filter), SHEARS),
    "TranslateXRel": (lambda image, by, filter: affine(image, (1, 0, by * image.width, 0, 1, 0), filter), SHARES),
    "TranslateYRel": (lambda image, by, filter: affine(image, (1, 0, 0, 0, 1, by * image.height), filter), SHARES),
}


def pixels_hash(image):
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def main():
    images = [Image.fromarray(picture(*of)) for of in PICTURES]
    cases = []
    for name, (op, parameters) in PIXEL_OPS.items():
        for parameter in parameters:
            cases.append([name, parameter, "bilinear", *(pixels_hash(op(image, parameter)) for image in images)])
    for name, (op, parameters) in MOVES.items():
        for parameter in parameters:
            for filter in FILTERS:
                hashes = [pixels_hash(op(image, parameter, filter)) for image in images]
                cases.append([name, parameter, filter, *hashes])
    head = json.dumps({"pillow": PIL.__version__, "outside": OUTSIDE, "pictures": PICTURES}, indent=2)
    body = ",\n".join(json.dumps(case) for case in cases)
    (FIXTURES / "augment.json").write_text(f'{head[:-2]},\n  "cases": [\n{body}\n]}}\n')


if __name__ == "__main__":
    main()
