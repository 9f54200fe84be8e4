"""Liu et al., NeurIPS 2020, arXiv 2010.03759: T·logsumexp(z̄/T)."""

import torch

from .common import mean


def score(logits, temperature=1.0):
    return temperature * torch.logsumexp(mean(logits) / temperature, 1)
