"""AdaBN: every batch norm gets the statistics of the target. No source sample is needed for that, and no label.

Li, Wang, Shi, Liu, Hou: Revisiting Batch Normalization For Practical Domain Adaptation, ICLR 2017 workshop, arXiv
1603.04779, algorithm 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from headstart import plugins
from headstart.approaches import check
from headstart.approaches._adaptation import Adaptation, classes_of, fit_on_features, has_batch_norms, target_of
from headstart.approaches._rows import Pair, classifier, scaling
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.data.split import Split
from headstart.errors import Incompatible
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.training.run import Run


@dataclass(frozen=True)
class AdaBN(Adaptation):
    """Args:
    on: "features": the features of each domain are standardised by their own mean and deviation, which every backbone
        allows; "inputs": the batch norms inside the backbone take those of each domain, as in the paper.
    batch_size: on inputs.
    """

    on: Literal["features", "inputs"] = "features"
    batch_size: int = 32
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        if self.on == "features":
            return fit_on_features(self, backbone, task, split, run)
        check(self, backbone)
        target = target_of(self, split)
        if not has_batch_norms(backbone):
            raise Incompatible(
                f"AdaBN on inputs renews the statistics of batch norms, and {backbone.reference} has none. "
                "--set on=features standardises its features instead, domain by domain."
            )
        source = extract(adapted(backbone, split.train, self.batch_size), split.train, run.store).vectors
        labels = task.encode(split.train.labels or [])
        scaled = scaling(source)
        fitted = classifier(scaled(source), labels, classes_of(task), seed=run.seed).after(scaled)
        return Predictor(adapted(backbone, target, self.batch_size), fitted.head().eval(), task, split.train.modality)

    def learn(self, pair: Pair, run: Run) -> Head:
        ours, theirs = scaling(pair.source), scaling(pair.target)
        fitted = classifier(ours(pair.source), pair.labels, pair.num_classes, penalty=pair.penalty, seed=run.seed)
        return fitted.after(theirs).head()


@torch.no_grad()
def adapted(backbone: Backbone, dataset: Dataset, size: int) -> Backbone:
    """A copy whose batch norms have the statistics of a data set: means over all of its batches."""
    made = copy.deepcopy(backbone).eval()
    for part in made.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.reset_running_stats()
            part.momentum = None  # type: ignore[assignment]  # the plain mean over batches
            part.train()
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    starts = range(0, max(1, len(dataset) - size // 2), size)  # a last, much smaller batch would count as a whole one
    for start in starts:
        places = range(start, min(start + size, len(dataset)))
        made(made.prepare([modality.decode(dataset.items[i], made.decode_side(), dataset.names[i]) for i in places]))
    for part in made.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 0.1
    return made.eval()
