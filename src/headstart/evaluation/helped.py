"""What helpers weighed, and whether they helped: against the same training without them, on the test samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from headstart.approaches import Approach
from headstart.approaches._groups import Groups
from headstart.approaches._groups import fit as fit_groups
from headstart.data.split import Split
from headstart.evaluation.verdict import paired_gain
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.training.run import Run

TOLD = {"weights": "valid_helper weight ", "cosines": "valid_helper cosine ", "losses": "valid_helper loss "}


def told(history: Sequence[dict[str, Any]], stage: str) -> dict[str, Any]:
    """``weights``, ``cosines`` and ``losses``: of each helper [epoch, mean over its steps]; empty without helpers.

    Args:
        stage: the one that the model was trained in; that of a group of tasks begins with it, and its names stand behind
            that of the helper.
    """
    found: dict[str, Any] = {}
    for row in history:
        own = str(row.get("stage", ""))
        if own != stage and not own.startswith(f"{stage} "):
            continue
        group = own.removeprefix(stage).strip()
        for key, value in row.items():
            for what, start in TOLD.items():
                if key.startswith(start):
                    name = key.removeprefix(start) + (f" ({group})" if group else "")
                    found.setdefault(what, {}).setdefault(name, []).append([row["epoch"], value])
    return found


def measure(
    approach: Approach,
    groups: Groups,
    backbone: Backbone,
    task: Task,
    probabilities: np.ndarray,
    split: Split,
    run: Run,
) -> dict[str, Any]:
    """The gain over the same approach without helpers, on the test samples.

    Args:
        backbone: as it was before it was adapted.
        probabilities: of the model that had helpers.
    """
    begun, labels = time.perf_counter(), split.test.labels or []
    say("without helpers: the same training once more, to see whether they helped")
    plain = replace(approach, helper="")  # type: ignore[type-var, call-arg]
    model = fit_groups(plain, groups, backbone, task, replace(split, helpers={}), run.named("without helpers")).tuned(
        split.valid, run.store
    )
    merits, others = (
        task.merits(probabilities, labels),
        model.task.merits(model.probabilities(split.test, run.store), labels),
    )
    gain = paired_gain(merits, others, groups=split.test.groups, seed=run.seed)
    return {**asdict(gain), "interval": list(gain.interval), "answer": gain.answer, "with": float(np.nanmean(merits)),
            "without": float(np.nanmean(others)), "unit": task.metric.gain, "seconds": time.perf_counter() - begun}  # fmt: skip
