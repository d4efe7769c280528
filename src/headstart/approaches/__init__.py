"""The approach contract: how a backbone is adapted to labelled data. One file is one approach."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from headstart import views
from headstart.approaches._beside import Joint, begun
from headstart.approaches._several import drawn, weigher
from headstart.auxiliary import Auxiliary
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.errors import ConfigError, Incompatible
from headstart.mixing import Mixing
from headstart.models.backbone import Backbone, Features, grouped
from headstart.models.folding import folded
from headstart.models.zoo import assemble
from headstart.penalties import Penalty
from headstart.predictor import Predictor
from headstart.progress import say
from headstart.tasks import Head, Task, classes_of
from headstart.training import identity
from headstart.training.batches import Batch, Batches
from headstart.training.boundary import Replayed, boundary
from headstart.training.finder import find_rate
from headstart.training.kept import Kept
from headstart.training.loop import Objective, Recipe, minimise
from headstart.training.memory import kept_memory
from headstart.training.processes import processes
from headstart.training.run import Run, sow
from headstart.tuning import decayed, freeze_others, training_mode

COMPARED = 4  # samples on which the folded network is compared with the network as it is
LEAST = {"epochs": 1, "batch_size": 1, "patience": 0, "at_once": 0, "weight_decay": 0}  # of settings that several approaches have
LEAST_VALID = 25  # with fewer, the standard error of an accuracy can pass ten points


class Approach(ABC):
    """A frozen dataclass of settings with one verb. Selection happens on ``split.valid``; the test is not for it.

    A setting that names a model is a field with ``metadata={"reference": True}``: run.toml then keeps a path absolute.
    """

    needs: frozenset[str]
    kinds: frozenset[str] = frozenset({"classification"})  # of tasks; empty: all of them

    @abstractmethod
    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        """Adapt the backbone to the training part of the split."""


def check_kind(approach: Approach, task: Task) -> None:
    """Refuse, before any work, a task of a kind that the approach is not made for.

    Raises:
        Incompatible: says which kinds it takes.
    """
    if approach.kinds and task.kind not in approach.kinds:
        raise Incompatible(
            f"{type(approach).__name__} is for {', '.join(sorted(approach.kinds))}, and the task is {task.kind}. The "
            "approaches probe, finetune and scratch take every task."
        )


def check(approach: Approach, backbone: Backbone) -> None:
    """Refuse, before any work, what cannot work.

    Raises:
        Incompatible: the backbone lacks something that the approach needs.
        ConfigError: a number is out of range, or ``augment`` names something that samples of this kind do not have.
    """
    lacking = approach.needs - backbone.provides
    if lacking:
        raise Incompatible(
            f"{type(approach).__name__} needs {', '.join(sorted(lacking))} from the model, and {backbone.reference} "
            f"provides only {', '.join(sorted(backbone.provides))}. The approach probe works with every model."
        )
    settings = {entry.name: getattr(approach, entry.name) for entry in fields(approach)}  # type: ignore[arg-type]
    for name, least in LEAST.items():
        if settings.get(name, least) < least:
            raise ConfigError(f"$.approach.{name}: expected {least} or more, got {settings[name]}")
    for name in ("average", "label_smoothing"):
        if not 0 <= settings.get(name, 0.0) < 1:
            raise ConfigError(f"$.approach.{name}: expected 0 to less than 1, got {settings[name]:g}")
    if "augment" in settings:
        views.check(settings["augment"], backbone.card.modality)


def fresh(backbone: Backbone, seed: int) -> Backbone:
    """The same architecture and preprocessing with newly drawn weights."""
    sow(seed, 1)
    return assemble(backbone.card, f"{backbone.reference} from scratch", None, backbone.assets)


class Network(nn.Module):
    """What the loop trains, checkpoints and restores as one."""

    backbone: Backbone
    head: Head

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head


@dataclass(frozen=True)
class Care:
    """What shapes a training beside the loss of its samples.

    Attributes:
        penalties: of the weights, by name.
        mixings: ways to mix samples, of which every batch gets one.
        score: by which the best epoch is chosen: a metric that the task is judged by, "recall" (the mean over classes),
            say; "" for its own.
        find_rate: try rising rates first, and train with what they say.
        at_once: most samples computed at once; 0: as memory allows.
        helpers: questions asked beside the target's, by name; their heads begin at random.
        head_rate: learning rate of these heads.
    """

    penalties: Mapping[str, Penalty] = field(default_factory=dict)
    mixings: Sequence[Mixing] = ()
    score: str = ""
    find_rate: bool = False
    at_once: int = 0
    helpers: Mapping[str, Auxiliary] = field(default_factory=dict)
    head_rate: float = 1e-3


def train(
    backbone: Backbone, head: Head, task: Task, split: Split, run: Run, *,
    groups: list[dict[str, Any]], settings: Any, care: Care = Care(),
) -> dict[str, Any]:  # fmt: skip
    """Train head and backbone on ``split.train``, judged on ``split.valid``; what no group names stays frozen.

    ``settings`` has epochs, batch_size, patience, augment, average and still_norms, as the trained approaches do.
    """
    recipe = views.chosen(settings.augment, backbone, task, split, run)
    freeze_others(backbone, groups)
    labels = task.encode(split.train.labels or [])
    batches = Batches(split.train, labels, backbone, min(settings.batch_size, len(labels)), recipe, run.seed)
    batches.kinds = drawn(getattr(settings, "sampling", "proportional"), labels, head, run.stage)
    module = Network(backbone, head)
    weigh = weigher(getattr(settings, "balance", ""), head, backbone, len(batches), run.stage)
    if weigh is not None:
        module.add_module("balance", weigh)
    beside = None
    if care.helpers:
        beside = begun(care.helpers, backbone, batches.size, batches.recipe, run.seed, run.stage)
        module.add_module("beside", beside)
        groups = groups + decayed(list(beside.heads.parameters()), care.head_rate)
        run = replace(run, boundary_limit=0)  # their samples are seen by the frozen stages, too
    module.to(run.device)
    judged_on = Batches(split.valid, task.encode(split.valid.labels or []), backbone, 64)
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_memory())
        if settings.still_norms:  # first, for the boundary cache computes the same network
            few = [batches.sample(place, 0) for place in range(min(COMPARED, len(labels)))]
            stack.enter_context(folded(backbone, backbone.batch(few)))
        mixings = [type(entry).__name__ for entry in care.mixings]
        kept = boundary(batches, judged_on, settings.epochs, run, mixings=mixings)
        if kept:
            stack.callback(kept.close)

        moving = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
        penalties = {name: entry.start(moving, list(head.parameters())) for name, entry in care.penalties.items()}

        def losses(joint: Batch | Joint) -> dict[str, torch.Tensor]:
            batch = joint.main if isinstance(joint, Joint) else joint
            seen = kept.train.features(backbone, batch.places.tolist()) if kept else backbone(batch.inputs)
            found = head.losses(seen, batch.labels) if weigh is None else weigh.losses(head, seen, batch.labels)
            if beside is not None and isinstance(joint, Joint):
                found = {**found, **beside.losses(backbone, torch.stack(list(found.values())).sum(), joint.asked)}
            return {**found, **{name: penalty() for name, penalty in penalties.items()}}

        def set_mode() -> None:
            training_mode(backbone, still_norms=settings.still_norms)
            head.train()

        shown: Callable[[int], Iterator[Any]] = Replayed(kept.train) if kept else batches
        if care.mixings:
            shown = mixed(batches, care.mixings, len(classes_of(task, "Mixing")), run.seed)
        if beside is not None:
            shown = beside.joined(shown)
        judged = judge(task, split.valid, run, by=care.score, kept=kept.valid if kept else None)

        def validate(module: nn.Module) -> dict[str, float]:
            told = [part.drain() for part in (weigh, beside) if part is not None]
            return {**judged(module), **{name: value for part in told for name, value in part.items()}}

        objective = Objective(module, shown, len(batches), losses, validate, set_mode, lambda: identity.of_split(split))
        if settings.patience and len(split.valid) < LEAST_VALID:
            note = (f"early stopping has {len(split.valid)} validation samples to go by, and one of them is "
                    f"{100 / max(1, len(split.valid)):.0f} points: the best epoch is partly chosen by chance")  # fmt: skip
            say(f"{run.stage}: {note}")
            run.record({"epoch": 0, "train_loss": None, "note": note})
        whole = Recipe(settings.epochs, settings.patience, average=settings.average, at_once=care.at_once)
        if care.find_rate:
            curve = find_rate(objective, groups, run)
            groups = curve.applied(groups)
            run.record({"epoch": 0, "train_loss": None, "note": curve.why, "rates": curve.factors, "losses": curve.losses})
        return minimise(objective, groups, whole, run)


def mixed(
    batches: Callable[[int], Iterator[Batch]], mixings: Sequence[Mixing], num_classes: int, seed: int
) -> Callable[[int], Iterator[Batch]]:
    """The same batches with their samples mixed: labels become shares (n, k). The same epoch is mixed the same way."""

    def epoch_of(epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([seed, epoch, 1])
        for batch in batches(epoch):
            if not isinstance(batch.inputs, torch.Tensor) or not batch.inputs.is_floating_point():
                raise Incompatible(
                    "Mixing (mixup, cutmix) blends inputs that are one tensor of numbers, as pictures are; these samples "
                    "are something else to the model. Leave it out: --set mix= ; label smoothing works with all."
                )
            shares = functional.one_hot(batch.labels, num_classes).to(batch.inputs.dtype)
            chosen = mixings[int(rng.integers(len(mixings)))]
            inputs, labels = chosen.mix(batch.inputs, shares, rng)
            yield replace(batch, inputs=inputs, labels=labels)

    return epoch_of


def judge(task: Task, valid: Dataset, run: Run, by: str = "", kept: Kept | None = None) -> Any:
    """A function module -> metrics and loss on the validation samples (``task.judged``), and "score".

    The score is the metric ``by``, by default that of the task, less a small part of the loss, so that of two equal ones
    the surer one wins. What is ``kept`` of the samples at a boundary is not computed again.
    """
    labels = task.encode(valid.labels or [])
    shaped: list[tuple[list[int], list[Any]]] = []

    @torch.inference_mode()
    def validate(module: nn.Module) -> dict[str, float]:
        backbone, head = cast(Backbone, module.backbone).eval(), cast(Head, module.head).eval()
        if kept and not shaped:
            shaped.extend((group, []) for group in kept.groups())
        elif not shaped:
            batches = Batches(valid, labels, backbone, 64)
            values = [batches.sample(i, 0) for i in range(len(valid))]
            groups = grouped([backbone.cost(value) for value in values], 2 * backbone.batch_cost)
            shaped.extend((group, [values[i] for i in group]) for group in groups)
        logits, crew = np.zeros((len(valid), len(task.outputs))), processes()
        with run.autocast:
            for group, some in shaped[crew.rank :: crew.count]:  # every sample is computed once, in one process
                seen = kept.features(backbone, group) if kept else backbone(backbone.batch(some))
                logits[group] = head(seen).float().cpu().numpy()
        logits = crew.sum(torch.from_numpy(logits)).numpy()
        found = task.judged(logits, valid.labels or [])
        return {**found, "score": found[by or task.metric.name] - 0.001 * min(found["loss"], 10.0)}

    return validate


def as_features(vectors: np.ndarray) -> Features:
    return Features(torch.from_numpy(vectors))
