"""Full fine-tuning at 224 px, images a second: headstart's loop, a plain float32 PyTorch loop, and fastai.

    python benchmarks/training_speed.py [--quick] [--seeds 3] [--rounds 3] [--models mobilenetv2_100,resnet18]

All train every layer of timm's network on the same photos of clothing, with random crops and flips, batches of 32 and
AdamW, for the same number of images. The rivals read the photos as their documentation says: a DataLoader (or fastai's)
with two worker processes that decode them anew in every epoch; headstart decodes in threads, once, and keeps what fits
into memory. What that is worth is shown apart: "computation" trains on one batch that is ready. resnet18 has random
weights, for its speed alone; MobileNetV2 begins with the weights of $HEADSTART_WEIGHTS, and its accuracy on the test
photos is compared as well: there the plain loop and fastai train for the same epochs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import _shared as shared
import numpy as np
from _shared import Goal, Report, Row

if TYPE_CHECKING:
    import torch

    from headstart.data import Dataset, Split
    from headstart.models.backbone import Backbone

BATCH, SIDE, STEPS = 32, 224, 12
MEAN = STD = (0.5, 0.5, 0.5)  # as the card of the weights says
RATES = {"headstart": 0.0, "plain loop": 5e-4, "fastai": 1e-3}  # its own; the rivals', the best of 2e-4 to 2e-3


def measure(options: argparse.Namespace) -> Report:
    from headstart import performing
    from headstart.runs import Settings
    from headstart.store import Store

    folder = shared.data_folder("clothing")
    split = performing.load_split(Settings(str(folder), shots=4 if options.quick else None), Store())
    rounds = 1 if options.quick else options.rounds
    report = Report(facts={"seeds": list(range(1 if options.quick else options.seeds)), "rounds": rounds})
    for name in options.models.split(","):
        compared(name, split, rounds, options, report)
    if not options.skip_accuracy:
        accurate(split, report, options)
    return report


def compared(name: str, split: Split, rounds: int, options: argparse.Namespace, report: Report) -> None:
    """The speed of each loop, with and without reading, in turns."""
    steps = 2 if options.quick else STEPS
    photos = split.train.subset(np.arange(steps * BATCH) % len(split.train))
    for title, rivals in {
        "computation alone (one batch that is ready)": ready(name, steps),
        "with reading and augmentation": reading(name, photos, epochs=1 if options.quick else 3),
    }.items():
        times = shared.alternate(rivals, rounds)
        rows: list[Row] = []
        for who, values in times.items():
            images = steps * BATCH * (1 if "ready" in title or options.quick else 3)
            rows.append({"who": who, "images/s": images / shared.median(values), "of runs": len(values),
                         "headstart is faster by": shared.median(values) / shared.median(times["headstart"])})  # fmt: skip
            shared.progress(f"{name}, {title}, {who}: {rows[-1]['images/s']:.1f} images/s")
        report.tables[f"{name}, {title}"] = rows
        if "reading" in title:
            for row in rows[1:]:
                goal = f"{name}: images a second beside {row['who']}"
                report.goals.append(Goal(goal, row["headstart is faster by"], 2.5))


def network(name: str) -> torch.nn.Module:
    """timm's network without its classifier; MobileNetV2 with its weights."""
    import timm
    from torch import nn

    made = shared.stock_network() if name == "mobilenetv2_100" else timm.create_model(name, pretrained=False)
    made.reset_classifier(0)
    return nn.Sequential(made, nn.Linear(made.num_features, 20))


def backbone(name: str) -> Backbone:
    """The same network as headstart holds it."""
    from headstart import models
    from headstart.models.card import ModelCard
    from headstart.models.zoo import assemble

    if name == "mobilenetv2_100":
        return models.load(str(shared.weights_folder()))
    card = ModelCard(architecture=f"timm/{name}", modality="image", input_size=(3, SIDE, SIDE), mean=MEAN, std=STD)
    return assemble(card, name, None)


