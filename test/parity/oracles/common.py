import torch

BATCH = 32


def batched(compute, x, *others, size=BATCH):
    """compute(batch, …) for all images, put together: a tensor or a list of tensors, [N, …] each."""
    made = [compute(*(t[at : at + size] for t in (x, *others))) for at in range(0, len(x), size)]
    if isinstance(made[0], torch.Tensor):
        return torch.cat(made)
    return [torch.cat(parts) for parts in zip(*made)]


def mean(tensors):
    """Over modes. Summed in their order, then divided."""
    tensors = list(tensors)
    return sum(tensors[1:], tensors[0]) / len(tensors)


def sign(gradient):
    """±1, and 1 where the gradient is 0 (so does -0.0)."""
    return torch.where(gradient >= 0, 1.0, -1.0).to(gradient.dtype)


def input_gradient(loss_of, x):
    """∇_x of a scalar. Images of a batch do not touch each other, since normalisation statistics are fixed."""
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss_of(x), x)
    return gradient


def logits(nets, x):
    """A list of [N, C], one for each network."""
    with torch.no_grad():
        return [batched(lambda batch: net(batch)[0], x) for net in nets]
