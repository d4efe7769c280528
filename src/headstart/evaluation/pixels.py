"""The plainest baseline: a linear model on the raw values, scaled down. What needs no pretrained model at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image as Pillow

from headstart import plugins, solvers
from headstart.data.dataset import Dataset, Item
from headstart.data.modalities import Modality
from headstart.data.split import Split
from headstart.models.backbone import Features
from headstart.tasks import Task

SIDE = 24  # pixels; more changes little and costs memory


def pixel_table(dataset: Dataset) -> np.ndarray:
    """(n, SIDE * SIDE * 3) float32 colours in [0, 1]."""
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()

    def row(item: Item) -> np.ndarray:
        picture = Pillow.fromarray(modality.decode(item, SIDE * 2))
        return np.asarray(picture.resize((SIDE, SIDE), Pillow.Resampling.BOX), np.float32).ravel() / 255

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(row, dataset.items)))


def pixel_probabilities(task: Task, split: Split, seed: int) -> np.ndarray:
    """(n, k) test probabilities of a logistic regression on raw pixels, its penalty chosen by cross-validation."""
    import torch

    labels = task.encode(split.train.labels or [])
    fitted = solvers.fit("logistic", pixel_table(split.train), labels, len(task.to_dict()["classes"]), seed=seed)
    with torch.inference_mode():
        return task.probabilities(fitted.head(Features(torch.from_numpy(pixel_table(split.test)))))
