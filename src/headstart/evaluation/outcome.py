"""What a run says of its test samples: scores, verdict, every prediction, and the worst mistakes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.evaluation.baselines import Baseline
from headstart.evaluation.verdict import LEAST_GROUPS, Verdict, by_group, verdict, verdict_on_merits
from headstart.tasks import Task

SHOWN = 24  # mistakes with a thumbnail
BESIDE = ("accuracy", "f1", "mae", "rmse", "kappa", "f1_micro", "f1_macro", "mean_average_precision")  # of a baseline


def measure(
    task: Task, test: Dataset, probabilities: np.ndarray, rivals: dict[str, Baseline], seed: int
) -> dict[str, Any]:
    """The entries scores, baselines and verdict of a result; the verdict is None without baselines."""
    labels = test.labels or []
    compared = {}
    for name, rival in rivals.items():
        scores = scored(rival.task or task, test, rival.probabilities)
        kept = {entry: scores[entry] for entry in (*BESIDE, task.metric.name) if entry in scores}
        kept |= {f"{entry}_interval": scores[f"{entry}_interval"] for entry in kept if f"{entry}_interval" in scores}
        compared[name] = {**kept, "seconds": rival.seconds, "what": rival.what}
    return {
        "scores": scored(task, test, probabilities),
        "metric": asdict(task.metric),
        "num_mistakes": int((task.merits(probabilities, labels) < 1 - 1e-9).sum()),
        "baselines": compared,
        "verdict": asdict(_verdict(task, probabilities, test, rivals, seed)) if rivals else None,
    }


def scored(task: Task, test: Dataset, probabilities: np.ndarray) -> dict[str, Any]:
    """The scores of predictions; where samples belong to groups, the interval of the main metric is that of drawn groups.

    Samples of one patient or speaker resemble each other, so the interval of as many independent samples is too narrow.
    """
    labels = test.labels or []
    scores, name = task.score(probabilities, labels), f"{task.metric.name}_interval"
    if test.groups is None or scores.get(name) is None:
        return scores
    merits = task.merits(probabilities, labels)
    known = np.isfinite(merits)
    found = by_group(merits[known], np.asarray(test.groups)[known])
    if found is not None:
        low, high = scores[name]
        scores[name] = [min(low, max(found[0], 0.0 if low >= 0 else -np.inf)), max(high, min(found[1], 1.0))]
    return scores


def about_groups(test: Dataset, verdict: bool) -> tuple[str, ...]:
    """What must be said of intervals where samples belong to groups.

    Args:
        verdict: whether there is one.
    """
    if test.groups is None:
        return ()
    number = len(set(test.groups))
    if number >= LEAST_GROUPS:
        main = "the interval of the main metric and the verdict count groups" if verdict else "the interval of the main metric counts groups"
        return (f"the {len(test)} test samples are of {number} groups: {main} rather than samples",)
    claim = ", so the verdict claims nothing" if verdict else ""
    return (f"the {len(test)} test samples are of {number} {'group' if number == 1 else 'groups'}, too few (at least {LEAST_GROUPS}) to "
            f"say anything about other groups{claim}; intervals of scores hold for samples of these groups alone",)  # fmt: skip


def _verdict(
    task: Task, probabilities: np.ndarray, test: Dataset, rivals: dict[str, Baseline], seed: int
) -> Verdict:  # fmt: skip
    labels, groups = test.labels or [], test.groups
    titles = {name: rival.title for name, rival in rivals.items()}
    if task.kind == "classification":  # right or wrong: counts, for which there is an exact test, too
        return verdict(
            probabilities.argmax(1),
            {name: rival.probabilities.argmax(1) for name, rival in rivals.items()},
            task.encode(labels),
            titles=titles,
            classes=task.outputs,
            groups=groups,
            seed=seed,
        )
    others = {name: (rival.task or task).merits(rival.probabilities, labels) for name, rival in rivals.items()}
    return verdict_on_merits(
        task.merits(probabilities, labels), others, titles=titles, unit=task.metric.gain, groups=groups, seed=seed
    )


def write(folder: Path, task: Task, test: Dataset, probabilities: np.ndarray, rivals: dict[str, Baseline]) -> None:
    """Write predictions.parquet (one row a test sample) and mistakes.json (the surest wrong ones first)."""
    import pyarrow as pa
    from pyarrow import parquet

    labels = list(test.labels or [])
    answers, merits = [task.answer(row) for row in probabilities], task.merits(probabilities, labels)
    confidence = np.array([np.nan if found.probability is None else found.probability for found in answers])
    others = {name: [(r.task or task).answer(row).label for row in r.probabilities] for name, r in rivals.items()}
    table = {
        "name": list(test.names),
        "actual": labels,
        "predicted": [found.label for found in answers],
        "confidence": confidence,
        "probabilities": [row.tolist() for row in probabilities],
        **{f"predicted_{name}": said for name, said in others.items()},
    }
    parquet.write_table(pa.table(table), folder / "predictions.parquet")
    wrong = np.flatnonzero(merits < 1 - 1e-9)
    surest = np.lexsort((-np.nan_to_num(confidence[wrong]), merits[wrong]))  # the least good, of these the surest
    worst = wrong[surest][:SHOWN]
    modality: Modality = plugins.variant("data.modalities", test.modality, Modality)()
    mistakes = [
        {
            "name": test.names[i],
            "actual": labels[i],
            "predicted": answers[i].label,
            "confidence": answers[i].probability,
            "preview": modality.preview(modality.decode(test.items[i], 192)),
        }
        for i in worst
    ]
    (folder / "mistakes.json").write_text(json.dumps(mistakes, ensure_ascii=False), "utf-8")
