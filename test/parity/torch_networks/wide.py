"""Wide ResNets as in meliketoy/wide-resnet.pytorch: convolutions with bias, a last batch norm of momentum 0.9."""

from functools import partial

import torch.nn.functional as F
from torch import nn

from .entry import Entry


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=True)
        self.dropout = nn.Dropout(dropout)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=True))

    def forward(self, x):
        y = self.dropout(self.conv1(F.relu(self.bn1(x))))
        y = self.conv2(F.relu(self.bn2(y)))
        return y + self.shortcut(x)


class WideResNet(nn.Module):
    def __init__(self, depth, factor, width, classes, dropout):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=True)
        inputs = width
        for layer in range(3):
            outputs = (width * factor) << layer
            made = []
            for block in range((depth - 4) // 6):
                made.append(Block(inputs, outputs, 2 if layer > 0 and block == 0 else 1, dropout))
                inputs = outputs
            setattr(self, f"layer{layer + 1}", nn.Sequential(*made))
        self.bn1 = nn.BatchNorm2d(inputs, momentum=0.9)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x):
        stages = [self.conv1(x)]
        for layer in (self.layer1, self.layer2, self.layer3):
            stages.append(layer(stages[-1]))
        stages.append(F.relu(self.bn1(stages[-1])))
        penultimate = stages[-1].mean((2, 3))
        return self.linear(penultimate), penultimate, stages


NETWORKS = {
    f"wrn-{depth}-{factor}": Entry(partial(WideResNet, depth, factor), width=16, dropout=0.3)
    for depth, factor in ((16, 4), (28, 2), (28, 10), (40, 2))
}