def ready(name: str, steps: int) -> dict[str, Callable[[], None]]:
    """Steps on one batch in memory; fastai's loop has no place for it, and computes what the plain loop computes."""
    import torch
    from torch.nn import functional

    from headstart.models.folding import folded
    from headstart.training.memory import kept_memory
    from headstart.training.run import Run
    from headstart.training.step import Step
    from headstart.tuning import training_mode

    images, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH) % 20
    theirs = network(name).train()
    plain = torch.optim.AdamW(theirs.parameters(), lr=1e-4)
    ours = backbone(name)
    head = torch.nn.Linear(ours.spec.dim, 20)
    training_mode(ours, still_norms=True)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    moving = [*ours.parameters(), *head.parameters()]

    def losses(batch: Any) -> dict[str, torch.Tensor]:
        return {"loss": functional.cross_entropy(head(ours(batch[0]).vector), batch[1])}

    from headstart.training.optimiser import adamw

    step = Step(losses, adamw([{"params": moving, "lr": 1e-4}]), Run(), 1.0)

    def plainly() -> None:
        for _ in range(steps):
            plain.zero_grad()
            functional.cross_entropy(theirs(images), labels).backward()
            plain.step()

    def by_headstart() -> None:
        with folded(ours, channels_last[:4]), kept_memory():
            for i in range(steps):
                step((channels_last, labels), i)

    return {"headstart": by_headstart, "plain loop": plainly}


def reading(name: str, photos: Dataset, epochs: int, seed: int = 0) -> dict[str, Callable[[], Any]]:
    return {
        "headstart": lambda: by_headstart(name, photos, epochs),
        "plain loop": lambda: plain_loop(network(name), photos, epochs, RATES["plain loop"], seed),
        "fastai": lambda: by_fastai(network(name), photos, epochs, RATES["fastai"], seed),
    }


def by_headstart(name: str, photos: Dataset, epochs: int) -> None:
    """The loop without what the rivals do not do either: validation and a fitted head to begin with."""
    from headstart.models.folding import folded
    from headstart.tasks.classification import Classification
    from headstart.training.batches import Batches
    from headstart.training.loop import Objective, Recipe, minimise
    from headstart.training.memory import kept_memory
    from headstart.training.run import Run
    from headstart.tuning import decayed, training_mode
    from headstart.tuning.full import Full

    ours = backbone(name)
    task = Classification.learn(photos.labels or [])
    head = task.head(ours.spec.dim)
    batches = Batches(photos, task.encode(photos.labels or []), ours, BATCH, ("auto",))

    def set_mode() -> None:
        training_mode(ours, still_norms=True)

    import torch

    objective = Objective(
        torch.nn.ModuleList([ours, head]), batches, len(batches),
        lambda batch: head.losses(ours(batch.inputs), batch.labels), lambda module: {"score": 0.0}, set_mode,
    )  # fmt: skip
    few = ours.batch([batches.sample(place, 0) for place in range(4)])
    with folded(ours, few), kept_memory():
        minimise(objective, Full().groups(ours, 1e-4) + decayed(list(head.parameters()), 2e-4), Recipe(epochs), Run())


