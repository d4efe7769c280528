"""What a tuning that chooses may know: gradients of the stages, and how short trainings end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.progress import hushed
from headstart.stagewise import by_depth
from headstart.tasks import Head, Task, classes_of
from headstart.training.batches import Batches
from headstart.training.run import Run
from headstart.tuning import Evidence, Tuning

MOST = 16  # batches whose gradient is looked at


def evidence(
    backbone: Backbone, head: Head, task: Task, split: Split, run: Run,
    trained: Callable[[Backbone, Head, Tuning, Run], dict[str, Any]],
) -> Evidence:  # fmt: skip
    """Evidence on a backbone with the head it starts with; neither is changed.

    Args:
        trained: trains for an epoch with a tuning and gives the state at the end.
    """

    def gradients() -> list[float]:
        return relative_gradients(copy.deepcopy(backbone), copy.deepcopy(head), task, split, run)

    def depths() -> list[tuple[float, float]]:
        classes, labels = classes_of(task, "The tuning auto"), task.encode(split.train.labels or [])
        found = by_depth(copy.deepcopy(backbone), split.train, labels, len(classes), run.store, run.seed)
        return [(depth.accuracy, depth.error) for depth in found]

    def trial(tuning: Tuning) -> float:
        alone = Run(None, run.seed, run.store, run.deadline, f"{run.stage} trial")  # its rows are not those of the run
        with hushed():
            return float(
                trained(copy.deepcopy(backbone), copy.deepcopy(head), tuning, alone)["scores"][-1]
            )  # not the best one, which may be the start

    return Evidence(gradients, trial, depths)


def relative_gradients(backbone: Backbone, head: Head, task: Task, split: Split, run: Run) -> list[float]:
    """Of each stage, the norm of the training loss's gradient divided by that of the weights.

    Lee et al. 2023, arXiv 2210.11466, section 4; over at most ``MOST`` batches that are not augmented; in float32, for
    single gradients are far from exact in bfloat16.
    """
    backbone, head = backbone.to(run.device).eval(), head.to(run.device).eval()
    labels = task.encode(split.train.labels or [])
    batches = Batches(split.train, labels, backbone, min(32, len(labels)), (), run.seed)
    backbone.requires_grad_(True)
    for number, batch in enumerate(batches(0)):
        if number == MOST:
            break
        losses = head.losses(backbone(batch.inputs), batch.labels)
        torch.stack(list(losses.values())).sum().backward()
    found = []
    for stage in backbone.stages:
        moving = [parameter for parameter in stage.parameters() if parameter.grad is not None]
        slope = sum(float(parameter.grad.square().sum()) for parameter in moving if parameter.grad is not None)
        found.append((slope / max(1e-12, sum(float(p.detach().square().sum()) for p in moving))) ** 0.5)
    return found
