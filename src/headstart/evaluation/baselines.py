"""The baselines of the verdict: models that never saw the pretrained weights, on the same split."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from headstart.approaches import Approach
from headstart.approaches.scratch import Scratch
from headstart.data.split import Split
from headstart.evaluation.pixels import pixel_probabilities
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.training import batches
from headstart.training.run import Run

LEAST_EPOCHS = 8
LEAST_STEPS = 300


@dataclass(frozen=True)
class Baseline:
    """Test probabilities (n, k) of a model without pretraining, and what it is."""

    probabilities: np.ndarray
    title: str
    what: str
    seconds: float


def baselines(approach: Approach, backbone: Backbone, task: Task, split: Split, run: Run) -> dict[str, Baseline]:
    """Train what the verdict compares with: the same architecture from scratch, and a linear model on raw pixels.

    The scratch model gets at least as many passes over the data as the candidate was allowed, and never fewer
    than ``LEAST_EPOCHS`` passes or ``LEAST_STEPS`` steps: a baseline that was not trained would make every
    transfer look good.
    """
    found: dict[str, Baseline] = {}
    if "gradients" in backbone.provides:
        settings = Scratch()
        steps = max(batches.LEAST_STEPS, len(split.train) // settings.batch_size)
        epochs = max(LEAST_EPOCHS, getattr(approach, "epochs", 0), math.ceil(LEAST_STEPS / steps))
        augment = getattr(approach, "augment", settings.augment)
        say(f"baseline: {backbone.card.architecture} from scratch, {epochs} epochs")
        begun = time.perf_counter()
        scratch = Scratch(epochs=epochs, augment=augment).fit(backbone, task, split, run.named("scratch"))
        probabilities = scratch.probabilities(split.test)
        what = f"same architecture, fresh weights, {epochs} epochs"
        found["scratch"] = Baseline(
            probabilities, "the same architecture trained from scratch", what, time.perf_counter() - begun
        )
    say("baseline: a linear model on raw pixels")
    begun = time.perf_counter()
    probabilities = pixel_probabilities(task, split, run.seed)
    what = "logistic regression on the pixels, scaled down"
    found["pixels"] = Baseline(probabilities, "a linear model on raw pixels", what, time.perf_counter() - begun)
    return found
