"""What a run says of its test samples: scores, verdict, every prediction, and the worst mistakes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.evaluation.baselines import Baseline
from headstart.evaluation.verdict import Verdict, verdict, verdict_on_merits
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
        scores = (rival.task or task).score(rival.probabilities, labels)
        kept = {entry: scores[entry] for entry in (*BESIDE, task.metric.name) if entry in scores}
        kept |= {f"{entry}_interval": scores[f"{entry}_interval"] for entry in kept if f"{entry}_interval" in scores}
        compared[name] = {**kept, "seconds": rival.seconds, "what": rival.what}
    return {
        "scores": task.score(probabilities, labels),
        "metric": asdict(task.metric),
        "num_mistakes": int((task.merits(probabilities, labels) < 1 - 1e-9).sum()),
        "baselines": compared,
        "verdict": asdict(_verdict(task, probabilities, labels, rivals, seed)) if rivals else None,
    }


def _verdict(
    task: Task, probabilities: np.ndarray, labels: Sequence[str], rivals: dict[str, Baseline], seed: int
) -> Verdict:
    titles = {name: rival.title for name, rival in rivals.items()}
    if task.kind == "classification":  # right or wrong: counts, for which there is an exact test, too
        return verdict(
            probabilities.argmax(1),
            {name: rival.probabilities.argmax(1) for name, rival in rivals.items()},
            task.encode(labels),
            titles=titles,
            classes=task.outputs,
            seed=seed,
        )
    others = {name: (rival.task or task).merits(rival.probabilities, labels) for name, rival in rivals.items()}
    return verdict_on_merits(
        task.merits(probabilities, labels), others, titles=titles, unit=task.metric.gain, seed=seed
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
