"""Lee et al., NeurIPS 2018, arXiv 1807.03888, with one covariance a stage. A stage's feature is its average over space, and
over modes where there are several; statistics and distances are float64."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import pinvh
from sklearn.covariance import EmpiricalCovariance

from .common import batched, input_gradient, mean, sign


class Stage(NamedTuple):
    means: torch.Tensor  # [K, D], of the K classes that the training set has, in their order
    precision: torch.Tensor  # [D, D]
    rank: int  # of the covariance: below D the precision is a pseudo-inverse


def stage_features(nets, x):
    """A list of [N, D_k] in float64; gradients flow through all networks."""
    stages = [[stage.mean((2, 3)).double() for stage in net(x)[2]] for net in nets]
    return [mean(of_modes) for of_modes in zip(*stages)]


def features(nets, x):
    with torch.no_grad():
        return batched(lambda batch: stage_features(nets, batch), x)


def fit(features, labels):
    """A Stage for each of `features`, a list of [N, D_k]."""
    return [fit_stage(f.numpy(), np.asarray(labels)) for f in features]


def fit_stage(f, labels):
    classes = np.unique(labels)
    means = np.stack([f[labels == c].mean(0) for c in classes])
    centred = np.concatenate([f[labels == c] - mean for c, mean in zip(classes, means)])
    precision = EmpiricalCovariance(assume_centered=False).fit(centred).precision_
    by_hand, rank = pinvh(np.cov(centred, rowvar=False, bias=True), return_rank=True)
    if rank == f.shape[1]:
        # Of a singular covariance the two differ where a null eigenvalue's rounding lies at the cut.
        assert np.allclose(precision, by_hand, rtol=1e-5, atol=1e-9 * np.abs(precision).max())
    return Stage(torch.from_numpy(means), torch.from_numpy(precision), int(rank))


def half_distances(f, stage):
    """½ d² to each class, [N, K]."""
    away = f[:, None, :] - stage.means
    return 0.5 * torch.einsum("nki,ij,nkj->nk", away, stage.precision, away)


def perturbed(nets, x, k, stage, magnitude):
    """x − magnitude · sign(∇ ½ d² of the closest class), by stage k alone."""

    def loss(x):
        distances = half_distances(stage_features(nets, x)[k], stage)
        closest = distances.detach().argmin(1, keepdim=True)
        return distances.gather(1, closest).sum()

    return x - magnitude * sign(input_gradient(loss, x))


def stage_scores(nets, x, stages, magnitude):
    """max_c −½ d_c² of each stage, [N, number of stages]."""

    def of_batch(x):
        columns = []
        for k, stage in enumerate(stages):
            moved = perturbed(nets, x, k, stage, magnitude) if magnitude > 0 else x
            with torch.no_grad():
                columns.append(-half_distances(stage_features(nets, moved)[k], stage).amin(1))
        return torch.stack(columns, 1)

    return batched(of_batch, x)


def adversarial(nets, x, labels, step, clamp, mean_of_pixels, std_of_pixels):
    """Copies of x one step up the mean of the modes' cross-entropies with the true labels. Step and clamp act on normalised
    pixels. `clamp`: `pixels` keeps what pixels from 0 to 255 normalise to; `normalized` cuts to [0, 1] after normalisation, as
    the paper's public code does; `none` cuts nothing."""

    def of_batch(x, labels):
        loss = lambda x: mean(F.cross_entropy(net(x)[0], labels, reduction="sum") for net in nets)
        return x + step * sign(input_gradient(loss, x))

    moved = batched(of_batch, x, labels)
    per_channel = lambda values: torch.tensor(values, dtype=x.dtype).view(1, 3, 1, 1)
    centre, width = per_channel(mean_of_pixels), per_channel(std_of_pixels)
    if clamp == "pixels":
        return moved.clamp(min=(0 - centre) / width, max=(1 - centre) / width)
    return moved.clamp(0, 1) if clamp == "normalized" else moved
