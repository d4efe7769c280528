"""How much accuracy does cleaning bring back? clothing with 20 % of the training labels flipped, MobileNetV2, a probe.

python benchmarks/clean.py [--quick] [--seeds 0,1,2] [--share 0.2]

Test and validation labels stay right. Beside ``audit --clean`` stands what a perfect cleaner would reach: the flipped
samples, known here, left out.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from _faults import Planted, flip, subset
from _shared import Goal, Report, Row, data_folder, main, mean, numbers, progress, weights_folder


def measure(options: argparse.Namespace) -> Report:
    found, rows = Report(), []
    for seed in numbers(options.seeds):
        progress(f"seed {seed}")
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one(Path(folder), seed, options.share, 8 if options.quick else options.per_class))
    found.tables[f"test accuracy on clothing, {100 * options.share:.0f} % of the training labels flipped"] = rows
    lost, back = mean(r["right labels"] - r["flipped"] for r in rows), mean(r["cleaned"] - r["flipped"] for r in rows)
    perfect = mean(r["flipped ones left out"] - r["flipped"] for r in rows)
    found.facts = {"lost": lost, "back": back, "perfect": perfect}
    found.goals.append(Goal("share of the lost accuracy that comes back, mean of the seeds", back / max(lost, 1e-9), 0.5))
    return found


def one(folder: Path, seed: int, share: float, per_class: int) -> Row:
    """Accuracies with right labels, flipped ones, after ``clean``, and with the flipped samples left out."""
    import headstart as hs

    source, noisy = data_folder("clothing"), folder / "noisy"
    for side in ("train", "val", "test"):
        subset(source / side, noisy / side, per_class)
    right = folder / "right"
    shutil.copytree(noisy, right)
    planted = Planted(noisy)
    flip(planted, sorted((noisy / "train").glob("*/*.*")), share, np.random.default_rng(seed))
    wrong = planted.truth["wrong label"]
    audit = hs.audit(noisy, str(weights_folder()), seed=seed)
    done = audit.clean(folder / "cleaned")
    perfect = folder / "perfect"
    shutil.copytree(noisy, perfect)
    for name in wrong:
        (perfect / name).unlink()
    removed = {change.name for change in done.changes if any(r.startswith("suspicious") for r in change.reasons)}

    def accuracy(place: Path) -> float:
        run = hs.fit(place, str(weights_folder()), hs.Probe(), out=folder / f"run-{place.name}", baseline="none", seed=seed)
        return float(run.scores["accuracy"])

    return {
        "seed": seed,
        "right labels": accuracy(right),
        "flipped": accuracy(noisy),
        "cleaned": accuracy(folder / "cleaned"),
        "flipped ones left out": accuracy(perfect),
        "planted": len(wrong),
        "removed": len(removed),
        "recall": len(removed & wrong) / len(wrong),
        "precision": len(removed & wrong) / max(1, len(removed)),
    }


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--per-class", type=int, default=0, help="Photos a class and side; 0: all.")
    parser.add_argument("--share", type=float, default=0.2)


if __name__ == "__main__":
    main("clean", __doc__, measure, extend)
