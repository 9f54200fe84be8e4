"""Liang, Li, Srikant, ICLR 2018, arXiv 1706.02690. Each mode perturbs the image by its own gradient of the cross-entropy
with its own prediction; with `accumulated` mode j takes the sign of the sum of the first j modes' gradients, as the paper's
public code does, in which nobody sets the input's gradient to zero between modes."""

import torch
import torch.nn.functional as F

from .common import batched, input_gradient, mean, sign


def gradient(net, x, temperature):
    def loss(x):
        z = net(x)[0] / temperature
        # A sum, so that the batch's size changes no image's gradient.
        return F.cross_entropy(z, z.detach().argmax(1), reduction="sum")

    return input_gradient(loss, x)


def perturbed_logits(nets, x, epsilon, temperature, accumulated=False):
    """A list of [N, C]: each mode's logits of its own perturbed images."""

    def of_batch(x):
        sum_, found = torch.zeros_like(x), []
        for net in nets:
            g = gradient(net, x, temperature)
            sum_ = sum_ + g
            moved = x - epsilon * sign(sum_ if accumulated else g)
            with torch.no_grad():
                found.append(net(moved)[0])
        return found

    return batched(of_batch, x)


def score(logits, temperature):
    return torch.softmax(mean(logits) / temperature, 1).amax(1)
