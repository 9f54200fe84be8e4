"""Writes test/fixtures/shared-pixels.bin and .json: what Pillow makes of every image of the development machines' test
data, in each of the ways of TRANSFORMS, as four bytes an image: the first of the SHA-256 of its uint8 [crop, crop, 3].

    nice python3 test/parity/make_shared_fixtures.py --data DIR [--workers 2]

DIR is what `bash ../shared/data/unpack.sh DIR` made. Needs Pillow and numpy, and scipy for SVHN. Takes some minutes.

The .bin holds the hashes of one set after the other, as the .json lists them; of one set those of one transform after
the other; of one transform those of all images, in the order in which our readers give them: see listed().
"""

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import pathlib

import numpy as np
import PIL
from make_pixel_fixtures import TRANSFORMS as ALL
from make_pixel_fixtures import transformed
from PIL import Image, features

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
TRANSFORMS = {name: ALL[name] for name in ("imagenet", "t2t", "cifar")}
# Reader, path below DIR, split.
SETS = [
    *(
        ("folder", path, "")
        for path in (
            "cifar10-jpg/train",
            "cifar10-jpg/test",
            "places",
            "dtd/images",
            "imagenet-sample",
            "imagenette/train",
            "imagenette/val",
            "LSUN",
            "iSUN",
            "TinyImageNet",
            "CIFAR100",
        )
    ),
    ("cifar10", "cifar-10-batches-bin", "train"),
    ("cifar10", "cifar-10-batches-bin", "test"),
    ("svhn", "svhn", "test"),
]


def listed(root):
    """A folder's images: the files beside its sub-folders, then each sub-folder's, deeper folders by their paths; all in
    the order of their bytes. Hidden ones are passed over."""

    def entries(folder):
        names = sorted((name for name in os.listdir(os.fsencode(folder)) if not name.startswith(b".")))
        paths = [os.path.join(os.fsencode(folder), name) for name in names]
        return [p for p in paths if os.path.isfile(p)], [p for p in paths if os.path.isdir(p)]

    def tree(folder):
        files, folders = entries(folder)
        return [(folder, files)] + [below for inner in folders for below in tree(inner)]

    files, classes = entries(root)
    return files + [file for top in classes for _, inner in sorted(tree(top)) for file in inner]


def cifar10_records(root, split):
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    rows = np.concatenate([np.fromfile(root / name, np.uint8).reshape(-1, 3073) for name in names])
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def svhn_records(root, split):
    from scipy.io import loadmat

    return loadmat(root / f"{split}_32x32.mat")["X"].transpose(3, 0, 1, 2)


def sources(reader, root, split):
    """Paths, or uint8 [32, 32, 3]."""
    if reader == "folder":
        return listed(root)
    records = {"cifar10": cifar10_records, "svhn": svhn_records}[reader](root, split)
    return list(np.ascontiguousarray(records))


def hashes(source):
    """The hashes of one image, in the order of TRANSFORMS."""
    if isinstance(source, bytes):
        with open(source, "rb") as file:
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
    else:
        image = Image.fromarray(source)
    return [hashlib.sha256(transformed(image, **t).tobytes()).digest()[:4] for t in TRANSFORMS.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()

    table, blob = [], b""
    with multiprocessing.Pool(arguments.workers) as pool:
        for reader, path, split in SETS:
            images = sources(reader, arguments.data / path, split)
            rows = pool.map(hashes, images, chunksize=64)
            table.append({"reader": reader, "path": path, "split": split, "count": len(rows)})
            blob += b"".join(row[t] for t in range(len(TRANSFORMS)) for row in rows)
            print(f"{reader} {path} {split}: {len(rows)}", flush=True)
    description = {
        "pillow": PIL.__version__,
        "libjpegTurbo": features.version("libjpeg_turbo"),
        "order": "sets, transforms, images; four bytes each",
        "transforms": TRANSFORMS,
        "sets": table,
    }
    (FIXTURES / "shared-pixels.bin").write_bytes(blob)
    (FIXTURES / "shared-pixels.json").write_text(json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    main()
