"""DenseNet-BC in plain PyTorch, with the names and initial weights of torchvision's (DenseNet) and of densenet-pytorch
(CifarDenseNet)."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from .entry import Entry


class Layer(nn.Module):
    def __init__(self, norm, inputs, growth):
        super().__init__()
        self.norms = (f"{norm}1", f"{norm}2")
        setattr(self, self.norms[0], nn.BatchNorm2d(inputs))
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        setattr(self, self.norms[1], nn.BatchNorm2d(4 * growth))
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        norm1, norm2 = (getattr(self, name) for name in self.norms)
        y = self.conv1(F.relu(norm1(x)))
        return torch.cat([x, self.conv2(F.relu(norm2(y)))], 1)


class Transition(nn.Module):
    def __init__(self, norm, conv, inputs):
        super().__init__()
        self.names = (norm, conv)
        setattr(self, norm, nn.BatchNorm2d(inputs))
        setattr(self, conv, nn.Conv2d(inputs, inputs // 2, 1, bias=False))

    def forward(self, x):
        norm, conv = (getattr(self, name) for name in self.names)
        return F.avg_pool2d(conv(F.relu(norm(x))), 2)


class DenseNet(nn.Module):
    """Stages: pool0, each transition, norm5 before ReLU."""

    def __init__(self, blocks, width, classes, dropout):
        super().__init__()
        growth = width // 2
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, width, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(width))
        self.features.add_module("relu0", nn.ReLU())
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for b, layers in enumerate(blocks, 1):
            block = nn.Sequential()
            for i in range(layers):
                block.add_module(f"denselayer{i + 1}", Layer("norm", width, growth))
                width += growth
            self.features.add_module(f"denseblock{b}", block)
            if b < 4:
                self.features.add_module(f"transition{b}", Transition("norm", "conv", width))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x):
        stages = []
        for name, module in self.features.named_children():
            x = module(x)
            if name in ("pool0", "transition1", "transition2", "transition3", "norm5"):
                stages.append(x)
        penultimate = F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1)
        return self.classifier(penultimate), penultimate, stages


class CifarDenseNet(nn.Module):
    """Depth 100. Stages: conv1, trans1, trans2, bn1 before ReLU."""

    def __init__(self, width, classes, dropout):
        super().__init__()
        growth = width // 2
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        for b in (1, 2, 3):
            layers = [Layer("bn", width + i * growth, growth) for i in range(16)]
            block = nn.Module()
            block.layer = nn.Sequential(*layers)
            setattr(self, f"block{b}", block)
            width += 16 * growth
            if b < 3:
                setattr(self, f"trans{b}", Transition("bn1", "conv1", width))
                width //= 2
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2.0 / fan_out))
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        stages = [self.conv1(x)]
        stages.append(self.trans1(self.block1.layer(stages[-1])))
        stages.append(self.trans2(self.block2.layer(stages[-1])))
        stages.append(self.bn1(self.block3.layer(stages[-1])))
        penultimate = F.avg_pool2d(F.relu(stages[-1]), 8).flatten(1)
        return self.fc(penultimate), penultimate, stages


NETWORKS = {
    "densenet121": Entry(partial(DenseNet, (6, 12, 24, 16)), width=64, classes=1000, size=224, step=2),
    "densenet161": Entry(partial(DenseNet, (6, 12, 36, 24)), width=96, classes=1000, size=224, step=2),
    "densenet169": Entry(partial(DenseNet, (6, 12, 32, 32)), width=64, classes=1000, size=224, step=2),
    "densenet201": Entry(partial(DenseNet, (6, 12, 48, 32)), width=64, classes=1000, size=224, step=2),
    "cifar-densenet-bc-100": Entry(CifarDenseNet, width=24, step=2),
}
