"""Hendrycks and Gimpel, ICLR 2017, arXiv 1610.02136: the largest softmax probability, of the mean logits."""

import torch

from .common import mean


def score(logits):
    """`logits`: a list of [N, C], one for each mode."""
    return torch.softmax(mean(logits), 1).amax(1)
