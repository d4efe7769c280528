"""The boundary cache: MobileNetV2 at 224 px with all but the last stage frozen, ten epochs without augmentation.

    python benchmarks/boundary_cache.py [--quick] [--photos 200] [--epochs 10] [--rounds 1]

Three trainings of the same parameters on the same photos of clothing: headstart with its cache, headstart without it
(--set boundary=0), and fastai with the same layers frozen and kept in evaluation mode. headstart's times hold everything that
FineTune does but the fitting of a head: recording, comparing, validation after each epoch. fastai validates on the same photos. Beside
the seconds of the clock stand those of the processor (of worker processes, too), which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import _shared as shared
import numpy as np
from _shared import Goal, Report

if TYPE_CHECKING:
    from headstart.data import Split

BATCH, SIDE = 32, 224
MEAN = STD = (0.5, 0.5, 0.5)  # as the card of the weights says


def measure(options: argparse.Namespace) -> Report:
    from headstart import performing
    from headstart.data import Split
    from headstart.runs import Settings
    from headstart.store import Store

    whole = performing.load_split(Settings(str(shared.data_folder("clothing"))), Store())
    photos, epochs = (64, 2) if options.quick else (options.photos, options.epochs)
    rng = np.random.default_rng(0)
    some = whole.train.subset(rng.permutation(len(whole.train))[:photos])
    split = Split(some, whole.valid.subset(rng.permutation(len(whole.valid))[:64]), whole.test)
    rivals: dict[str, Callable[[], float]] = {
        "headstart": lambda: by_headstart(split, epochs, 4.0),
        "headstart, uncached": lambda: by_headstart(split, epochs, 0.0),
        "fastai, same layers frozen": lambda: by_fastai(split, epochs),
    }
    few = Split(some.subset(range(40)), split.valid.subset(range(20)), split.test)
    by_headstart(few, 2, 4.0)  # imports and first calls are nobody's time
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    accuracies: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(1 if options.quick else options.rounds):
        for name, work in rivals.items():
            clock, used = time.perf_counter(), processor()
            try:
                accuracies[name].append(work())
            except ImportError as problem:
                shared.progress(f"{name} is left out: {problem}")
                continue
            times[name].append((time.perf_counter() - clock, processor() - used))
            shared.progress(f"{name}: {times[name][-1][0]:.1f} s, {times[name][-1][1]:.1f} s of the processor")
    report, rows = Report(facts={"photos": photos, "epochs": epochs, "times": times}), []
    for name, found in times.items():
        if found:
            rows.append({"who": name, "seconds": shared.median(t[0] for t in found),
                         "processor seconds": shared.median(t[1] for t in found),
                         "valid accuracy": shared.mean(accuracies[name])})  # fmt: skip
    report.tables[f"MobileNetV2, last stage of 8, {photos} photos, {epochs} epochs"] = rows
    for row in rows[1:]:
        report.goals.append(Goal(f"times as fast as {row['who']} (processor)",
                                 row["processor seconds"] / rows[0]["processor seconds"], 4.0))  # fmt: skip
    return report


def processor() -> float:
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def by_headstart(split: Split, epochs: int, gigabytes: float) -> float:
    from headstart import models
    from headstart.approaches.finetune import FineTune
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    run = Run(None, 0, stage="last stage")
    settings = FineTune(
        epochs=epochs, tuning="last:1", start="random", augment="", patience=0, batch_size=BATCH, boundary=gigabytes
    )
    task = Classification.learn(split.train.labels or [])
    settings.fit(models.load(str(shared.weights_folder())), task, split, run)
    return max(row["valid_accuracy"] for row in run.history if "valid_accuracy" in row)


def by_fastai(split: Split, epochs: int) -> float:
    """``Learner.fit_one_cycle`` behind ``freeze_to(-1)``: what fastai's own documentation does for a frozen body."""
    from fastai.vision.all import (
        BnFreeze,
        CategoryBlock,
        DataBlock,
        ImageBlock,
        Learner,
        Normalize,
        PILImage,
        Resize,
        accuracy,
        params,
        set_seed,
    )
    from torch import nn

    set_seed(0)
    network: Any = shared.stock_network()
    network.reset_classifier(0)
    front = nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:6])
    back = nn.Sequential(network.blocks[6], network.conv_head, network.bn2, network.global_pool, nn.Linear(1280, 20))
    photos = [*split.train.items, *split.valid.items]
    labels = [*(split.train.labels or []), *(split.valid.labels or [])]
    block = DataBlock(
        blocks=(ImageBlock(PILImage), CategoryBlock(vocab=split.train.classes)), get_items=lambda n: list(range(n)),
        get_x=lambda i: photos[i], get_y=lambda i: labels[i],
        splitter=lambda items: (items[: len(split.train)], items[len(split.train) :]),
        item_tfms=Resize(SIDE), batch_tfms=[Normalize.from_stats(MEAN, STD, cuda=False)],
    )  # fmt: skip
    loaders = block.dataloaders(len(photos), bs=BATCH, num_workers=2)
    learner = Learner(loaders, nn.Sequential(front, back), loss_func=nn.CrossEntropyLoss(), metrics=accuracy,
                      splitter=lambda net: [params(net[0]), params(net[1])], train_bn=False, cbs=BnFreeze())  # fmt: skip
    learner.freeze_to(-1)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, 1e-3)
    return max(float(row[2]) for row in learner.recorder.values)


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1, help="Medians of so many runs, in turns.")


if __name__ == "__main__":
    shared.main("boundary_cache", __doc__, measure, extend)
