"""Inputs and weights from formulas that TypeScript and Python both know, so that fixtures need not hold them."""

import torch


def pixels(count, size=32):
    """uint8 values, [count, 3, size, size]; the same as syntheticRecords() in test/helpers/cifar.ts."""
    i = torch.arange(count).view(-1, 1, 1, 1)
    c = torch.arange(3).view(1, -1, 1, 1)
    y = torch.arange(size).view(1, 1, -1, 1)
    x = torch.arange(size).view(1, 1, 1, -1)
    return (i * 37 + c * 71 + y * (3 + i % 5) + x * (5 + i % 7) + (x * y) // 3) % 256


def images(count, size):
    """Network inputs in [-2, 2]; the same as networkInput() in test/helpers/networks.ts."""
    return ((pixels(count, size).double() / 255 - 0.5) * 4).float()


def labels(count, classes):
    return torch.arange(count) % classes


# Values of element i of a normalisation's tensors. A network with them has no two channels that may be swapped, no mean of
# 0 and no variance of 1, and its signal neither dies nor explodes through 150 layers. As NORMS in test/helpers/networks.ts.
NORMS = {
    "running_mean": lambda i: (i * 7 + 3) % 11 / 50 - 0.1,
    "running_var": lambda i: (i * 5 + 1) % 13 / 26 + 0.75,
    "weight": lambda i: (i * 3 + 2) % 7 / 14 + 0.5,
    "bias": lambda i: (i * 11 + 4) % 9 / 40 - 0.1,
}


def set_norms(net):
    """Every batch and layer norm gets the values of NORMS: they are the modules whose weight has one dimension."""
    state = net.state_dict()
    for name, tensor in state.items():
        module, _, kind = name.rpartition(".")
        weight = state.get(f"{module}.weight")
        if kind in NORMS and weight is not None and weight.dim() == 1:
            tensor.copy_(NORMS[kind](torch.arange(len(tensor), dtype=torch.float64)))
