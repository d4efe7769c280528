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
from headstart.evaluation.verdict import verdict
from headstart.tasks import Task

SHOWN = 24  # mistakes with a thumbnail


def measure(
    task: Task, test: Dataset, probabilities: np.ndarray, rivals: dict[str, Baseline], seed: int
) -> dict[str, Any]:
    """The entries scores, baselines and verdict of a result; the verdict is None without baselines."""
    labels = test.labels or []
    actual, classes = task.encode(labels), task.to_dict()["classes"]
    compared = {}
    for name, rival in rivals.items():
        scores = task.score(rival.probabilities, labels)
        compared[name] = {"accuracy": scores["accuracy"], "accuracy_interval": scores["accuracy_interval"],
                          "f1": scores["f1"], "seconds": rival.seconds, "what": rival.what}  # fmt: skip
    found = None
    if rivals:
        found = asdict(
            verdict(
                probabilities.argmax(1),
                {name: rival.probabilities.argmax(1) for name, rival in rivals.items()},
                actual,
                titles={name: rival.title for name, rival in rivals.items()},
                classes=classes,
                seed=seed,
            )
        )
    wrong = int((probabilities.argmax(1) != actual).sum())
    return {
        "scores": task.score(probabilities, labels),
        "num_mistakes": wrong,
        "baselines": compared,
        "verdict": found,
    }


def write(folder: Path, task: Task, test: Dataset, probabilities: np.ndarray, rivals: dict[str, Baseline]) -> None:
    """Write predictions.parquet (one row a test sample) and mistakes.json (the surest wrong ones first)."""
    import pyarrow as pa
    from pyarrow import parquet

    classes, actual = task.to_dict()["classes"], task.encode(test.labels or [])
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    table = {
        "name": list(test.names),
        "actual": [classes[i] for i in actual],
        "predicted": [classes[i] for i in predicted],
        "confidence": confidence,
        "probabilities": [row.tolist() for row in probabilities],
        **{f"predicted_{name}": [classes[i] for i in r.probabilities.argmax(1)] for name, r in rivals.items()},
    }
    parquet.write_table(pa.table(table), folder / "predictions.parquet")
    wrong = np.flatnonzero(predicted != actual)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:SHOWN]
    modality: Modality = plugins.variant("data.modalities", test.modality, Modality)()
    mistakes = [
        {
            "name": test.names[i],
            "actual": classes[actual[i]],
            "predicted": classes[predicted[i]],
            "confidence": float(confidence[i]),
            "preview": modality.preview(modality.decode(test.items[i], 192)),
        }
        for i in worst
    ]
    (folder / "mistakes.json").write_text(json.dumps(mistakes, ensure_ascii=False), "utf-8")
