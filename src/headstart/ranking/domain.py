"""How near data is to what a model was pretrained on, as far as the checkpoint itself tells.

Batch norms keep the mean and the variance that each of their channels had in pretraining, so a checkpoint with batch
norms carries statistics of its pretraining set, layer by layer. They are compared with those of the data (Li et al. 2016,
arXiv 1603.04779, adapt a network by exchanging the two). Checkpoints without batch norms tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.models.backbone import Backbone

SAMPLES = 32
NEAR, FAR = 0.9, 0.75  # what is called near and far: rules of thumb, not validated


def similarity(backbone: Backbone, dataset: Dataset, seed: int = 0) -> float | None:
    """Between 0 and 1: the mean overlap (Bhattacharyya coefficient) of each channel in pretraining and in this data.

    Channels are taken as Gaussians; first the channels of a layer are averaged, then the layers. None where the
    checkpoint has no batch norms, or their statistics were never trained.
    """
    norms = [m for m in backbone.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and _trained(m)]
    if not norms or not len(dataset):
        return None
    rows = np.random.default_rng(seed).permutation(len(dataset))[:SAMPLES]
    values = decoded(dataset, rows.tolist())
    overlaps: list[float] = []
    hooks = [norm.register_forward_pre_hook(_compared(norm, overlaps)) for norm in norms]
    try:
        with torch.inference_mode():
            backbone.eval()(backbone.prepare(values))
    finally:
        for hook in hooks:
            hook.remove()
    return float(np.mean(overlaps)) if overlaps else None


def decoded(dataset: Dataset, rows: Sequence[int]) -> list:
    """The decoded values of some samples."""
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    return [modality.decode(dataset.items[i], None, dataset.names[i]) for i in rows]


def word(value: float | None) -> str:
    """near, medium, far or unknown."""
    if value is None:
        return "unknown"
    return "near" if value >= NEAR else "far" if value < FAR else "medium"


def _trained(norm: nn.modules.batchnorm._BatchNorm) -> bool:
    """Fresh statistics are 0 and 1 throughout."""
    return norm.running_mean is not None and bool(norm.running_mean.abs().max() > 0)


def _compared(norm: nn.modules.batchnorm._BatchNorm, overlaps: list[float]) -> Callable[[nn.Module, tuple], None]:
    def hook(_module: nn.Module, given: tuple) -> None:
        x: Tensor = given[0].float().reshape(*given[0].shape[:2], -1)  # (samples, channels, positions)
        assert norm.running_mean is not None and norm.running_var is not None
        spread = norm.running_var.float()
        floor = 1e-3 * spread.mean() + norm.eps  # a channel that is dead in both is alike, not infinitely far apart
        mean = x.mean((0, 2))
        lengths = torch.linalg.vector_norm(x - mean[:, None], dim=2)  # the same as Tensor.var, which takes ten times as long
        here, there = lengths.square().sum(0) / (x.shape[0] * x.shape[2]) + floor, spread + floor
        distance = (mean - norm.running_mean.float()).square() / (here + there) / 4
        distance = distance + 0.5 * ((here + there) / (2 * (here * there).sqrt())).log()
        overlaps.append(float((-distance).exp().mean()))

    return hook
