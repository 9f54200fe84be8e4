"""ResNets: for CIFAR as in kuangliu/pytorch-cifar, for ImageNet as in torchvision, and the small ones of He et al. for CIFAR
as in akamaster/pytorch_resnet_cifar10 and with 1×1 convolutions on the shortcuts."""

from functools import partial

import torch.nn.functional as F
from torch import nn

from .entry import Entry

# Blocks a layer, and convolutions a block: He et al., arXiv 1512.03385, table 1.
DEPTHS = {18: ((2, 2, 2, 2), 2), 34: ((3, 4, 6, 3), 2), 50: ((3, 4, 6, 3), 3), 101: ((3, 4, 23, 3), 3), 152: ((3, 8, 36, 3), 3)}


def conv(inputs, outputs, side, stride=1):
    return nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)


class Pad(nn.Module):
    """Option A: every second pixel, and zero channels before and after."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.channels, self.channels))


class Block(nn.Module):
    """Two 3×3 convolutions, or 1×1, 3×3 and 1×1 to four times the width; `way` names the shortcut's module, or is `pad`."""

    def __init__(self, inputs, width, stride, convolutions, way):
        super().__init__()
        outputs = width if convolutions == 2 else 4 * width
        if convolutions == 2:
            shapes = [(inputs, width, 3, stride), (width, width, 3, 1)]
        else:
            shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        changes = stride != 1 or inputs != outputs
        # torchvision makes `downsample` before the block, and hands it in.
        downsample = self.projection(inputs, outputs, stride) if way == "downsample" and changes else None
        for i, shape in enumerate(shapes, 1):
            setattr(self, f"conv{i}", conv(*shape))
            setattr(self, f"bn{i}", nn.BatchNorm2d(shape[1]))
        self.count = len(shapes)
        self.outputs = outputs
        self.way = "shortcut" if way == "pad" else way
        if way == "downsample":
            self.downsample = downsample
        elif way == "pad":
            self.shortcut = Pad(width // 4) if changes else nn.Sequential()
        else:
            self.shortcut = self.projection(inputs, outputs, stride) if changes else nn.Sequential()

    @staticmethod
    def projection(inputs, outputs, stride):
        return nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = F.relu(y)
        shortcut = getattr(self, self.way)
        y += x if shortcut is None else shortcut(x)
        return F.relu(y)


class ResNet(nn.Module):
    def __init__(self, width, classes, blocks, convolutions=2, way="shortcut", imagenet=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if imagenet else conv(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        inputs = width
        self.depth = len(blocks)
        for layer, count in enumerate(blocks):
            made = []
            for block in range(count):
                stride = 2 if layer > 0 and block == 0 else 1
                made.append(Block(inputs, width << layer, stride, convolutions, way))
                inputs = made[-1].outputs
            setattr(self, f"layer{layer + 1}", nn.Sequential(*made))
        self.last = "fc" if imagenet else "linear"
        setattr(self, self.last, nn.Linear(inputs, classes))

    def forward(self, x):
        stages = [self.pool(F.relu(self.bn1(self.conv1(x))))]
        for layer in range(1, self.depth + 1):
            stages.append(getattr(self, f"layer{layer}")(stages[-1]))
        penultimate = stages[-1].mean((2, 3))
        return getattr(self, self.last)(penultimate), penultimate, stages


def cifar(depth, width, classes, dropout):
    blocks, convolutions = DEPTHS[depth]
    return ResNet(width, classes, blocks, convolutions)


def imagenet(depth, width, classes, dropout):
    blocks, convolutions = DEPTHS[depth]
    net = ResNet(width, classes, blocks, convolutions, "downsample", imagenet=True)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1)
            nn.init.constant_(module.bias, 0)
    return net


def small(depth, way, width, classes, dropout):
    net = ResNet(width, classes, [(depth - 2) // 6] * 3, way=way)

    def draw(module):
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight)

    return net.apply(draw) if way == "pad" else net


SMALL = (20, 32, 44, 56, 110)

NETWORKS = {
    **{f"cifar-resnet{d}": Entry(partial(cifar, d), width=64) for d in DEPTHS},
    **{f"cifar-resnet{d}": Entry(partial(small, d, "pad"), width=16, step=2) for d in SMALL},
    **{f"cifar-resnet{d}-b": Entry(partial(small, d, "shortcut"), width=16) for d in SMALL},
    **{f"resnet{d}": Entry(partial(imagenet, d), width=64, classes=1000, size=224) for d in DEPTHS},
}
