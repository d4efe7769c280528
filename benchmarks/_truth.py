"""What ranking is judged by: the test accuracy of every candidate, probed in full and, for some, fine-tuned.

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

TUNED_SETS = ("clothing", "mnist-m", "sst2", "banking77, 20 intents", "esc10", "spoken digits")
TUNED = {  # per modality: good, middling and bad ones, the likely winners among them
    "image": ("embedded at 48 px", "MobileNetV2 at 96 px", "SqueezeNet at 96 px", "MobileNetV2 at 64 px",
              "MobileNetV2, first 4 of 7", "MobileNetV2, random", "embedded, random"),
    "text": ("MiniLM", "MiniLM, 8 tokens", "MiniLM, first 4 of 6", "MiniLM, first 2 of 6", "MiniLM, word vectors", "MiniLM, random"),
    "audio": ("YAMNet", "YAMNet, first 4 of 5", "YAMNet, first 3 of 5", "YAMNet, first of 5", "embedded", "YAMNet, random"),
}  # fmt: skip
EPOCHS = 4


def truth(work: Path, names: Iterable[str], seed: int, *, tuned: bool, rows: int | None = None) -> dict[str, Any]:
    """Set -> candidate -> {"probed", "probe_seconds", "milliseconds", "tuned", "tune_seconds"}; kept in ``work``."""
    from headstart.store import Store

    path = work / f"truth-{seed}-{rows or ''}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    store = Store(work / "store.sqlite")
    for name in names:
        split = _candidates.small_split(name, seed, rows)
        own = found.setdefault(name, {})
        for label, make in _candidates.candidates(_candidates.MODALITIES[name], work).items():
            row = own.setdefault(label, {})
            wanted = tuned and name in TUNED_SETS and label in TUNED[_candidates.MODALITIES[name]]
            if "probed" in row and ("tuned" in row or not wanted):
                continue
            backbone = make()
            if "probed" not in row:
                row |= probed(backbone, split, store)
            if wanted and "tuned" not in row:
                row |= fine_tuned(backbone, split, store)
            shared.progress(f"{name}: {label}: {row}")
            shared.write_json(path, found)
    return {name: found[name] for name in names}


def probed(backbone: Backbone, split: Split, store: Store) -> dict[str, float]:
    """Test accuracy of a probe on all training samples, the seconds it takes, and those of one sample's features."""
    from headstart.features.extract import extract

    train, test = (extract(backbone, part, store) for part in (split.train, split.test))
    begun = time.perf_counter()
    accuracy = shared.linear_probe(train, test)
    computed = train.computed + test.computed
    spent = 1000 * (train.seconds + test.seconds) / computed if computed > 50 else None
    return {"probed": accuracy, "probe_seconds": time.perf_counter() - begun, "milliseconds": spent}  # type: ignore[dict-item]


def fine_tuned(backbone: Backbone, split: Split, store: Store) -> dict[str, float]:
    """Test accuracy after fine-tuning; a fifth of the training samples choose the epoch."""
    from headstart.approaches.finetune import FineTune
    from headstart.data.split import Split
    from headstart.progress import hushed
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    fifth = [i for i in range(len(split.train)) if i % 5 == 0]
    rest = [i for i in range(len(split.train)) if i % 5]
    inner = Split(split.train.subset(rest), split.train.subset(fifth), split.test)
    task = Classification.learn(split.train.labels or [])
    begun = time.perf_counter()
    with hushed():
        made = FineTune(epochs=EPOCHS).fit(backbone, task, inner, Run(seed=0, store=store))
    seconds = time.perf_counter() - begun
    return {"tuned": shared.accuracy(made, split.test), "tune_seconds": seconds}


