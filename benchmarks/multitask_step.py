"""Three tasks on one network: milliseconds of a step for each way of balancing, beside LibMTL's.

    pip install --no-deps LibMTL
    python benchmarks/multitask_step.py [--quick] [--rounds 3] [--side 64]

MobileNetV2, all layers, with three linear heads (81, 43 and 20 classes), one batch of 32 pictures that is ready, random labels:
only the computation is timed. LibMTL runs as its Trainer does: its ``HPS`` architecture, ``backward`` of the weighting, Adam.
headstart runs its own step: norms that stand still and are folded, clipping, AdamW, and the cosines of gradients that it looks at
now and then. Rivals take turns; the time is that of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import _shared as shared
import torch
from _shared import Goal, Report, Row
from torch import Tensor, nn
from torch.nn import functional

CLASSES = {"fine": 81, "coarse": 43, "third": 20}
WAYS = {  # ours: (LibMTL's, what its README gives it)
    "fixed:1+1+1": ("EW", {}),
    "uncertainty": ("UW", {}),
    "dwa": ("DWA", {"T": 2.0}),
    "gradnorm": ("GradNorm", {"alpha": 1.5}),
    "pcgrad": ("PCGrad", {}),
    "cagrad": ("CAGrad", {"calpha": 0.5, "rescale": 1}),
    "nashmtl": ("", {}),
}
BATCH = 32


def measure(options: argparse.Namespace) -> Report:
    steps, rounds = (2, 1) if options.quick else (options.steps, options.rounds)
    images = torch.randn(BATCH, 3, options.side, options.side, generator=torch.Generator().manual_seed(0))
    rows: list[Row] = []
    report = Report(facts={"steps": steps, "rounds": rounds, "side": options.side})
    for way, (theirs, given) in WAYS.items():
        rivals = {"headstart": ours(way, images)}
        if theirs and (library := libmtl()) is not None:
            rivals["LibMTL"] = by_libmtl(library, theirs, given, images)
        for take in rivals.values():
            take(1)  # first calls are nobody's time
        times: dict[str, list[float]] = {name: [] for name in rivals}
        for _ in range(rounds):
            for name, take in rivals.items():
                begun = time.process_time()
                take(steps)
                times[name].append(1000 * (time.process_time() - begun) / steps)
        row: Row = {"way": way, "LibMTL's name": theirs or "none"}
        row |= {f"{name}, ms": shared.median(found) for name, found in times.items()}
        rows.append(row)
        shared.progress(", ".join(f"{key} {value}" for key, value in row.items()))
        if "LibMTL" in times:
            report.goals.append(Goal(f"LibMTL's time a step by headstart's, {way}",
                                     shared.median(times["LibMTL"]) / shared.median(times["headstart"]), 1.0))  # fmt: skip
        report.facts[way] = times
    report.tables[f"Processor milliseconds a step, MobileNetV2 at {options.side} px, three tasks, batch of {BATCH}"] = rows
    return report


def network() -> Any:
    from headstart import models

    return models.load(str(shared.weights_folder()))


def ours(way: str, images: Tensor) -> Callable[[int], None]:
    from headstart.approaches._several import weigher
    from headstart.models.folding import folded
    from headstart.tasks._heads import LinearHead
    from headstart.tasks._several import SeveralHead
    from headstart.training.memory import kept_memory
    from headstart.training.optimiser import adamw
    from headstart.training.run import Run
    from headstart.training.step import Step
    from headstart.tuning import training_mode

    backbone = network()
    head = SeveralHead({name: LinearHead(backbone.spec.dim, width) for name, width in CLASSES.items()}, (1, 1, 1), (True,) * 3)
    labels = torch.stack([torch.arange(BATCH) % width for width in CLASSES.values()], 1).float()
    balance = weigher(way, head, backbone, 50, "benchmark")
    assert balance is not None
    training_mode(backbone, still_norms=True)
    moving = [*backbone.parameters(), *head.parameters(), *balance.parameters()]
    step = Step(lambda batch: balance.losses(head, backbone(batch[0]), batch[1]), adamw([{"params": moving, "lr": 1e-4}]),
                Run(), 1.0)  # fmt: skip
    last = images.contiguous(memory_format=torch.channels_last)

    def take(steps: int) -> None:
        with folded(backbone, last[:4]), kept_memory():
            for number in range(steps):
                step((last, labels), number)

    return take


def by_libmtl(library: Any, name: str, given: dict[str, Any], images: Tensor) -> Callable[[int], None]:
    """The inner lines of ``LibMTL.Trainer.train``, which itself asks for a GPU."""
    stock: Any = shared.stock_network()
    stock.reset_classifier(0)
    stock.to(memory_format=torch.channels_last)  # the faster layout of two
    weighting = getattr(library.weighting, name)

    class Model(library.architecture.HPS, weighting):  # type: ignore[name-defined, misc]
        """What the torch of its time did: gradients are zeros, not None, and lie as they are read."""

        def zero_grad_share_params(self) -> None:
            self.encoder.zero_grad(set_to_none=False)

        def _grad2vec(self) -> Tensor:
            return torch.cat([parameter.grad.reshape(-1) for parameter in self.get_share_params()])

    decoders = nn.ModuleDict({task: nn.Linear(stock.num_features, width) for task, width in CLASSES.items()})
    model = Model(list(CLASSES), lambda: stock, decoders, False, False, torch.device("cpu"))
    model.init_param()
    model.train()
    model.epoch, model.train_loss_buffer = 3, torch.ones(3, 10).numpy()  # as behind the first epochs, in which DWA rests
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    labels = {task: torch.arange(BATCH) % width for task, width in CLASSES.items()}

    shown = images.contiguous(memory_format=torch.channels_last)

    def one() -> None:
        said = model(shown)
        losses = torch.zeros(3)
        for place, task in enumerate(CLASSES):
            losses[place] = functional.cross_entropy(said[task], labels[task])
        optimiser.zero_grad(set_to_none=False)
        model.backward(losses, **given)
        optimiser.step()

    def take(steps: int) -> None:
        for _ in range(steps):
            one()

    return take


def libmtl() -> Any:
    """LibMTL where it is installed. Its models import a module that torchvision has given up, and are not used here."""
    given_up = types.ModuleType("torchvision.models.utils")
    given_up.load_state_dict_from_url = torch.hub.load_state_dict_from_url  # type: ignore[attr-defined]
    sys.modules.setdefault("torchvision.models.utils", given_up)
    try:
        import LibMTL.architecture
        import LibMTL.weighting
    except ImportError as problem:
        shared.progress(f"LibMTL is left out: {problem}")
        return None
    return LibMTL


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=64, help="Of the pictures in pixels.")


if __name__ == "__main__":
    shared.main("multitask_step", __doc__, measure, extend)
