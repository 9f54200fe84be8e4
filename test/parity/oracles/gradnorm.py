"""Huang, Geng, Li, NeurIPS 2021, arXiv 2110.00218: the L1 norm of the gradient, in the last layer's weight, of
Σ_c −log softmax(z̄/T)_c, by autograd and one image at a time. In an ensemble the mean over modes of each one's norm."""

import torch

from .common import mean
from .parts import last_layer


def score(nets, x, temperature=1.0):
    weights = [last_layer(net).weight for net in nets]
    for weight in weights:
        weight.requires_grad_(True)
    found = []
    for image in x.split(1):
        z = mean(net(image)[0] for net in nets) / temperature
        loss = -torch.log_softmax(z, 1).sum()
        gradients = torch.autograd.grad(loss, weights)
        found.append(mean(g.abs().sum() for g in gradients))
    for weight in weights:
        weight.requires_grad_(False)
    return torch.stack(found)


def closed_form(nets, x, temperature=1.0):
    """The same without a backward pass, to be checked against it: ‖C·p̄ − 1‖₁ · mean ‖f‖₁ / (M·T)."""
    with torch.no_grad():
        z, f, _ = zip(*(net(x) for net in nets))
    p = torch.softmax(mean(z) / temperature, 1)
    spread = (p.shape[1] * p - 1).abs().sum(1)
    return spread * mean(f_m.abs().sum(1) for f_m in f) / (len(nets) * temperature)
