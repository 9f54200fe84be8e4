"""Song, Sebe, Wang, NeurIPS 2022, arXiv 2209.08590: logits of the last stage's map [C, HW] without its rank-1 part of the
largest singular value, by a full singular value decomposition; their mean with the logits that the last stage gives of the
stage before it treated in the same way. A transformer's tokens are such a map of [D, T] in the last stage alone."""

import torch

from .common import batched, mean
from .parts import goes_on, head


def without_largest(stage):
    """[N, C, H, W], and how far the second singular value is below the first, at the least: (s₁ − s₂)/s₁."""
    matrices = stage.flatten(2)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    rank1 = s[:, 0, None, None] * u[:, :, :1] @ vh[:, :1, :]
    return (matrices - rank1).view_as(stage), ((s[:, 0] - s[:, 1]) / s[:, 0]).min()


def logits_of(net, x):
    """[N, C], and the smallest gap."""
    stages = net(x)[2]
    last, gap = without_largest(stages[-1])
    z = head(net, last)
    rest = goes_on(net)
    if rest is not None:
        before, other = without_largest(stages[-2])
        z, gap = (z + head(net, rest(before))) / 2, min(gap, other)
    return z, gap.view(1)


def logits(nets, x):
    """A list of [N, C], and the smallest gap of all."""
    with torch.no_grad():
        found, gaps = zip(*(batched(lambda batch: logits_of(net, batch), x) for net in nets))
    return list(found), min(gap.min().item() for gap in gaps)


def score(logits, temperature=1.0):
    return temperature * torch.logsumexp(mean(logits) / temperature, 1)
