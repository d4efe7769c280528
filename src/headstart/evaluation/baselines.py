"""The baselines of the verdict: models that never saw the pretrained weights, on the same split."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from headstart import plugins
from headstart.approaches import Approach
from headstart.approaches._groups import Groups
from headstart.approaches._groups import fit as fit_groups
from headstart.approaches.scratch import Scratch
from headstart.data.split import Split
from headstart.evaluation.raw import raw_predictions
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.training import batches
from headstart.training.run import Run

LEAST_EPOCHS = 8
LEAST_STEPS = 300


@dataclass(frozen=True)
class Baseline:
    """Test probabilities (n, k) of a model without pretraining, and what it is.

    Attributes:
        task: as tuned on its own validation samples, where a task has anything to tune.
    """

    probabilities: np.ndarray
    title: str
    what: str
    seconds: float
    task: Task | None = None


def baselines(
    approach: Approach, backbone: Backbone, task: Task, split: Split, run: Run, groups: Groups = ()
) -> dict[str, Baseline]:
    """Train what the verdict compares with: the same architecture from scratch, and a linear model on raw values.

    The scratch model gets at least as many passes over the data as the candidate was allowed, and never fewer
    than ``LEAST_EPOCHS`` passes or ``LEAST_STEPS`` steps: a baseline that was not trained would make every
    transfer look good. Tasks that the candidate keeps apart (``groups``) are kept apart from scratch, too.
    """
    found: dict[str, Baseline] = {}
    if "gradients" in backbone.provides:
        settings = Scratch()
        steps = max(batches.LEAST_STEPS, len(split.train) // settings.batch_size)
        epochs = max(LEAST_EPOCHS, getattr(approach, "epochs", 0), math.ceil(LEAST_STEPS / steps))
        augment = getattr(approach, "augment", settings.augment)
        say(f"baseline: {backbone.card.architecture} from scratch, {epochs} epochs, for the verdict (--baseline none does without)")
        begun = time.perf_counter()
        num_before = len(run.history)
        fresh = Scratch(epochs=epochs, augment=augment)
        scratch = fit_groups(fresh, groups, backbone, task, split, run.named("scratch"))
        rows = run.history[num_before:]
        done = max((row["epoch"] for row in rows if row.get("train_loss") is not None), default=0)
        if done >= LEAST_EPOCHS:
            what = f"same architecture, fresh weights, {trained(epochs, done)}"
            found["scratch"] = Baseline(
                scratch.probabilities(split.test), "the same architecture trained from scratch", what,
                time.perf_counter() - begun, scratch.tuned(split.valid).task
            )  # fmt: skip
        else:
            note = (f"left out of the verdict: its training failed after {done} of {epochs} epochs, and a baseline that "
                    "was hardly trained would make every transfer look good")  # fmt: skip
            say(f"scratch: {note}")
            run.named("scratch").record({"epoch": done, "train_loss": None, "note": note})
    raw = plugins.load("evaluation.raw", split.train.modality)
    say(f"baseline: {raw.TITLE}")
    begun = time.perf_counter()
    probabilities, tuned = raw_predictions(task, split, run.seed)
    what = f"{task.linear} on {raw.WHAT}"
    found[raw.NAME] = Baseline(probabilities, raw.TITLE, what, time.perf_counter() - begun, tuned)
    return found


def trained(allowed: int, done: int) -> str:
    """How long a training was: "30 epochs", or "up to 30 epochs (stopped after 17)"."""
    return f"{allowed} epochs" if done >= allowed else f"up to {allowed} epochs (stopped after {done})"
