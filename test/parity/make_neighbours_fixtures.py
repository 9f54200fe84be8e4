"""Distances to the k-th nearest rows as a flat index of faiss (IndexFlatL2, float32) finds them.

    python3 test/parity/make_neighbours_fixtures.py

Features are the mean over members, divided by its norm + 1e-10. The numbers of a member are those of `matrix` in
test/parity/neighbours.test.ts. Needs numpy and faiss.
"""

import json
from pathlib import Path

import faiss
import numpy as np

ROWS, QUERIES, WIDTH, MEMBERS = 2000, 60, 32, 3


def matrix(rows, width, seed):
    """Numbers in [-1, 1) from a linear congruential generator (Numerical Recipes' constants)."""
    state, values = seed, np.empty(rows * width, np.float32)
    for i in range(values.size):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = state / 2**31 - 1
    return values.reshape(rows, width)


def fused(rows, first_seed):
    mean = np.mean([matrix(rows, WIDTH, first_seed + m) for m in range(MEMBERS)], axis=0, dtype=np.float32)
    return mean / (np.linalg.norm(mean, axis=1, keepdims=True) + np.float32(1e-10))


def main():
    index = faiss.IndexFlatL2(WIDTH)
    index.add(fused(ROWS, 500))
    queries = fused(QUERIES, 600)
    cases = []
    for k in (1, 50, 1000):
        squared, _ = index.search(queries, k)
        cases.append({"k": k, "squared": [float(f"{value:.8g}") for value in squared[:, -1]]})
    result = {
        "faiss": faiss.__version__,
        "rows": ROWS,
        "queries": QUERIES,
        "width": WIDTH,
        "members": MEMBERS,
        "cases": cases,
    }
    path = Path(__file__).resolve().parent.parent / "fixtures" / "neighbours.json"
    path.write_text(json.dumps(result) + "\n")


main()
