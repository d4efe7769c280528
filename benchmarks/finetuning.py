"""Which parameters to move, and how: MobileNetV2 on clothing at 5, 20, 50 and all labels a class, three seeds each.

    python benchmarks/finetuning.py [--quick] [--resume] [--shots 5,20,50,all] [--seeds 0,1,2] [--methods probe,full,...]
                                    [--side 224] [--epochs 8]

Every method has the same photos, epochs, augmentation and patience, and chooses its epoch on the same validation photos;
the seed draws the photos as well. Nothing is taken from a cache: the seconds of LP-FT are with those of its probe. Every row
is written as soon as it is there, and ``--resume`` does not measure it again.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import re
import time
from typing import TYPE_CHECKING, Any

import _shared as shared
from _shared import Goal, Report, Row

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.data import Split

# What FineTune is told; all else is as by default. "full" has a fresh head, "lp-ft" begins with a fitted and softened one, as all
# below; "sharp lp-ft" is as published.
TUNED: dict[str, dict[str, Any]] = {
    "full": {"start": "random"},
    "lp-ft": {},
    "sharp lp-ft": {"start": "sharp"},
    "last stage": {"tuning": "last:1"},
    "gradual": {"tuning": "gradual"},
    "norms": {"tuning": "norms"},
    "lora": {"tuning": "lora:8"},
    "surgical": {"tuning": "surgical"},
    "l2-sp": {"start": "random", "penalty": "l2_sp"},
    "auto": {"tuning": "auto"},
}
METHODS = ("probe", *TUNED, "scratch")
POINT = 0.01


def measure(options: argparse.Namespace) -> Report:
    chosen = options.methods.split(",")
    if unknown := set(chosen) - set(METHODS):
        raise SystemExit(f"--methods: there is no {', '.join(sorted(unknown))}; there are {', '.join(METHODS)}")
    chosen = [name for name in chosen if possible(name)]
    shots = [None if entry == "all" else int(entry) for entry in ("2" if options.quick else options.shots).split(",")]
    seeds = shared.numbers(options.seeds)[: 1 if options.quick else None]
    kept = options.json.with_suffix(".partial.json")
    done: dict[str, Row] = json.loads(kept.read_text("utf-8")) if kept.exists() and options.resume else {}
    report, rows = Report(), []
    for number in shots:
        for seed in seeds:
            for name in chosen:
                key = f"{number or 'all'} shots, seed {seed}, {name}{', quick' if options.quick else f', {options.side} px, {options.epochs} epochs'}"
                if key not in done:
                    done[key] = one(name, number, seed, options)
                    shared.write_json(kept, done)
                rows.append(done[key])
                shared.progress(f"{key}: {rows[-1]['accuracy']:.4f} in {rows[-1]['seconds']:.0f} s")
    for number in shots:
        title = f"{number or 'all'} labels a class, {options.side} px, {len(seeds)} seed{'s' * (len(seeds) > 1)}"
        table = [summary(name, [r for r in rows if (r["shots"], r["method"]) == (number, name)]) for name in chosen]
        report.tables[title] = table
        if "auto" in chosen and len(chosen) > 1:
            best = max(row["accuracy"] for row in table if row["method"] != "auto")
            auto = next(row["accuracy"] for row in table if row["method"] == "auto")
            report.goals.append(Goal(f"accuracy of auto less the best of the others, {title}", auto - best, -POINT))
    report.facts |= {"rows": rows, "seeds": seeds, "methods": chosen, "side": options.side, "epochs": options.epochs}
    return report


def possible(name: str) -> bool:
    """Whether the tuning of a method is there; says so where it is not."""
    import importlib.util

    from headstart import plugins

    tuning = TUNED.get(name, {}).get("tuning", "full").partition(":")[0]
    if tuning not in plugins.names("tuning"):
        print(f"finetuning: there is no tuning {tuning}, so {name} is left out")
        return False
    if tuning == "lora" and not importlib.util.find_spec("peft"):
        print("finetuning: peft is not installed, so lora is left out")
        return False
    return True


def one(name: str, shots: int | None, seed: int, options: argparse.Namespace) -> Row:
    """One training of one method."""
    from headstart import models, performing
    from headstart.runs import Settings
    from headstart.store import Store
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run, sow

    split = performing.load_split(Settings(str(shared.data_folder("clothing")), shots=shots, seed=seed), Store())
    if options.quick:
        split = few(split)
    smaller = f"?input_size=3,{options.side},{options.side}&crop_fraction=1" if options.side != 224 else ""
    backbone = models.load(f"{shared.weights_folder()}{smaller}")
    task = Classification.learn(split.train.labels or [])
    approach, moved = approach_of(name, len(split.train), 1 if options.quick else options.epochs), Moved()
    logger = logging.getLogger("headstart")
    logger.addHandler(moved)
    logger.setLevel(logging.INFO)
    sow(seed, 0)
    begun = time.perf_counter()
    run = Run(None, seed, None, stage=name)
    try:
        predictor = approach.fit(backbone, task, split, run)
    finally:
        logger.removeHandler(moved)
    taken = time.perf_counter() - begun
    total = sum(parameter.numel() for parameter in backbone.parameters())
    return {"method": name, "shots": shots, "seed": seed, "accuracy": shared.accuracy(predictor, split.test),
            "valid": shared.accuracy(predictor, split.valid), "seconds": taken, "photos": len(split.train),
            "moved": total if name == "scratch" else moved.count,
            "epochs": max((row["epoch"] for row in run.history if row.get("train_loss") is not None), default=0),
            "chosen": next((row["note"] for row in run.history if "note" in row), "")}  # fmt: skip


def approach_of(name: str, num_photos: int, epochs: int) -> Approach:
    from headstart.approaches.finetune import FineTune
    from headstart.approaches.probe import Probe
    from headstart.approaches.scratch import Scratch
    from headstart.evaluation.baselines import LEAST_EPOCHS, LEAST_STEPS
    from headstart.training import batches

    if name == "probe":
        return Probe()
    if name == "scratch":  # as long as the baseline of the verdict
        steps = max(batches.LEAST_STEPS, num_photos // Scratch().batch_size)
        return Scratch(epochs=1 if epochs == 1 else max(epochs, LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps)))
    return FineTune(epochs=epochs, **TUNED[name])


def few(split: Split) -> Split:
    from headstart.data import Split

    some = {part: getattr(split, part) for part in ("train", "valid", "test")}
    return Split(**{part: data.subset(range(0, len(data), max(1, len(data) // 20))) for part, data in some.items()})


class Moved(logging.Handler):
    """Hears how many parameters of the backbone the tuning moves; of several trainings the last one counts."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.search(r"moves ([\d,]+) parameters", record.getMessage()):
            self.count = int(found[1].replace(",", ""))


