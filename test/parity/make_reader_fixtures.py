"""Writes test/fixtures/readers/: small data sets of every kind that the readers of arrays take, and readers.json with the
labels and the SHA-256 of the pixels (image after image, rows from the top, interleaved) that scipy, numpy and pickle give.

    python test/parity/make_reader_fixtures.py [--data DIR]

DIR holds `svhn`, `cifar-10-batches-py`; without it what is recorded of these real sets stays. Needs numpy and scipy.
"""

import argparse
import hashlib
import json
import pathlib
import pickle
import shutil
import struct
import zlib

import numpy as np
import scipy.io

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
ROOT = FIXTURES / "readers"
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()


def pictures(count, height, width, channels=3):
    """[count, height, width, channels], uint8: no two rows, columns or channels alike."""
    n, y, x, c = np.mgrid[0:count, 0:height, 0:width, 0:channels]
    return ((n * 53 + y * 7 + x * 3 + c * 91 + x * y // 5) % 256).astype(np.uint8)


def digest(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def text_digest(values):
    """Of a list as JavaScript writes it."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def entry(path, reader, pixels, truth, classes, **options):
    """What a set must be. Of one whose images are no squares the square in the middle counts (CenterCrop's rule)."""
    count, height, width, _ = pixels.shape
    side = min(height, width)
    left, top = round((width - side) / 2), round((height - side) / 2)
    square = pixels[:, top : top + side, left : left + side]
    labels = [int(label) for label in np.asarray(truth).ravel()]
    found = {"path": path, "reader": reader, "options": options, "count": count, "side": side}
    return found | {"classes": text_digest(classes), "labels": text_digest(labels), "sha256": digest(square)}


# SVHN


def element(order, kind, data):
    """A data element of a MAT-file, in the small form where it fits."""
    if 0 < len(data) <= 4:
        return struct.pack(order + "I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def mat_array(order, name, array, compressed):
    """One variable, uint8 or double, written apart from scipy, which knows the machine's own byte order alone."""
    kind, number, code = (9, 2, "u1") if array.dtype == np.uint8 else (6, 9, "f8")
    body = element(order, 6, struct.pack(order + "II", kind, 0))
    body += element(order, 5, struct.pack(f"{order}{array.ndim}i", *array.shape))
    body += element(order, 1, name.encode())
    body += element(order, number, array.astype(order + code).tobytes("F"))
    matrix = struct.pack(order + "II", 14, len(body)) + body
    if not compressed:
        return matrix
    packed = zlib.compress(matrix, 9)
    return struct.pack(order + "II", 15, len(packed)) + packed


def mat_file(order, variables, compressed):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100) + (b"IM" if order == "<" else b"MI")
    return header + b"".join(mat_array(order, name, array, compressed) for name, array in variables.items())


def svhn_entry(path, file, **options):
    content = scipy.io.loadmat(file)
    images = content["X"] if content["X"].ndim == 4 else content["X"][..., None]
    labels = content["y"].ravel().astype(int) % 10
    return entry(path, "svhn", images.transpose(3, 0, 1, 2), labels, [str(i) for i in range(10)], **options)


def make_svhn():
    pixels = pictures(6, 16, 16).transpose(1, 2, 3, 0)
    labels = np.array([10, 1, 9, 2, 10, 5])
    others = {
        "note": "a text",
        "cell": np.array([[1, "two"]], dtype=object),
        "record": {"a": 1.0, "b": np.eye(3)},
        "sparse": scipy.sparse.eye(4, format="csc"),
        "complex": np.array([1 + 2j]),
        "truth": np.array([True, False]),
    }
    folder = ROOT / "svhn"
    folder.mkdir()
    save = scipy.io.savemat
    save(folder / "train_32x32.mat", {"X": pixels, "y": labels.astype(np.uint8)[:, None]}, do_compression=True)
    save(folder / "test_32x32.mat", others | {"X": pixels, "y": labels.astype(np.float64)[None, :]})
    save(folder / "extra_32x32.mat", {"y": labels.astype(np.int16)[:, None], **others, "X": pixels}, do_compression=True)
    save(folder / "four.mat", {"X": pixels[..., :4], "y": labels[:4, None].astype(np.uint8)})
    save(folder / "one.mat", {"X": pixels[..., 0], "y": np.array([[3.0]], dtype=np.float32)})
    save(folder / "wide.mat", {"X": pictures(3, 6, 9).transpose(1, 2, 3, 0), "y": labels[:3, None].astype(np.uint64)})
    for name, compressed in ("big-endian", False), ("big-endian-compressed", True):
        content = {"z": np.arange(3.0)[None], "X": pixels[..., :5], "y": labels[:5, None].astype(np.float64)}
        (folder / f"{name}.mat").write_bytes(mat_file(">", content, compressed))
    for path in folder.glob("*.mat"):
        # scipy writes the time there.
        path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])
    files = [svhn_entry(f"svhn/{path.name}", path, split="") for path in sorted(folder.glob("*.mat"))]
    splits = [svhn_entry("svhn", folder / f"{split}_32x32.mat", split=split) for split in ("train", "test", "extra")]
    return files + splits


# .npy


def make_npy():
    folder = ROOT / "npy"
    folder.mkdir()
    entries = []

    def add(name, pixels, labels=None, version=None, classes=None, where=None, option=""):
        place = folder / name
        place.mkdir()
        with open(place / "images.npy", "wb") as file:
            np.lib.format.write_array(file, pixels, version=version)
        if labels is not None:
            np.save(place / (where or "labels.npy"), labels)
        if classes:
            (place / "classes.txt").write_text("\n".join(classes) + "\n")
        shown = np.load(place / "images.npy")
        shown = shown if shown.ndim == 4 else shown[..., None]
        shown = np.broadcast_to(shown, shown.shape[:3] + (3,))
        truth = np.zeros(len(shown), int) if labels is None else np.load(place / (where or "labels.npy"))
        names = classes or [str(i) for i in range(int(truth.max()) + 1)]
        entries.append(entry(f"npy/{name}/images.npy", "npy", shown, truth, names, split="", labels=option))

    add("rgb", pictures(5, 12, 12), np.array([3, 0, 1, 1, 2]))
    add("version-2", pictures(2, 10, 10), np.array([1, 0], dtype=np.int32), version=(2, 0))
    add("version-3", pictures(2, 9, 9), np.array([1, 0], dtype=np.uint8), version=(3, 0), where="images-labels.npy")
    add("gray", pictures(4, 11, 11, 1)[..., 0], np.array([300, 2, 299, 0], dtype=">i2"), where="images_labels.npy")
    add("gray-channel", pictures(3, 7, 7, 1), np.array([[0], [1], [1]], dtype=">u4"))
    add("wide", pictures(3, 8, 13))
    add("named", pictures(3, 8, 8), np.array([2, 1, 0], dtype=np.int8), classes=["cat", "dog", "bird"])
    add("asked", pictures(3, 8, 8), np.array([9, 8, 7], dtype=np.uint64), where="mine.npy", option="mine.npy")
    return entries


# CIFAR


def python2(value):
    """A value as Python 2's cPickle wrote it in protocol 2, without references: text and bytes are one."""
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, (bytes, str)):
        data = value if isinstance(value, bytes) else value.encode("latin-1")
        return (b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))) + data
    if isinstance(value, int):
        return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)
    dtype = b"cnumpy\ndtype\n" + b"U\x02u1K\x00K\x01\x87R" + b"(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    made = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85U\x01b\x87R"
    shape = b"".join(b"J" + struct.pack("<i", side) for side in value.shape) + b"\x86"
    return made + b"(K\x01" + shape + dtype + b"\x89" + python2(value.tobytes()) + b"tb"


