"""faiss's exact search for bench/neighbours.ts. Reads from standard input one JSON line a measurement ({"bank", "queries", "tensor", "k"},
paths of safetensors files) and answers each with a line: seconds of IndexFlatL2's search (the faster of two) over rows that lie
normalised in memory, and where the k-th squared distances are, float32. What comes before (reading, normalising, adding) is not counted."""

import json
import struct
import sys
import time

import faiss
import numpy as np


def rows(path, tensor):
    """Each divided by its norm + 1e-10."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        begin, end = json.loads(file.read(length))[tensor]["data_offsets"]
        file.seek(8 + length + begin)
        flat = np.fromfile(file, dtype=np.float32, count=(end - begin) // 4)
    with open(path, "rb") as file:
        file.seek(8)
        shape = json.loads(file.read(length))[tensor]["shape"]
    found = flat.reshape(shape)
    return np.ascontiguousarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-10))


def search(bank, queries, tensor, k):
    index = faiss.IndexFlatL2(rows(bank, tensor).shape[1])
    index.add(rows(bank, tensor))
    asked = rows(queries, tensor)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        distances = index.search(asked, k)[0]
        times.append(time.perf_counter() - start)
    path = queries + ".distances"
    distances[:, -1].astype(np.float32).tofile(path)
    return {"seconds": min(times), "distances": path, "faiss": faiss.__version__}


if __name__ == "__main__":
    faiss.omp_set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(search(**json.loads(line))), flush=True)
