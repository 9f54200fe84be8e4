"""T2T-ViT with performer tokens in plain PyTorch, with the names and initial weights of the authors' code. Stages: the
tokens after every sixth block and the last, [N, D, 197, 1]."""

import math
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .entry import Entry

def trunc_normal_(tensor, std):
    """timm's, bounds ±2. That of torch.nn.init draws differently from 2.13 on."""
    cdf = lambda x: (1 + math.erf(x / math.sqrt(2))) / 2
    with torch.no_grad():
        tensor.uniform_(2 * cdf(-2 / std) - 1, 2 * cdf(2 / std) - 1).erfinv_()
        tensor.mul_(std * math.sqrt(2)).add_(0.0).clamp_(-2, 2)


def sinusoids(positions, width):
    j = np.arange(width)
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (j // 2) / width)
    table = np.where(j % 2 == 0, np.sin(angles), np.cos(angles))
    return torch.from_numpy(table.astype(np.float32)).unsqueeze(0)


class Performer(nn.Module):
    def __init__(self, inputs, dropout):
        super().__init__()
        self.kqv = nn.Linear(inputs, 3 * 64)
        self.dropout = nn.Dropout(dropout)
        self.proj = nn.Linear(64, 64)
        self.norm1 = nn.LayerNorm(inputs)
        self.norm2 = nn.LayerNorm(64)
        self.mlp = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.Dropout(dropout))
        rows = nn.init.orthogonal_(torch.randn(32, 64))
        self.w = nn.Parameter(rows * math.sqrt(32), requires_grad=False)

    def phi(self, u):
        return torch.exp(u @ self.w.T - (u * u).sum(-1, keepdim=True) / 2) / math.sqrt(32)

    def forward(self, x):
        k, q, v = self.kqv(self.norm1(x)).split(64, dim=-1)
        k, q = self.phi(k), self.phi(q)
        divisor = torch.einsum("nti,ni->nt", q, k.sum(1)).unsqueeze(2) + 1e-8
        y = torch.einsum("nti,nie->nte", q, torch.einsum("nti,nte->nie", k, v)) / divisor
        y = v + self.dropout(self.proj(y))
        return y + self.mlp(self.norm2(y))


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.heads = width // 64
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        y = (0.125 * q @ k.transpose(2, 3)).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(n, t, width))


class Block(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(width, hidden)
        self.mlp.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class Tokens(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.attention1 = Performer(3 * 7 * 7, dropout)
        self.attention2 = Performer(64 * 3 * 3, dropout)
        self.project = nn.Linear(64 * 3 * 3, width)

    def forward(self, x):
        x = self.attention1(F.unfold(x, 7, padding=2, stride=4).transpose(1, 2))
        x = x.transpose(1, 2).unflatten(2, (56, 56))
        x = self.attention2(F.unfold(x, 3, padding=1, stride=2).transpose(1, 2))
        x = x.transpose(1, 2).unflatten(2, (28, 28))
        return self.project(F.unfold(x, 3, padding=1, stride=2).transpose(1, 2))


class T2TViT(nn.Module):
    def __init__(self, depth, mlp_ratio, width, classes, dropout):
        super().__init__()
        self.tokens_to_token = Tokens(width, dropout)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(sinusoids(197, width), requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, mlp_ratio * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        trunc_normal_(self.cls_token, 0.02)
        self.apply(self.draw_again)

    @staticmethod
    def draw_again(module):
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.tokens_to_token(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        stages = []
        for i, block in enumerate(self.blocks, 1):
            x = block(x)
            if i % 6 == 0 or i == len(self.blocks):
                stages.append(x.transpose(1, 2).unsqueeze(3))
        penultimate = self.norm(x)[:, 0]
        return self.head(penultimate), penultimate, stages


# Orthogonal rows come out of a QR decomposition.
ROWS = ("tokens_to_token.attention1.w", "tokens_to_token.attention2.w")
NETWORKS = {
    f"t2t-vit-{depth}": Entry(
        partial(T2TViT, depth, ratio), width=width, classes=1000, dropout=0.1, size=224, step=64, loose=ROWS
    )
    for depth, width, ratio in ((7, 256, 2), (10, 256, 2), (12, 256, 2), (14, 384, 3), (19, 448, 3), (24, 512, 3))
}
