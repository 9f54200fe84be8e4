"""Writes test/fixtures/pixels.json: the SHA-256 of the pixels Pillow gives for each image, decoded, turned into RGB,
resized and cropped in each of the ways of TRANSFORMS: rows from the top, interleaved.

    python test/parity/make_pixel_fixtures.py --data DIR

`drawn` are small images of every kind a reader meets, drawn here and stored in test/fixtures/images. `data` are images
of real sets, by their path in DIR, the folder that holds `dtd`, `places`, `iSUN`, ...; they are not stored.
Needs Pillow and numpy. The drawn files depend on the encoder, so the JSON is written anew together with them.
"""

import argparse
import hashlib
import json
import os
import pathlib

import numpy as np
import PIL
from PIL import Image

# As TransformOptions. The last is small and odd, so that halves are rounded and the cubic filter enlarges.
TRANSFORMS = {
    "cifar": {"resize": 32, "fit": "both", "filter": "bilinear", "crop": 32},
    "imagenet": {"resize": 256, "fit": "short", "filter": "bilinear", "crop": 224},
    "t2t": {"resize": 248, "fit": "short", "filter": "bicubic", "crop": 224},
    "odd": {"resize": 37, "fit": "short", "filter": "bicubic", "crop": 24},
}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
# Folder -> how many of its images, evenly spaced in the order of their paths.
SETS = {"dtd": 14, "places": 14, "iSUN": 8, "LSUN": 8, "TinyImageNet": 4, "CIFAR100": 2, "imagenet-sample": 10}


def picture(width, height):
    """Smooth colours with hard edges and a little noise: [height, width, 3], uint8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = np.stack([x * 255 / width, y * 255 / height, 127 + 120 * np.sin(x / 5 + y / 9)], axis=-1)
    inside = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (height * 0.28) ** 2
    waves[inside] = 255 - waves[inside]
    waves[int(height * 0.7) :, : width // 3] = (250, 10, 60)
    return np.clip(waves + np.random.default_rng(7).normal(0, 6, waves.shape), 0, 255).astype(np.uint8)


def draw(folder):
    color = Image.fromarray(picture(67, 45))
    gray = color.convert("L")
    alpha = color.copy()
    alpha.putalpha(Image.fromarray(picture(67, 45)[:, :, 2]))
    flat = color.resize((40, 31)).quantize(24)
    deep = (np.arange(41 * 29, dtype=np.uint32).reshape(29, 41) * 17 % 420).astype(np.uint16)
    save = {
        "rgb-odd.jpg": (color, {"quality": 88}),
        "rgb-444.jpg": (color.resize((32, 32)), {"quality": 95, "subsampling": 0}),
        "rgb-422.jpg": (color, {"quality": 70, "subsampling": 1}),
        "rgb-large.jpg": (Image.fromarray(picture(301, 203)), {"quality": 40}),
        "progressive.jpg": (color, {"quality": 80, "progressive": True}),
        "gray.jpg": (gray, {"quality": 85}),
        "cmyk.jpg": (color.convert("CMYK"), {"quality": 85}),
        "rgb.png": (color.resize((32, 32)), {}),
        "rgba.png": (alpha, {}),
        "gray.png": (gray, {}),
        "gray-alpha.png": (alpha.convert("LA"), {}),
        "gray-16.png": (Image.fromarray(deep), {}),
        "bilevel.png": (gray.convert("1"), {}),
        "palette.png": (flat, {}),
        "palette-transparent.png": (flat, {"transparency": 3, "bits": 8}),
        "one-pixel.png": (color.crop((9, 9, 10, 10)), {}),
        "jpeg-named.png": (gray.resize((20, 50)), {"format": "JPEG"}),
    }
    for name, (image, options) in save.items():
        image.save(folder / name, **options)
    (folder / "interlaced.png").write_bytes(interlaced(picture(37, 26)))


def interlaced(pixels):
    """A PNG in Adam7 order, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for y, x, down, right in passes for row in pixels[y::down, x::right] if row.size
    )
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def transformed(image, resize, fit, filter, crop):
    """torchvision's Resize and CenterCrop on Pillow images, by their documented rules."""
    width = height = resize
    if fit == "short" and image.width <= image.height:
        height = int(resize * image.height / image.width)
    elif fit == "short":
        width = int(resize * image.width / image.height)
    image = image.resize((width, height), FILTERS[filter])
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return image.crop((left, top, left + crop, top + crop))


def pixel_sum(path):
    with Image.open(path) as image:
        color = image.convert("RGB")
        sums = {
            name: hashlib.sha256(transformed(color, **options).tobytes()).hexdigest()
            for name, options in TRANSFORMS.items()
        }
        return {"width": image.width, "height": image.height, "sha256": sums}


def spread(root, name, count):
    """Paths relative to `root`."""
    paths = sorted(os.path.relpath(os.path.join(at, file), root) for at, _, files in os.walk(root / name) for file in files)
    return [paths[i * len(paths) // count] for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    data = parser.parse_args().data

    images = FIXTURES / "images"
    images.mkdir(parents=True, exist_ok=True)
    draw(images)
    result = {
        "pillow": PIL.__version__,
        "transforms": TRANSFORMS,
        "drawn": [{"file": path.name, **pixel_sum(path)} for path in sorted(images.iterdir())],
        "data": [
            {"path": path, **pixel_sum(data / path)}
            for name, count in SETS.items()
            for path in spread(data, name, count)
        ],
    }
    (FIXTURES / "pixels.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
