"""Is the verdict right where the answer is known?

1. MobileNetV2 on clothing at 20 labels a class: it helps.
2. The same architecture with random weights plays the pretrained model: it does not, over many seeds, whether the
   random backbone is probed (easy to tell) or fine-tuned (a fair coin: both sides start from random weights).
3. Two scratch models that differ by their seed alone: whatever is called a gain there is a false alarm.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile

import _shared as shared
import numpy as np
from _shared import Goal, Report, Row

SHOTS = 20
SIDE = 32  # pixels; small and fast


def measure(options: argparse.Namespace) -> Report:
    report = Report()
    if "known" in options.parts:
        rows = [_known(seed, options.side, options.quick) for seed in range(1 if options.quick else options.known)]
        report.tables[f"MobileNetV2 at {options.side} pixels, clothing, 20 labels a class: a probe"] = rows
        report.goals.append(
            Goal("share of verdicts 'helped'", shared.mean([row["answer"] == "helped" for row in rows]), 1)
        )
    if "random" in options.parts:
        _random(report, 2 if options.quick else options.seeds, options.quick)
    return report


def small(side: int) -> str:
    """The embedded model at an input size of its own."""
    return f"embedded:image?input_size=3,{side},{side}"


def _known(seed: int, side: int, quick: bool) -> Row:
    """The verdict of ``headstart fit`` on a model that is known to help."""
    from headstart import fit

    model = small(SIDE) if quick else f"{shared.weights_folder()}?input_size=3,{side},{side}"
    with tempfile.TemporaryDirectory() as folder:
        record = fit(
            shared.data_folder("clothing"), model, "probe", out=f"{folder}/run", seed=seed, shots=2 if quick else SHOTS
        )
    row: Row = {"seed": seed, "accuracy": record.scores["accuracy"], "answer": record.verdict.answer}
    for comparison in record.verdict.comparisons:
        row |= _gain(comparison.baseline, comparison.gain, comparison.interval)
    shared.progress(f"seed {seed}: {record.verdict}")
    return row


def _gain(baseline: str, gain: float, interval: tuple[float, float]) -> Row:
    low, high = (100 * bound for bound in interval)
    return {f"over {baseline}, points": f"{100 * gain:+.1f} [{low:.1f}, {high:.1f}]"}


def _random(report: Report, seeds: int, quick: bool) -> None:
    rows: list[Row] = []
    alone: list[np.ndarray] = []  # which test photos each seed's scratch model got right
    for seed in range(seeds):
        found, right = _impostor(seed, quick)
        rows += found
        alone.append(right)
        shared.progress("; ".join(f"seed {row['seed']}, {row['approach']}: {row['answer']}" for row in found))
    report.tables["Random weights play the pretrained model: clothing, 20 labels a class"] = rows
    for approach in ("probe", "finetune"):
        helped = sum(row["answer"] == "helped" for row in rows if row["approach"] == approach)
        report.goals.append(Goal(f"random weights, {approach}: 'helped' out of {seeds}", helped, 2, at_most=True))
    report.tables["Two scratch models that differ by their seed: what their paired intervals say"] = [_pairs(alone)]


def _impostor(seed: int, quick: bool) -> tuple[list[Row], np.ndarray]:
    """The verdicts on a random backbone, probed and fine-tuned, against one pair of baselines.

    Both approaches would train the very same baselines, so they are trained once.
    """
    from headstart import models, performing
    from headstart.approaches.finetune import FineTune
    from headstart.approaches.probe import Probe
    from headstart.evaluation import outcome
    from headstart.evaluation.baselines import baselines
    from headstart.runs import Settings
    from headstart.store import Store
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run, sow

    settings = Settings(str(shared.data_folder("clothing")), seed=seed, shots=2 if quick else SHOTS)
    split, run = performing.load_split(settings, Store()), Run(seed=seed)
    task = Classification.learn(split.train.labels)
    sow(seed, 1000)  # weights that no baseline starts from
    impostor = models.load(small(SIDE), pretrained=False)
    approaches = {"probe": Probe(), "finetune": FineTune(epochs=1 if quick else 8)}
    rivals = baselines(approaches["finetune"], impostor, task, split, run)
    rows: list[Row] = []
    for name, approach in approaches.items():
        probabilities = approach.fit(impostor, task, split, run.named(name)).probabilities(split.test)
        found = outcome.measure(task, split.test, probabilities, rivals, seed)
        row: Row = {
            "seed": seed,
            "approach": name,
            "accuracy": found["scores"]["accuracy"],
            "answer": found["verdict"]["answer"],
        }
        for comparison in found["verdict"]["comparisons"]:
            row |= _gain(comparison["baseline"], comparison["gain"], comparison["interval"])
        rows.append(row)
    return rows, rivals["scratch"].probabilities.argmax(1) == task.encode(split.test.labels)


def _pairs(alone: list[np.ndarray]) -> Row:
    """All ordered pairs of seeds. Training labels differ, too, so the shares are upper bounds of false alarms."""
    from headstart.evaluation.verdict import gain

    found = [gain(a, b) for a, b in itertools.permutations(alone, 2)]
    shares = {answer: shared.mean([each.answer == answer for each in found]) for answer in ("helped", "hurt")}
    spread = 100 * float(np.std([right.mean() for right in alone]))
    return {"pairs": len(found), **shares, "standard deviation of the accuracy, points": spread}


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=20, help="Of the random weights (default: 20; quick: 2).")
    parser.add_argument("--known", type=int, default=3, help="Seeds of the known gain (default: 3; quick: 1).")
    parser.add_argument("--side", type=int, default=224, help="Of MobileNetV2's photos in pixels (default: 224).")
    parser.add_argument("--parts", default="known,random", help="known, random or both.")


if __name__ == "__main__":
    shared.main("verdict", __doc__, measure, extend)
