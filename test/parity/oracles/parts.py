"""How each family of torch_networks goes on from one of its last two stages: what RankFeat needs."""

from typing import Callable, NamedTuple

import torch.nn.functional as F
from torch import nn
from torch_networks import densenet, residual, t2t_vit, wide


class Parts(NamedTuple):
    """`last`: the name of the last layer. `reads`: what it reads, [N, D], from the last stage's map. `goes_on`: the last
    stage's map from that of the stage before it; None where RankFeat leaves it out."""

    last: Callable[[nn.Module], str]
    reads: Callable
    goes_on: Callable | None


def average(stage):
    return stage.mean((2, 3))


def first_token(net, stage):
    """The stage is [N, D, T, 1]."""
    return net.norm(stage.squeeze(3).transpose(1, 2))[:, 0]


PARTS = {
    residual.ResNet: Parts(
        lambda net: net.last,
        lambda net, stage: average(stage),
        lambda net, before: getattr(net, f"layer{net.depth}")(before),
    ),
    wide.WideResNet: Parts(
        lambda net: "linear",
        lambda net, stage: average(stage),
        lambda net, before: F.relu(net.bn1(before)),
    ),
    densenet.DenseNet: Parts(
        lambda net: "classifier",
        lambda net, stage: average(F.relu(stage)),
        lambda net, before: net.features.norm5(net.features.denseblock4(before)),
    ),
    densenet.CifarDenseNet: Parts(
        lambda net: "fc",
        lambda net, stage: average(F.relu(stage)),
        lambda net, before: net.bn1(net.block3.layer(before)),
    ),
    t2t_vit.T2TViT: Parts(lambda net: "head", first_token, None),
}


def last_layer(net):
    return getattr(net, PARTS[type(net)].last(net))


def head(net, stage):
    """Logits from the last stage's map."""
    return last_layer(net)(PARTS[type(net)].reads(net, stage))


def goes_on(net):
    """The function from the last stage but one to the last stage, or None."""
    found = PARTS[type(net)].goes_on
    return found and (lambda before: found(net, before))
