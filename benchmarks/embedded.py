"""The embedded model at 20 labels a class, beside raw pixels and the same architecture trained from scratch.

The scratch model keeps its best epoch on validation photos that the probe does not use.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import _shared as shared
from _shared import Goal, Report, Row

if TYPE_CHECKING:
    from headstart.data import Split


SETS = {
    "clothing": "label",
    "office-caltech10/amazon": "label",
    "grocery/labels.csv": "coarse",
    "digits/mnist-m": "label",
}
TESTS = 1500  # pictures at the most
SHOTS = 20
MODEL = "embedded:image"


def measure(options: argparse.Namespace) -> Report:
    from headstart.data import read

    seeds = shared.numbers(options.seeds)[: 1 if options.quick else None]
    epochs = 1 if options.quick else options.epochs
    report, rows = Report(facts={"seeds": seeds, "scratch_epochs": epochs}), []
    for name, column in SETS.items():
        if name not in options.sets.split(","):
            continue
        data = read(shared.data_folder(*name.split("/")), labels=column)
        for seed in seeds:
            split = shared.few_shot(data, 2 if options.quick else SHOTS, seed, 100 if options.quick else TESTS)
            rows.append({"data": name, "seed": seed, "classes": len(split.train.classes), "train": len(split.train),
                         "test": len(split.test), **_accuracies(split, seed, epochs)})  # fmt: skip
            shared.progress(", ".join(f"{k} {v}" for k, v in rows[-1].items()))
    report.tables[f"Test accuracy at {SHOTS} labels a class"] = rows
    report.tables["Medians over the seeds, and what the embedded model gains, points"] = _medians(rows)
    for row in report.tables["Medians over the seeds, and what the embedded model gains, points"]:
        for rival in ("pixels", "scratch"):
            report.goals.append(Goal(f"{row['data']}: points over {rival}", row[f"over {rival}"], 10))
    report.goals.append(Goal("clothing, all labels: accuracy of the probe", _full(options.quick), 0.70))
    return report


def _accuracies(split: Split, seed: int, epochs: int) -> Row:
    from headstart import models
    from headstart.approaches.probe import Probe
    from headstart.approaches.scratch import Scratch
    from headstart.evaluation.raw import raw_probabilities
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    task, backbone, run = Classification.learn(split.train.labels), models.load(MODEL), Run(seed=seed)
    probe = Probe().fit(backbone, task, split, run)
    pixels = task.score(raw_probabilities(task, split, seed), split.test.labels)["accuracy"]
    scratch = Scratch(epochs=epochs).fit(backbone, task, split, run)
    best = max(run.history, key=lambda row: row["valid_accuracy"])
    return {"embedded": shared.accuracy(probe, split.test), "pixels": pixels,
            "scratch": shared.accuracy(scratch, split.test), "scratch's best epoch": best["epoch"]}  # fmt: skip


def _medians(rows: list[Row]) -> list[Row]:
    found: list[Row] = []
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        middle = {way: shared.median([row[way] for row in own]) for way in ("embedded", "pixels", "scratch")}
        gains = {f"over {rival}": 100 * shared.median([row["embedded"] - row[rival] for row in own])
                 for rival in ("pixels", "scratch")}  # fmt: skip
        found.append({"data": name, **middle, **gains})
    return found


def _full(quick: bool) -> float:
    """The test accuracy of the probe with all training photos of clothing."""
    from headstart import models, performing
    from headstart.approaches.probe import Probe
    from headstart.runs import Settings
    from headstart.store import Store
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    split = performing.load_split(Settings(str(shared.data_folder("clothing")), shots=5 if quick else None), Store())
    task = Classification.learn(split.train.labels)
    return shared.accuracy(Probe().fit(models.load(MODEL), task, split, Run()), split.test)


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", default="0,1,2", help="Default: 0,1,2; quick: the first.")
    parser.add_argument("--epochs", type=int, default=40, help="Of the scratch model (default: 40).")
    parser.add_argument("--sets", default=",".join(SETS), help=f"Out of: {', '.join(SETS)}.")


if __name__ == "__main__":
    shared.main("embedded", __doc__, measure, extend)
