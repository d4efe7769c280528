"""What ranking is judged by: the test accuracy of every candidate, probed in full and fine-tuned.

It takes long, so every figure is written down as soon as it is known, and a second run goes on where the first one ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _candidates
import _shared as shared

if TYPE_CHECKING:
    from headstart.data import Split
    from headstart.models.backbone import Backbone
    from headstart.store import Store


def truth(work: Path, names: Iterable[str], seed: int, *, tuned: bool, rows: int | None = None) -> dict[str, Any]:
    """Set -> candidate -> {"probed", "tuned", "tune_seconds"}, the last of the processor; kept in ``work``."""
    from headstart.store import Store

    path = work / f"truth-{seed}-{rows or ''}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    store = Store(work / "store.sqlite")
    for name in names:
        split = _candidates.small_split(name, seed, rows)
        own = found.setdefault(name, {})
        for label, make in _candidates.candidates(_candidates.MODALITIES[name], work).items():
            row = own.setdefault(label, {})
            if "probed" in row and ("tuned" in row or not tuned):
                continue
            backbone = make()
            if "probed" not in row:
                row["probed"] = probed(backbone, split, store)
            if tuned:
                row |= fine_tuned(backbone, split, store)
            shared.progress(f"{name}: {label}: {row}")
            shared.write_json(path, found)
    return {name: found[name] for name in names}


def probed(backbone: Backbone, split: Split, store: Store) -> float:
    """Test accuracy of a probe on all training samples."""
    from headstart.features.extract import extract

    return shared.linear_probe(*(extract(backbone, part, store) for part in (split.train, split.test)))


def fine_tuned(backbone: Backbone, split: Split, store: Store) -> dict[str, float]:
    """Test accuracy after fine-tuning as it comes; a fifth of the training samples choose the epoch."""
    from headstart.approaches.finetune import FineTune
    from headstart.data.split import Split
    from headstart.progress import hushed
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    fifth = [i for i in range(len(split.train)) if i % 5 == 0]
    rest = [i for i in range(len(split.train)) if i % 5]
    inner = Split(split.train.subset(rest), split.train.subset(fifth), split.test)
    task = Classification.learn(split.train.labels or [])
    begun = time.process_time()
    with hushed():
        made = FineTune().fit(backbone, task, inner, Run(seed=0, store=store))
    seconds = time.process_time() - begun
    return {"tuned": shared.accuracy(made, split.test), "tune_seconds": seconds}


