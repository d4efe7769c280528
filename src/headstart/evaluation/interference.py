"""Whether tasks that share a model help or hurt one another: each against its single-task twin at equal budget.

The twin of a task is the same approach from the same pretrained model with that task alone: as many epochs at the most, the
same samples, the same test. Delta-m (Maninis et al. 2019, arXiv 1904.08918, equation 4) is the mean over tasks of the gain as
a share of what the twin reaches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headstart.approaches import Approach
from headstart.approaches._groups import Groups, narrowed, stage_of
from headstart.approaches.probe import Probe
from headstart.data.split import Split
from headstart.evaluation.verdict import paired_gain
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run

DRAWS = 2000
COSINE = "valid_cosine "


def measure(
    approach: Approach,
    backbone: Backbone,
    task: MultiTask,
    probabilities: np.ndarray,
    split: Split,
    run: Run,
    stage: str,
    groups: Groups = (),
) -> dict[str, Any]:
    """The entry ``interference`` of a result.

    Args:
        groups: of tasks that share a model; none: all of them do. A task that has a model of its own is its own twin.
        backbone: as it was before it was adapted.
        probabilities: of the multi-task model on the test samples.
        stage: the one that the model was trained in, whose history holds the cosines.
    """
    begun, labels = time.perf_counter(), split.test.labels or []
    parts = task.parts(probabilities)
    shared = task.merits_of_each(probabilities, labels)
    stages = [stage_of(stage, names) for names in groups] if len(groups) > 1 else [stage]
    found: dict[str, Any] = {"cosines": {pair: rows for name in stages for pair, rows in cosines(run.history, name).items()}}
    if isinstance(approach, Probe):
        note = "a probe moves no shared weight: every head is the one that its task would have alone, so nothing interferes"
        say(f"single-task twins: {note}")
        return {**found, "note": note, "tasks": {}, "delta_m": None}
    apart = {names[0] for names in groups if len(names) == 1}
    if len(apart) == len(task.names):
        note = "every task has a model of its own, so nothing interferes"
        say(f"single-task twins: {note}")
        return {**found, "note": note, "tasks": {}, "delta_m": None}
    alone, others = {name: shared[name] for name in apart}, {name: parts[name] for name in apart}
    for name, one in task:
        if name in apart:
            continue
        say(f"single-task twin of {name}: the same approach with this task alone")
        others[name], alone[name] = _alone(approach, backbone, one, name, task, split, run)
    rows = {}
    for name, one in task:
        if name in apart:
            continue
        gain = paired_gain(shared[name], alone[name], groups=split.test.groups, seed=run.seed)
        rows[name] = {"kind": one.kind, "metric": one.metric.title, "unit": one.metric.gain, "shared": _mean(shared[name]),
                      "alone": _mean(alone[name]), "gain": gain.gain, "interval": list(gain.interval),
                      "answer": gain.answer}  # fmt: skip
    value, interval = delta_m(shared, alone, run.seed, split.test.groups)
    said = zip(task.contradictions(parts), task.contradictions(others), strict=True) if len(labels) else ()
    contradictions = [{**one, "alone": other["share"]} for one, other in said]
    return {**found, "tasks": rows, "delta_m": value, "delta_m_interval": interval, "contradictions": contradictions,
            "seconds": time.perf_counter() - begun}  # fmt: skip


def _alone(
    approach: Approach, backbone: Backbone, one: Task, name: str, task: MultiTask, split: Split, run: Run
) -> tuple[np.ndarray, np.ndarray]:
    """What a model of this task alone says of the test samples, (n, k), and how good that is, (n,): NaN without a label."""
    own = replace(narrowed(split, task, [name]), task=one.kind)
    test, rows = task.samples(split.test, [name])
    predictor = approach.fit(backbone, one, own, run.named(f"twin {name}")).tuned(own.valid, run.store)
    if not any(name in (pair.inner, pair.outer) for pair in task.nested):  # answers to other samples are not looked at
        asked, seen = test, rows
    else:
        asked, seen = split.test, np.arange(len(split.test))
    said, merits = np.full((len(split.test), len(one.outputs)), np.nan), np.full(len(split.test), np.nan)
    if len(asked):
        said[seen] = predictor.probabilities(asked, run.store)
    if len(test):
        merits[rows] = predictor.task.merits(said[rows], test.labels or [])
    return said, merits


def delta_m(
    shared: dict[str, np.ndarray], alone: dict[str, np.ndarray], seed: int = 0, groups: Sequence[str] | None = None
) -> tuple[float, list[float]]:
    """The mean relative gain over tasks, with the 95 % interval of a bootstrap that draws test samples, all tasks together.

    Args:
        groups: (n,) names of what belongs together: whole groups are drawn.
    """
    one, other = (np.stack(list(merits.values()), 1) for merits in (shared, alone))  # (n, tasks)

    def of(rows: np.ndarray) -> float:
        both = np.isfinite(one[rows]) & np.isfinite(other[rows])
        count = np.maximum(1, both.sum(0))
        first, second = (np.where(both, table[rows], 0).sum(0) / count for table in (one, other))
        return float(np.mean((first - second)[both.any(0)] / np.maximum(np.abs(second[both.any(0)]), 1e-6)))

    rng = np.random.default_rng(seed)
    owner = np.arange(len(one)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    drawn = [of(np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])) for _ in range(DRAWS)]
    return of(np.arange(len(one))), [float(bound) for bound in np.quantile(drawn, [0.025, 0.975])]


def cosines(history: Sequence[dict[str, Any]], stage: str) -> dict[str, list[list[float]]]:
    """Pair of tasks -> [epoch, mean cosine of the angle between their gradients on the shared weights]."""
    found: dict[str, list[list[float]]] = {}
    for row in history:
        for key, value in row.items():
            if row.get("stage") == stage and key.startswith(COSINE):
                found.setdefault(key.removeprefix(COSINE), []).append([row["epoch"], value])
    return found


def _mean(merits: np.ndarray) -> float | None:
    return float(np.nanmean(merits)) if np.isfinite(merits).any() else None
