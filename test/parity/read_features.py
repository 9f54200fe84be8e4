"""What somebody's own Python reads out of a feature file, with nothing but the standard library:
python3 read_features.py FILE prints, as JSON, the metadata and of each tensor its type, shape and values (as float64)."""

import json
import struct
import sys

ITEMS = {"F32": "f", "F16": "e", "I64": "q"}


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__")
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(8 + length + begin)
            letter = ITEMS[entry["dtype"]]
            values = struct.unpack(f"<{(end - begin) // struct.calcsize(letter)}{letter}", file.read(end - begin))
            tensors[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "values": values}
    return metadata, tensors


if __name__ == "__main__":
    metadata, tensors = read(sys.argv[1])
    print(json.dumps({"metadata": metadata, "tensors": tensors}))
