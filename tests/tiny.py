"""Tiny data, a tiny backbone and a tiny split: everything trains in a second on one core."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors.torch import save_file

from headstart import models
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.models.backbone import Backbone, Features, FeatureSpec, Inputs, Stage
from headstart.models.card import ModelCard, write_card
from headstart.models.pictures import PictureBackbone
from headstart.models.zoo import assemble
from headstart.tasks.classification import Classification
from headstart.training.run import sow

torch.set_num_threads(1)

SIDE = 32  # pixels
LABELS = ("ring", "bar", "cross")  # not in sorted order on purpose
CARD = ModelCard(
    architecture="embedded/small_resnet",
    modality="image",
    arguments={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]},
    weights="model.safetensors",
    input_size=(3, SIDE, SIDE),
    mean=(0.5, 0.4, 0.3),
    std=(0.25, 0.3, 0.2),
)


def picture(label: str, rng: np.random.Generator, side: int = 28) -> np.ndarray:
    """(side, side, 3) uint8: a coloured shape on a noisy ground; the colour says nothing of the class."""
    y, x = np.mgrid[:side, :side] - side / 2 - rng.uniform(-3, 3, size=(2, 1, 1))
    radius = rng.uniform(6, 9)
    inside = {
        "ring": np.abs(np.hypot(x, y) - radius) < 2,
        "bar": (np.abs(y) < 2.5) & (np.abs(x) < radius),
        "cross": (np.minimum(np.abs(x), np.abs(y)) < 2) & (np.maximum(np.abs(x), np.abs(y)) < radius),
    }[label]
    ground = rng.integers(0, 90, (side, side, 3))
    return np.where(inside[..., None], rng.integers(150, 256, 3), ground).astype(np.uint8)


def dataset(per_class: int = 8, seed: int = 0, labels: tuple[str, ...] = LABELS) -> Dataset:
    rng = np.random.default_rng(seed)
    names = [label for _ in range(per_class) for label in labels]
    items = [picture(label, rng) for label in names]
    return Dataset(items, [f"{seed}/{i}" for i in range(len(items))], names, "image", origin="tiny")


def split(per_class: int = 8) -> Split:
    """With a target domain whose labels are nobody's to see, but for a few samples."""
    return Split(
        dataset(per_class, 1), dataset(4, 2), dataset(4, 3), dataset(4, 4).without_labels(), labelled=dataset(4, 5)
    )


def task() -> Classification:
    return Classification.learn(LABELS)


def backbone(seed: int = 0) -> PictureBackbone:
    """Random weights, batch norms with statistics that are not 0 and 1."""
    sow(seed, 7)
    made = assemble(CARD, "tiny", None)
    assert isinstance(made, PictureBackbone)
    unsettle(made.network)
    return made.eval()


def unsettle(network: torch.nn.Module) -> None:
    """Batch-norm statistics and factors as a trained network has them."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)


def saved(folder: Path) -> Path:
    """The tiny backbone as a folder with card.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    write_card(CARD, folder / "card.json")
    state = {name: value.contiguous() for name, value in backbone().network.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    return folder


def loaded(folder: Path) -> PictureBackbone:
    made = models.load(str(saved(folder)))
    assert isinstance(made, PictureBackbone)
    return made


def frozen_bytes(module: torch.nn.Module) -> dict[str, bytes]:
    """Every parameter and buffer, byte for byte."""
    return {name: value.detach().cpu().numpy().tobytes() for name, value in module.state_dict().items()}


def environment(**more: str) -> dict[str, str]:
    """For a second process: finds this file, uses one thread, reaches no hub."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


PYTHON = sys.executable


class NumberBackbone(Backbone):
    """A network on rows of numbers, all of it one stage: small enough to say what a training must come to."""

    def __init__(self, network: torch.nn.Module, dim: int) -> None:
        super().__init__()
        self.card, self.reference = ModelCard("toy/numbers", "table"), "toy"
        self.network = network
        self.stages = [Stage("all", (network,))]
        self.spec, self.precision, self.provides = FeatureSpec(dim), torch.float32, frozenset({"vector", "gradients"})

    def shape(self, value: dict[str, float], *, whole: bool = False) -> np.ndarray:
        return np.array(list(value.values()), np.float32)

    def batch(self, shaped: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(shaped))

    def forward(self, batch: Inputs) -> Features:
        assert isinstance(batch, torch.Tensor)
        return Features(self.network(batch))
