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


MASK = 0xFFFFFFFF


def mix(h):
    """The 32-bit hash `lowbias32` of Chris Wellons, https://nullprogram.com/blog/2018/07/31/, on int64 tensors."""
    h = h & MASK
    h = h ^ (h >> 16)
    h = h * 0x7FEB352D & MASK
    h = h ^ (h >> 15)
    h = h * 0x846CA68B & MASK
    return h ^ (h >> 16)


def word(*keys):
    """32 bits that look random, of any number of whole numbers or tensors of them."""
    h = torch.zeros((), dtype=torch.int64)
    for key in keys:
        h = mix(h + key + 0x9E3779B9)
    return h


def scenes(count, size, salt, grid, classes):
    """uint8 images [count, size, size, 3] of colour cells and noise; the same as scenes() in test/helpers/scenes.ts. A coarse
    pattern belongs to the class i % classes, whatever the salt, or, where there are no classes, to the image."""
    shape = lambda values, *at: values.view([-1 if d in at else 1 for d in range(4)])
    i, c = shape(torch.arange(count), 0), shape(torch.arange(3), 3)
    y, x = shape(torch.arange(size), 1), shape(torch.arange(size), 2)
    coarse, fine = word(salt, i, 0) % 17 + 16, word(salt, i, 1) % 17 + 16
    owner = (0, 0, i % classes) if classes else (salt, i, 2)
    pattern = word(*owner, c, y * 4 // size, x * 4 // size) % 256
    cells = word(salt, i, 3, c, y * grid // size, x * grid // size) % 256
    noise = word(salt, i, 4, c, y, x) % 256
    return ((coarse * pattern + fine * cells + (64 - coarse - fine) * noise) // 64).to(torch.uint8)


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


def scale_weights(net, norms, head):
    """Multiplies the weights of batch and layer norms (they have one dimension) and of the last layer by powers of two, which
    is exact: fresh weights leave some networks' outputs all but equal and let those of others explode. As scaleWeights() in
    test/helpers/scenes.ts."""
    state = net.state_dict()
    last = [name for name in state if name.endswith(".weight")][-1]
    for name, tensor in state.items():
        if name.endswith(".weight") and tensor.dim() == 1:
            tensor.mul_(norms)
    state[last].mul_(head)
