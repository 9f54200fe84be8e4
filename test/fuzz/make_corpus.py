"""Makes test/fuzz/corpus/: tiny checkpoints of every kind, from which the fuzzers start.

Run: python test/fuzz/make_corpus.py   (needs torch, numpy and g++ with zlib; takes half a minute)

Files that end in .pickle begin with "pickle:"; exercise_checkpoint.cc puts the rest into a zip archive whose storages have 48 bytes.
"""

import argparse
import collections
import datetime
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

warnings.filterwarnings("ignore")
HERE = Path(__file__).resolve().parent
ROOT = HERE / "corpus"
NATIVE = HERE.parent.parent / "native"
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"]


def add(name, data):
    (ROOT / name).write_bytes(data)


def saved(content, zipped=True, protocol=2):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return buffer.getvalue()


def pickle_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def every_way(name, content, protocols=(2,)):
    for protocol in protocols:
        data = saved(content, True, protocol)
        add(f"{name}-{protocol}.zip", data)
        add(f"{name}-{protocol}.pickle", b"pickle:" + pickle_of(data))
        add(f"{name}-{protocol}.legacy", saved(content, False, protocol))


def no_source(*_):
    raise OSError("the old format would keep the source of a module's class, and where it lies on this machine")


def main():
    torch.serialization.get_source_lines_and_file = no_source
    ROOT.mkdir(exist_ok=True)
    for old in ROOT.iterdir():
        old.unlink()
    # 48 bytes a storage, as exercise_checkpoint.cc makes them.
    every_way("simple", {"state_dict": {"w": torch.arange(12.0).reshape(3, 4)}, "epoch": 3}, (2, 3, 4, 5))
    types = {}
    for name in DTYPES:
        dtype = getattr(torch, name)
        types[name] = torch.ones(48 // torch.empty(0, dtype=dtype).element_size(), dtype=dtype)
    for start in range(0, len(DTYPES), 6):
        every_way(f"types{start}", {k: types[k] for k in DTYPES[start : start + 6]})
    unsigned = {k: torch.from_numpy(np.ones(48 // np.dtype(k).itemsize, k)) for k in ("uint16", "uint32", "uint64")}
    unsigned["float8"] = torch.ones(48).to(torch.float8_e5m2)
    add("unsigned.zip", saved(unsigned))
    add("unsigned.pickle", b"pickle:" + pickle_of(saved(unsigned)))
    base = torch.arange(12.0)
    views = {"whole": base, "t": base.reshape(3, 4).t(), "offset": base[3:7], "step": base[::3], "wide": base[:2, None].expand(2, 5)}
    views |= {"windows": base.as_strided((4, 3), (1, 1)), "odd": base.as_strided((2, 3), (2, 3)), "copy": base}
    every_way("views", {"model": views})
    scalars = {"net": {"s": torch.tensor(1.0), "e": torch.zeros(0), "z": torch.zeros(0, 3)}}
    add("scalars.zip", saved(scalars))
    add("scalars.legacy", saved(scalars, False))
    model = torch.nn.Linear(12, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 12)).sum().backward()
    optimizer.step()
    training = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    every_way("training", training, (2, 4))
    every_way("parameters", {"state_dict_ema": {f"module.{k}": v for k, v in model.named_parameters()}})
    every_way("whole", {"model": model})
    values = {
        "w": torch.ones(12),
        "args": argparse.Namespace(a=1, b=[1, 2]),
        "n": [np.float64(1.5), np.int32(2), np.arange(3)],
        "o": collections.OrderedDict(a=collections.defaultdict(list, b=[1])),
        "c": collections.Counter("aab"),
        "p": pathlib.PurePosixPath("a"),
        "t": datetime.datetime(2020, 1, 1),
        "s": {1, 2},
        "f": frozenset([1]),
        "b": b"\x00\xff",
        "a": bytearray(b"ab"),
        "x": 1j,
        "l": slice(1, 2),
        "big": 2**100,
        "m": -1,
        "mode_ensemble": {"arch": "x"},
        "d": torch.device("cpu"),
        "z": torch.Size([1]),
        "y": torch.float16,
    }
    every_way("values", values, (2, 4, 5))
    special = {"sparse": torch.eye(2).to_sparse(), "meta": torch.empty(2, device="meta"), "w": torch.ones(12)}
    special["conjugate"] = torch.zeros(6, dtype=torch.complex64).conj()
    add("special.zip", saved(special))
    add("special.pickle", b"pickle:" + pickle_of(saved(special)))

    source = zipfile.ZipFile(io.BytesIO(saved({"w": torch.arange(12.0)})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            data = b"big" if name.endswith("byteorder") else data
            archive.writestr(zipfile.ZipInfo(name), data)
    add("big-endian.zip", buffer.getvalue())
    header = {"__metadata__": {"arch": "x"}, "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    header["b"] = {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]}
    text = json.dumps(header).encode()
    add("plain.safetensors", struct.pack("<Q", len(text)) + text + bytes(32))

    fixtures = HERE.parent / "fixtures" / "checkpoints"
    for path in sorted(fixtures.glob("legacy-*.t7")) + sorted(fixtures.glob("legacy-storage-view.pth")):
        add(path.name, path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "write_seed"
        needs_torch = ("convert.cc", "tensor_file.cc", "weights.cc")
        sources = [p for p in sorted((NATIVE / "checkpoint").glob("*.cc")) if p.name not in needs_torch]
        sources += [NATIVE / f"runtime/{name}.cc" for name in ("byte_source", "error", "files", "printable")] + [HERE / "write_seed.cc"]
        subprocess.run(["g++", "-std=c++20", f"-I{NATIVE}", *sources, "-lz", "-o", program], check=True)
        subprocess.run([program, ROOT / "own.zip"], check=True)
        subprocess.run([program, ROOT / "own-zip64.zip", "zip64"], check=True)

    bad = {
        "system": b"\x80\x02}X\x01\x00\x00\x00xcos\nsystem\n(X\x01\x00\x00\x00atRs.",
        "itself": b"\x80\x02]q\x00h\x00a.",
        "memo": b"\x80\x02]r\xff\xff\xff\x7f.",
        "long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "text": b"\x80\x02X\xff\xff\xff\xff.",
        "deep": b"\x80\x02" + b"]" * 400 + b"a" * 399 + b".",
    }
    for name, data in bad.items():
        add(f"bad-{name}.pickle", b"pickle:" + data)

    seen = set()
    for path in sorted(ROOT.iterdir()):
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            path.unlink()
        seen.add(digest)
    files = list(ROOT.iterdir())
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
