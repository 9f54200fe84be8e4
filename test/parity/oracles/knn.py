"""Sun et al., ICML 2022, arXiv 2204.06507: minus the squared L2 distance to the k-th nearest training feature, features
divided by (‖f‖₂ + 1e-10) after the mean over modes of the raw ones. Brute force in float64."""

import numpy as np
import torch

from .common import batched, mean


def features(nets, x):
    """[N, D], float64, normalised."""
    with torch.no_grad():
        f = mean(batched(lambda batch: net(batch)[1], x) for net in nets).double().numpy()
    return f / (np.linalg.norm(f, axis=1, keepdims=True) + 1e-10)


def search(bank, queries, k):
    """Squared distances and rows of the k nearest, nearest first, [N, k]. Equal distances: the lower row."""
    distances = np.stack([((bank - query) ** 2).sum(1) for query in queries])
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, 1), rows


def score(bank, queries, k):
    return -search(bank, queries, k)[0][:, -1]
