"""Distill: a small network learns the labels and, beside them, to say what a larger pretrained one says.

The student's features, through a linear map that is thrown away afterwards, are drawn to the teacher's features
of the same augmented sample (Romero et al. 2015, FitNets, arXiv 1412.6550; Beyer et al. 2022, arXiv 2106.05237,
for showing both the same view).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart import models, views
from headstart.approaches import Approach, Network, check, fresh, judge
from headstart.data.split import Split
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Task
from headstart.training.batches import Batch, Batches
from headstart.training.loop import Objective, Recipe, minimise
from headstart.training.run import Run, sow
from headstart.tuning import decayed, freeze_others, training_mode


@dataclass(frozen=True)
class Distill(Approach):
    """Args:
    teacher: reference of a pretrained model.
    teacher_size: side in pixels at which the teacher looks, 0 for its own; smaller is faster.
    views: how many augmented versions of a sample there are; the teacher sees each of them once.
    weight: of the teacher's part of the loss.
    Others as in Scratch.
    """

    teacher: str = field(default="", metadata={"reference": True})
    teacher_size: int = 0
    views: int = 6
    weight: float = 4.0
    epochs: int = 30
    learning_rate: float = 2e-3
    batch_size: int = 256
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    augment: str = "auto"
    average: float = 0.998
    needs = frozenset({"vector", "gradients"})
    kinds = frozenset()

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        check(self, backbone)
        if not self.teacher:
            raise ConfigError("$.approach.teacher: missing; name a pretrained model, --set teacher=timm:resnet18")
        student = fresh(backbone, run.seed)
        sow(run.seed, 2)
        head = task.head(student.spec.dim)
        head.label_smoothing = self.label_smoothing  # type: ignore[assignment]
        teacher = Teacher(self, split, run)
        map_to_teacher = nn.Linear(student.spec.dim, teacher.dim)
        parts = [*student.parameters(), *head.parameters(), *map_to_teacher.parameters()]
        groups = decayed(parts, self.learning_rate, self.weight_decay)
        freeze_others(student, groups)
        module = Network(student, head)
        module.add_module("map_to_teacher", map_to_teacher)
        module.to(run.device)
        labels = task.encode(split.train.labels or [])
        recipe = views.chosen(self.augment, student, task, split, run)
        size = min(self.batch_size, len(labels))
        batches = Batches(split.train, labels, student, size, recipe, run.seed, views=self.views)

        def losses(batch: Batch) -> dict[str, Tensor]:
            wanted = teacher.targets(batches, batch)
            features = module.backbone(batch.inputs)
            gap = functional.smooth_l1_loss(map_to_teacher(features.vector).float(), wanted)
            return {**head.losses(features, batch.labels), "teacher": self.weight * gap}

        def set_mode() -> None:
            training_mode(student)
            head.train()

        valid = judge(task, split.valid, run)
        objective = Objective(module, batches, len(batches), losses, valid, set_mode)
        minimise(objective, groups, Recipe(self.epochs, warmup=0.05, clip=5.0, average=self.average), run)
        return Predictor(student.eval(), head.eval(), task, split.train.modality)


class Teacher:
    """What the teacher says of every view of every sample, asked once and kept in a file of the run."""

    def __init__(self, settings: Distill, split: Split, run: Run) -> None:
        backbone = models.load(settings.teacher).eval()
        if backbone.card.modality != split.train.modality:
            raise Incompatible(
                f"The teacher {settings.teacher} takes samples of the kind {backbone.card.modality!r}, and the data holds "
                f"{split.train.modality!r}. Choose a teacher for {split.train.modality}."
            )
        if side := settings.teacher_size:
            channels = (backbone.card.input_size or (3,))[0]
            backbone.card = backbone.card.replace(input_size=(channels, side, side), crop_fraction=1.0)
        self.backbone = backbone.fast()
        self.dim = backbone.spec.dim
        shape = (settings.views, len(split.train), self.dim)
        self.told = self._table(run.folder, "told", shape, np.float16)
        self.asked = self._table(run.folder, "asked", shape[:2], np.bool_)
        self.mean: Tensor | None = None

    @staticmethod
    def _table(folder: Path | None, name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
        if folder is None:
            return np.zeros(shape, kind)
        path = folder / f"teacher.{name}.npy"
        mode = "r+" if path.exists() else "w+"
        table = np.lib.format.open_memmap(path, mode, kind, shape if mode == "w+" else None)
        if table.shape != shape:
            table = np.lib.format.open_memmap(path, "w+", kind, shape)
        return table

    @torch.no_grad()
    def targets(self, batches: Batches, batch: Batch) -> Tensor:
        """(n, dim) float32 features of the teacher, each scaled to mean 0 and variance 1."""
        view, places = batch.view, batch.places
        if not self.asked[view, places].all():
            values = [self.backbone.shape(batches.augmented(int(i), view), whole=True) for i in places]
            with torch.autocast("cpu", enabled=False):
                self.told[view, places] = self.backbone(self.backbone.batch(values)).vector.half().numpy()
            self.asked[view, places] = True
        told = torch.from_numpy(self.told[view, places].astype(np.float32))
        if self.mean is None:
            asked = np.argwhere(self.asked)[:2048]
            first = torch.from_numpy(self.told[asked[:, 0], asked[:, 1]].astype(np.float32))
            self.mean, self.scale = first.mean(0), first.std(0) + 0.05
        return ((told - self.mean) / self.scale).to(batch.labels.device)