def dump(value, way):
    if way == "python2":
        data = b"\x80\x02" + python2(value) + b"."
    else:
        data = pickle.dumps(value, protocol=way)
    pickle.loads(data, encoding="bytes")
    return data


def planes(pixels):
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)


def as_keys(content, kind):
    return {kind(key): value for key, value in content.items()}


def make_cifar():
    entries = []
    ways = {"python2": ("python2", str), "protocol2": (2, str.encode), "protocol3": (3, str.encode), "protocol4": (4, str), "protocol5": (5, str.encode)}
    for number, (name, (way, keys)) in enumerate(ways.items()):
        folder = ROOT / f"cifar10-{name}" / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        pixels = pictures(number + 3, 32, 32)[number:]
        for file, part, labels in ("data_batch_1", pixels[:2], [7, number]), ("test_batch", pixels[2:], [9]):
            names = [f"{label}.png".encode() for label in labels]
            content = {"batch_label": b"one of two", "labels": labels, "data": planes(part), "filenames": names}
            (folder / file).write_bytes(dump(as_keys(content, keys), way))
        meta = {"num_cases_per_batch": 2, "label_names": [label.encode() for label in CIFAR10], "num_vis": 3072}
        (folder / "batches.meta").write_bytes(dump(as_keys(meta, keys), way))
        entries.append(entry(folder.parent.name, "cifar10", pixels[:2], [7, number], CIFAR10, split="train"))
        entries.append(entry(f"{folder.parent.name}/{folder.name}", "cifar10", pixels[2:], [9], CIFAR10, split="test"))

    pixels = pictures(9, 32, 32)[6:]
    fine, coarse = [99, 0, 57], [19, 4, 11]
    names = {"fine": [f"fine {i}" for i in range(100)], "coarse": [f"coarse {i}" for i in range(20)]}
    for layout in "python", "binary":
        folder = ROOT / f"cifar100-{layout}" / f"cifar-100-{layout}"
        folder.mkdir(parents=True)
        for file, part in ("train", slice(0, 2)), ("test", slice(2, 3)):
            if layout == "python":
                content = {"filenames": [b"a"] * len(fine[part]), "fine_labels": fine[part], "coarse_labels": coarse[part]}
                (folder / file).write_bytes(dump(as_keys(content | {"data": planes(pixels[part])}, str), "python2"))
            else:
                records = np.concatenate([np.array([coarse[part], fine[part]]).T, planes(pixels[part])], axis=1)
                (folder / f"{file}.bin").write_bytes(records.astype(np.uint8).tobytes())
            for option, truth in ("", fine), ("fine", fine), ("coarse", coarse):
                found = entry(folder.parent.name, "cifar100", pixels[part], truth[part], names[option or "fine"], split=file, labels=option)
                entries.append(found)
        if layout == "python":
            (folder / "meta").write_bytes(dump({f"{kind}_label_names": names[kind] for kind in names}, 4))
        else:
            for kind, lines in names.items():
                (folder / f"{kind}_label_names.txt").write_text("\n".join(lines) + "\n\n")
    return entries


# Real sets


def real(data):
    entries = [svhn_entry("svhn", data / "svhn/test_32x32.mat", split="test")]
    for split, file in ("train", "data_batch_2"), ("test", "test_batch"):
        batch = pickle.loads((data / "cifar-10-batches-py" / file).read_bytes(), encoding="bytes")
        pixels = batch[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        entries.append(entry("cifar-10-batches-py", "cifar10", pixels, batch[b"labels"], CIFAR10, split=split))
    return entries


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    data = parser.parse_args().data
    record = FIXTURES / "readers.json"
    before = json.loads(record.read_text())["data"] if record.exists() else []
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    made = make_svhn() + make_npy() + make_cifar()
    found = {"numpy": np.__version__, "scipy": scipy.__version__, "made": made, "data": real(data) if data else before}
    record.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