def summary(name: str, rows: list[Row]) -> Row:
    """Means over the seeds, and the range of the accuracy."""
    found = [row["accuracy"] for row in rows]
    return {"method": name, "accuracy": shared.mean(found), "lowest": min(found), "highest": max(found),
            "valid": shared.mean(row["valid"] for row in rows), "seconds": shared.mean(row["seconds"] for row in rows),
            "epochs": shared.mean(row["epochs"] for row in rows),
            "parameters moved": max(row["moved"] for row in rows)}  # fmt: skip


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shots", default="5,20,50,all", help="Labels a class (default: 5,20,50,all).")
    parser.add_argument(
        "--seeds", default="0,1,2", help="Of the split and the training (default: 0,1,2; quick: the first)."
    )
    parser.add_argument("--methods", default=",".join(METHODS), help=f"Out of: {', '.join(METHODS)}.")
    parser.add_argument("--side", type=int, default=224, help="Of the photos in pixels (default: 224, as pretrained).")
    parser.add_argument("--epochs", type=int, default=8, help="At the most (default: 8; scratch has 300 steps or more).")
    parser.add_argument("--resume", action="store_true", help="Keep the rows that an earlier run wrote.")


if __name__ == "__main__":
    shared.main("finetuning", __doc__, measure, extend)
