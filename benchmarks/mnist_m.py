"""MNIST -> MNIST-M with the small network of the DANN paper (JMLR 2016, section 5.2), trained from scratch.

python benchmarks/mnist_m.py [--seeds 0,1,2] [--epochs 24] [--methods "source only; DANN; ..."]

The paper: source only 0.5225, DANN 0.7666. The network has 5 x 5 convolutions of 32 and 48 channels, each with a ReLU and
2 x 2 max-pooling, two layers of 100 units, and a discriminator with 100 units on the convolutions' output. The sets are
smaller here: 10,000 MNIST and the training part of MNIST-M without its labels; the test part of MNIST-M is judged once.

"augmented": both domains are shown as they are and as negatives, in other brightness, contrast and saturation. "own labels": besides,
what is said of a target digit as it is, with a probability of at least 0.9, becomes the label of its augmented view.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from _shared import Goal, Report, accuracy, data_folder, main, numbers, progress
from torch import nn

from headstart.data import read
from headstart.data.split import Split
from headstart.models.card import ModelCard
from headstart.models.pictures import PictureBackbone
from headstart.training.run import Run, sow

AUGMENT = "negative,colour:0.4"
METHODS: dict[str, dict[str, Any]] = {  # what Dann is told beside the network
    "source only": {"weight": 0.0},
    "source only, augmented": {"weight": 0.0, "augment": AUGMENT},
    "DANN": {},
    "DANN, augmented": {"augment": AUGMENT},
    "DANN, augmented, own labels": {"augment": AUGMENT, "own_labels": 0.9},
}

CARD = ModelCard(
    architecture="paper/mnist", modality="image", input_size=(3, 28, 28), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2)
    )


def backbone(seed: int) -> PictureBackbone:
    sow(seed, 11)
    return PictureBackbone(network(), CARD, lambda net, x: (net(x).flatten(1), None), "the DANN paper's network")


def measure(options: argparse.Namespace) -> Report:
    from headstart.approaches.dann import Dann
    from headstart.tasks.classification import Classification

    torch.set_num_threads(options.threads)
    methods = [name.strip() for name in options.methods.split(";")]
    if unknown := set(methods) - set(METHODS):
        raise SystemExit(f"--methods: there is no {', '.join(sorted(unknown))}; there are {'; '.join(METHODS)}")
    source, target = read(data_folder("digits", "mnist")), read(data_folder("digits", "mnist-m"))
    parts = {
        side: source.subset(i for i, d in enumerate(source.declared or ()) if d == side) for side in ("train", "test")
    }
    theirs = {
        side: target.subset(i for i, d in enumerate(target.declared or ()) if d == side) for side in ("train", "test")
    }
    if options.quick:
        parts = {side: part.subset(range(0, len(part), 20)) for side, part in parts.items()}
        theirs = {side: part.subset(range(0, len(part), 20)) for side, part in theirs.items()}
    valid = parts["test"].subset(range(0, len(parts["test"]), 4))  # watched, but nothing is chosen by it
    split = Split(parts["train"], valid, theirs["test"], theirs["train"].without_labels())
    task = Classification.learn(split.train.labels or [])
    rows: list[dict[str, Any]] = []
    for seed in numbers(options.seeds):
        row: dict[str, Any] = {"seed": seed}
        for name in methods:
            begun = time.perf_counter()
            shared: dict[str, Any] = {
                "on": "inputs", "hidden": "100,100", "align": "vector", "epochs": options.epochs, "batch_size": 64,
                "learning_rate": options.rate, "pace": 1.0, "augment": "", "width": 100,
            }  # fmt: skip
            approach = Dann(**(shared | METHODS[name]))
            fitted = approach.fit(backbone(seed), task, split, Run(None, seed, stage=name))
            row[name] = accuracy(fitted, split.test)
            row[f"{name}, minutes"] = (time.perf_counter() - begun) / 60
            progress(f"seed {seed}: {name} {row[name]:.4f}")
        rows.append(row)
    found = Report({"MNIST -> MNIST-M, test accuracy (paper: source only 0.5225, DANN 0.7666)": rows})
    found.facts["samples"] = {
        "source": len(split.train),
        "target": len(split.unlabeled or ()),
        "judged": len(split.test),
    }
    for name in (name for name in methods if "DANN" in name):
        median = statistics.median(row[name] for row in rows)
        found.goals.append(Goal(f"{name}, on MNIST-M, median of {len(rows)} seeds", median, 0.76))
    return found


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", default="; ".join(METHODS), help="Divided by semicolons.")


if __name__ == "__main__":
    main("mnist_m", __doc__, measure, extend)
