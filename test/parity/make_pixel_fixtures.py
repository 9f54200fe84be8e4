"""Writes test/fixtures/pixels.json: the first 8 bytes of the SHA-256 of the pixels Pillow gives for each image, decoded,
turned into RGB, resized and cropped in each of the ways of TRANSFORMS, and of boxes of it: rows from the top, interleaved.

    python test/parity/make_pixel_fixtures.py --data DIR

`drawn` are small images of every kind a reader meets, drawn here and stored in test/fixtures/images, the odder ones in
test/fixtures/odd-images. `data` are images of real sets, by their path in DIR, the folder that holds `dtd`, `places`, `iSUN`, ...; they are not stored. `bad`, in
test/fixtures/bad-images, and `cut` tell what Pillow refuses: null stands there in place of a hash.
Needs Pillow, numpy, g++ and libjpeg. The drawn files depend on the encoder, so the JSON is written anew together with
them.
"""

import argparse
import hashlib
import io
import json
import os
import pathlib
import shutil

import numpy as np
import odd_jpegs
import odd_pngs
import PIL
from odd_jpegs import picture
from PIL import Image, features

# As TransformOptions. The last is small and odd, so that halves are rounded and the cubic filter enlarges.
TRANSFORMS = {
    "cifar": {"resize": 32, "fit": "both", "filter": "bilinear", "crop": 32},
    "imagenet": {"resize": 256, "fit": "short", "filter": "bilinear", "crop": 224},
    "t2t": {"resize": 248, "fit": "short", "filter": "bicubic", "crop": 224},
    "odd": {"resize": 37, "fit": "short", "filter": "bicubic", "crop": 24},
}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Of boxes: cut out first. Small for the drawn images, as training has it for real ones.
BOX_TRANSFORMS = {
    "bilinear-32": {"resize": 32, "fit": "both", "filter": "bilinear", "crop": 32},
    "bicubic-24": {"resize": 24, "fit": "both", "filter": "bicubic", "crop": 24},
    "bilinear-224": {"resize": 224, "fit": "both", "filter": "bilinear", "crop": 224},
    "bicubic-224": {"resize": 224, "fit": "both", "filter": "bicubic", "crop": 224},
}
DRAWN_BOXES, DATA_BOXES = ["bilinear-32", "bicubic-24"], ["bilinear-224", "bilinear-224", "bicubic-224"]
# Read at every position.
SWEPT = [
    *(f"{coder}-{sampling}.jpg" for coder in ("baseline", "progressive") for sampling in odd_jpegs.SAMPLINGS),
    *(f"{name}.jpg" for name in ("restart-3", "restart-progressive", "arithmetic", "separate-scans")),
    *(f"{name}.jpg" for name in ("gray-progressive", "gray-as-2x2", "optimized", "restart-row", "arithmetic-progressive")),
    *(f"{name}.jpg" for name in ("cmyk-sampled", "ycck-420", "chroma-uneven", "chroma-finer", "rgb-adobe")),
    *(f"{name}.jpg" for name in ("damaged-scan", "damaged-restarts", "early-end", "early-end-progressive")),
    *(f"progressive-{name}.jpg" for name in ("first-scan-422", "two-scans", "four-scans")),
    *(f"size-{name}.jpg" for name in ("8x8", "15x17", "16x16", "17x33", "33x15", "250x131")),
    *(f"{name}-interlaced.png" for name in ("rgb-8-bit", "palette-4-bit", "gray-1-bit", "gray-16-bit")),
    "rgb.png",
]
# Cut off at many places.
CUT = [
    *(f"{name}.jpg" for name in ("baseline-420", "baseline-444", "progressive-420", "restart-3", "arithmetic")),
    *(f"{name}.jpg" for name in ("arithmetic-progressive", "gray-as-2x2", "separate-scans", "cmyk-adobe", "size-250x131")),
    *(f"{name}.png" for name in ("rgb-8-bit", "many-parts", "rgb-8-bit-interlaced", "palette-4-bit", "gray-16-bit")),
]
FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
# Folder -> how many of its images, evenly spaced in the order of their paths.
SETS = {"dtd": 14, "places": 14, "iSUN": 8, "LSUN": 8, "TinyImageNet": 4, "CIFAR100": 2, "imagenet-sample": 10}


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
    (folder / "interlaced.png").write_bytes(odd_pngs.png(37, 26, "rgb", 8, interlaced=True))


def draw_odd(odd, bad):
    """`bad` gets the files of which Pillow refuses most."""
    jpegs = odd_jpegs.drawn()
    for name, content in jpegs.items():
        (odd / f"{name}.jpg").write_bytes(content)
    for name, content in odd_pngs.drawn().items():
        (odd / f"{name}.png").write_bytes(content)
    files = {f"{name}.jpg": content for name, content in odd_jpegs.refused(jpegs).items()}
    files |= {f"{name}.png": content for name, content in odd_pngs.refused().items()}
    files |= {"empty.jpg": b"", "empty.png": b"", "text.jpg": b"This is no image.\n", "zeros.png": bytes(200)}
    for name, content in files.items():
        (bad / name).write_bytes(content)


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


