"""The approach contract: how a backbone is adapted to labelled data. One file is one approach."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.errors import Incompatible
from headstart.metrics import classification as metrics
from headstart.models.backbone import Backbone, Features, grouped
from headstart.models.zoo import assemble
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.batches import Batch, Batches
from headstart.training.loop import Objective, Recipe, minimise
from headstart.training.run import Run, sow
from headstart.tuning import freeze_others, training_mode


class Approach(ABC):
    """A frozen dataclass of settings with one verb. Selection happens on ``split.valid``; the test is not for it.

    A setting that names a model is a field with ``metadata={"reference": True}``: run.toml then keeps a path absolute.
    """

    needs: frozenset[str]

    @abstractmethod
    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        """Adapt the backbone to the training part of the split."""


def check(approach: Approach, backbone: Backbone) -> None:
    """Refuse, before any work, what cannot work.

    Raises:
        Incompatible: the backbone lacks something that the approach needs.
    """
    lacking = approach.needs - backbone.provides
    if lacking:
        raise Incompatible(
            f"{type(approach).__name__} needs {', '.join(sorted(lacking))} from the model, and {backbone.reference} "
            f"provides only {', '.join(sorted(backbone.provides))}. The approach probe works with every model."
        )


def fresh(backbone: Backbone, seed: int) -> Backbone:
    """The same architecture and preprocessing with newly drawn weights."""
    sow(seed, 1)
    return assemble(backbone.card, f"{backbone.reference} from scratch", None, backbone.assets)


class Network(nn.Module):
    """What the loop trains, checkpoints and restores as one."""

    backbone: Backbone
    head: Head

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head


def train(
    backbone: Backbone, head: Head, task: Task, split: Split, run: Run, *, groups: list[dict[str, Any]], settings: Any
) -> dict[str, Any]:
    """Train head and backbone on ``split.train``, judged on ``split.valid``; what no group names stays frozen.

    ``settings`` has epochs, batch_size, patience, augment, average and still_norms, as the trained approaches do.
    """
    freeze_others(backbone, groups)
    module = Network(backbone, head).to(run.device)
    labels = task.encode(split.train.labels or [])
    recipe = tuple(name for name in settings.augment.split(",") if name)
    batches = Batches(split.train, labels, backbone, min(settings.batch_size, len(labels)), recipe, run.seed)

    def losses(batch: Batch) -> dict[str, torch.Tensor]:
        return head.losses(module.backbone(batch.inputs), batch.labels)

    def set_mode() -> None:
        training_mode(backbone, still_norms=settings.still_norms)
        head.train()

    objective = Objective(module, batches, len(batches), losses, judge(task, split.valid, run), set_mode)
    patience, average = settings.patience, settings.average
    return minimise(objective, groups, Recipe(settings.epochs, patience, average=average), run)


def judge(task: Task, valid: Dataset, run: Run) -> Any:
    """A function module -> accuracy, macro precision, recall and F1, loss on the validation samples, and "score".

    The score is the accuracy less a small part of the loss, so that of two equal accuracies the surer one wins.
    """
    labels = task.encode(valid.labels or [])
    shaped: list[tuple[list[int], list[Any]]] = []

    @torch.inference_mode()
    def validate(module: Network) -> dict[str, float]:
        backbone, head = module.backbone.eval(), module.head.eval()
        if not shaped:
            batches = Batches(valid, labels, backbone, 64)
            values = [batches.sample(i, 0) for i in range(len(valid))]
            groups = grouped([backbone.cost(value) for value in values], 2 * backbone.batch_cost)
            shaped.extend((group, [values[i] for i in group]) for group in groups)
        logits = np.empty((len(valid), len(task.to_dict()["classes"])))
        with run.autocast:
            for group, some in shaped:
                logits[group] = head(backbone(backbone.batch(some))).float().cpu().numpy()
        loss = metrics.log_loss(logits, labels)
        found = metrics.scores(task.probabilities(torch.from_numpy(logits)), labels, task.to_dict()["classes"])
        chosen = {name: found[name] for name in ("accuracy", "precision", "recall", "f1")}
        return {**chosen, "loss": loss, "score": chosen["accuracy"] - 0.001 * min(loss, 10.0)}

    return validate


def as_features(vectors: np.ndarray) -> Features:
    return Features(torch.from_numpy(vectors))