def plain_loop(net: torch.nn.Module, photos: Dataset, epochs: int, rate: float, seed: int) -> torch.nn.Module:
    """As a tutorial has it: a DataLoader with two workers, float32, AdamW under one cycle of the rate."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    loader = torch.utils.data.DataLoader(Photos(photos), BATCH, shuffle=True, num_workers=2, drop_last=True)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * len(loader))
    for _ in range(epochs):
        net.train()
        for images, labels in loader:
            optimiser.zero_grad()
            functional.cross_entropy(net(images), labels).backward()
            optimiser.step()
            cycle.step()
    return net


def by_fastai(net: torch.nn.Module, photos: Dataset, epochs: int, rate: float, seed: int) -> torch.nn.Module:
    """``Learner.fit_one_cycle`` on fastai's own loaders."""
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        Flip,
        ImageBlock,
        Learner,
        Normalize,
        PILImage,
        RandomResizedCrop,
        accuracy,
        set_seed,
    )
    from torch.nn import CrossEntropyLoss

    set_seed(seed)
    labels = photos.labels or []
    block = DataBlock(
        blocks=(ImageBlock(PILImage), CategoryBlock(vocab=photos.classes)), get_items=lambda n: list(range(n)),
        get_x=lambda i: photos.items[i], get_y=lambda i: labels[i], splitter=lambda items: (items, items[:1]),
        item_tfms=RandomResizedCrop(SIDE, min_scale=0.35), batch_tfms=[Flip(), Normalize.from_stats(MEAN, STD, cuda=False)],
    )  # fmt: skip
    loaders = block.dataloaders(len(photos), bs=BATCH, num_workers=2)
    learner = Learner(loaders, net, loss_func=CrossEntropyLoss(), metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, rate)
    return net


class Photos:
    """A map-style data set for a DataLoader."""

    def __init__(self, photos: Dataset, *, test: bool = False) -> None:
        from torchvision import transforms as t

        varied = [t.RandomResizedCrop(SIDE, (0.35, 1)), t.RandomHorizontalFlip()]
        self.transform = t.Compose([*([t.Resize(256), t.CenterCrop(SIDE)] if test else varied), t.ToTensor(),
                                    t.Normalize(MEAN, STD)])  # fmt: skip
        self.photos = photos
        self.numbers = [photos.classes.index(label) for label in photos.labels or []]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        with Image.open(self.photos.items[place]) as image:  # type: ignore[arg-type]
            return self.transform(image.convert("RGB")), self.numbers[place]

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        import torch

        yield from torch.utils.data.DataLoader(self, 64)  # type: ignore[arg-type]


def accurate(split: Split, report: Report, options: argparse.Namespace) -> None:
    """Test accuracy of MobileNetV2 after the same epochs; headstart's is that of hs.FineTune as it comes."""
    import torch

    from headstart.approaches.finetune import FineTune
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run

    epochs, rows = 1 if options.quick else 4, []
    task = Classification.learn(split.train.labels or [])
    test = Photos(split.test.subset(range(20)) if options.quick else split.test, test=True)
    for seed in report.facts["seeds"]:
        begun = time.perf_counter()
        approach = FineTune(epochs=epochs, patience=0)
        predictor = approach.fit(backbone("mobilenetv2_100"), task, split, Run(seed=seed))
        taken = time.perf_counter() - begun
        rows.append(
            {"seed": seed, "who": "headstart", "test": shared.accuracy(predictor, test.photos), "seconds": taken}
        )
        for who, train in (("plain loop", plain_loop), ("fastai", by_fastai)):
            begun = time.perf_counter()
            net = train(network("mobilenetv2_100"), split.train, epochs, RATES[who], seed).eval()
            taken = time.perf_counter() - begun
            with torch.inference_mode():
                right = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in test.batches())
            rows.append({"seed": seed, "who": who, "test": right / len(test), "seconds": taken})
        shared.progress("; ".join(f"{row['who']} {row['test']:.4f} in {row['seconds']:.0f} s" for row in rows[-3:]))
    report.tables[f"MobileNetV2 on clothing, {epochs} epochs"] = rows
    mean = {who: shared.mean(row["test"] for row in rows if row["who"] == who) for who in RATES}
    best = max(mean["plain loop"], mean["fastai"])
    report.goals.append(
        Goal("mean test accuracy less the better rival's, points", 100 * (mean["headstart"] - best), -1.0)
    )


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=3, help="Of the comparison of accuracy.")
    parser.add_argument("--rounds", type=int, default=3, help="Medians of so many runs, in turns.")
    parser.add_argument("--models", default="mobilenetv2_100,resnet18")
    parser.add_argument("--skip-accuracy", action="store_true", help="Speed alone.")


if __name__ == "__main__":
    shared.main("training_speed", __doc__, measure, extend)
