"""Accuracy of MobileNetV2 on the full split of clothing: every head of the probe, and what fine-tuning adds."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import _shared as shared
from _shared import Goal, Report, Row

if TYPE_CHECKING:
    from headstart.data import Split
    from headstart.models.backbone import Backbone
    from headstart.tasks.classification import Classification


HEADS = ("logistic", "ridge", "svm", "knn")


def measure(options: argparse.Namespace) -> Report:
    from headstart import models, performing
    from headstart.runs import Settings
    from headstart.store import Store
    from headstart.tasks.classification import Classification

    settings = Settings(str(shared.data_folder("clothing")), shots=4 if options.quick else None)
    split = performing.load_split(settings, Store())
    backbone = models.load(str(shared.weights_folder()))
    task = Classification.learn(split.train.labels)
    probes = _probes(backbone, task, split)
    report = Report({"Probe, clothing": probes})
    report.goals.append(Goal("test accuracy of the probe (logistic)", probes[0]["test"], 0.875))
    rows = [
        _tuned(backbone, task, split, seed, 30 if options.quick else None)
        for seed in shared.numbers(options.seeds)[: 1 if options.quick else None]
    ]
    report.tables["--approach auto, clothing: probe, then fine-tuning, the better on validation is kept"] = rows
    worst = min(row["kept: valid"] - row["probe: valid"] for row in rows)
    report.goals.append(Goal("validation accuracy kept less that of the probe, the worst seed", worst, 0))
    report.facts["seeds"] = shared.numbers(options.seeds)
    report.facts["median test accuracy kept"] = shared.median([row["kept: test"] for row in rows])
    return report


def _probes(backbone: Backbone, task: Classification, split: Split) -> list[Row]:
    """Accuracy of each head; the features come from the cache after the first."""
    from headstart.approaches.probe import Probe
    from headstart.store import Store
    from headstart.training.run import Run

    rows: list[Row] = []
    for head in HEADS:
        begun = time.perf_counter()
        predictor = Probe(head).fit(backbone, task, split, Run(store=Store()))
        taken = time.perf_counter() - begun
        rows.append({"head": head, "valid": shared.accuracy(predictor, split.valid),
                     "test": shared.accuracy(predictor, split.test), "seconds": taken})  # fmt: skip
        shared.progress(f"{head}: {rows[-1]['test']:.4f}")
    return rows


def _tuned(backbone: Backbone, task: Classification, split: Split, seed: int, budget: float | None) -> Row:
    """What ``--approach auto`` does with a seed; the test photos choose nothing."""
    from headstart.candidates import adapt
    from headstart.store import Store
    from headstart.training.run import Run, sow

    with tempfile.TemporaryDirectory() as folder:
        sow(seed, 0)
        run = Run(Path(folder), seed, Store(), time.monotonic() + budget if budget else None)
        candidates, reasons = adapt(None, backbone, task, split, run)
    shared.progress(f"seed {seed}: {'; '.join(reasons)}")
    kept = max(candidates, key=lambda candidate: candidate.valid["accuracy"])
    row: Row = {"seed": seed}
    for candidate in candidates:
        row |= {f"{candidate.name}: valid": candidate.valid["accuracy"],
                f"{candidate.name}: test": shared.accuracy(candidate.predictor, split.test),
                f"{candidate.name}: seconds": candidate.seconds}  # fmt: skip
    return {**row, "kept": kept.name, "kept: valid": kept.valid["accuracy"], "kept: test": row[f"{kept.name}: test"]}


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", default="0,1,2", help="Of fine-tuning (default: 0,1,2; quick: the first).")


if __name__ == "__main__":
    shared.main("accuracy", __doc__, measure, extend)