def pixels_hash(*parts):
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def boxed(image, box, resize, filter, **_):
    """torchvision's resized_crop."""
    left, top, width, height = box
    return image.crop((left, top, left + width, top + height)).resize((resize, resize), FILTERS[filter]).tobytes()


def boxes_of(name, width, height):
    """Six: nearly all, a corner at the beginning and at the end, a thin column, a thin row, any."""
    random = np.random.default_rng(list(name.encode()))

    def box(w, h, left=None, top=None):
        w, h = min(max(w, 1), width), min(max(h, 1), height)
        left = random.integers(0, width - w + 1) if left is None else left
        top = random.integers(0, height - h + 1) if top is None else top
        return [int(left), int(top), int(w), int(h)]

    def side(limit):
        return int(random.integers(1, max(2, limit * 2 // 3)))

    w, h = side(width), side(height)
    return [
        box(width - 1, height - 1, top=0),
        box(w, h, 0, 0),
        box(w, h, width - min(w, width), height - min(h, height)),
        box(1, side(height)),
        box(side(width), 1),
        box(side(width), side(height)),
    ]


def swept(image):
    """The pixels of 8 x 8 boxes, at every position of an image of up to 99 x 79 pixels: at all borders of blocks."""
    right, down = max(1, image.width // 50), max(1, image.height // 40)
    corners = [(x, y) for y in range(0, image.height - 7, down) for x in range(0, image.width - 7, right)]
    return [image.crop((x, y, x + 8, y + 8)).tobytes() for x, y in corners]


def pixel_sum(path, name, kinds):
    """`kinds`: the names of BOX_TRANSFORMS that take turns."""
    with Image.open(path) as image:
        color = image.convert("RGB")
    entry = {
        "width": color.width,
        "height": color.height,
        "sha256": {t: pixels_hash(transformed(color, **options).tobytes()) for t, options in TRANSFORMS.items()},
        "boxes": [],
    }
    for i, box in enumerate(boxes_of(name, *color.size)):
        kind = kinds[i % len(kinds)]
        entry["boxes"].append([kind, *box, pixels_hash(boxed(color, box, **BOX_TRANSFORMS[kind]))])
    if name in SWEPT:
        entry["sweep"] = pixels_hash(*swept(color))
    return entry


def verdict(content):
    """The pixels' hash after the transform `cifar`, or None where Pillow refuses the file."""
    try:
        color = Image.open(io.BytesIO(content)).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return pixels_hash(transformed(color, **TRANSFORMS["cifar"]).tobytes())


def spread(root, name, count):
    """Paths relative to `root`."""
    paths = sorted(os.path.relpath(os.path.join(at, file), root) for at, _, files in os.walk(root / name) for file in files)
    return [paths[i * len(paths) // count] for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    data = parser.parse_args().data

    folders = images, odd, bad = [FIXTURES / name for name in ("images", "odd-images", "bad-images")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    draw(images)
    draw_odd(odd, bad)
    result = {
        "pillow": PIL.__version__,
        "libjpegTurbo": features.version("libjpeg_turbo"),
        "transforms": TRANSFORMS,
        "boxTransforms": BOX_TRANSFORMS,
        "drawn": [
            {"path": f"{folder.name}/{path.name}", **pixel_sum(path, path.name, DRAWN_BOXES)}
            for folder in (images, odd)
            for path in sorted(folder.iterdir())
        ],
        "bad": [{"file": path.name, "pixels": verdict(path.read_bytes())} for path in sorted(bad.iterdir())],
        "cut": [cut_file(odd / name) for name in CUT],
        "data": [
            {"path": path, **pixel_sum(data / path, path, DATA_BOXES)}
            for name, count in SETS.items()
            for path in spread(data, name, count)
        ],
    }
    lines = [f"{json.dumps(key)}: {written(value)}" for key, value in result.items()]
    (FIXTURES / "pixels.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def cuts(content):
    """At how many bytes to cut a file: within the header, within the pixels, and around its end."""
    start = content.index(b"\xff\xda" if content[0] == 0xFF else b"IDAT")
    data = len(content) - start
    inside = [start + data * part // 16 for part in (1, 4, 8, 12, 15)]
    tail = [len(content) - i for i in (17, 16, 14, 13, 12, 11, 9, 6, 4, 3, 2, 1)]
    return sorted({1, 2, 3, 10, 25, start // 2, start, start + 2, start + 9, *inside, *tail})


def cut_file(path):
    """What becomes of the file when it ends after so many bytes: [bytes, hash or null]."""
    content = path.read_bytes()
    ends = cuts(content)
    return {"file": path.name, "whole": verdict(content), "ends": [[end, verdict(content[:end])] for end in ends]}


def written(value):
    """JSON with a line an entry."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(entry) for entry in value) + "\n]"


if __name__ == "__main__":
    main()
