"""Deep adaptation: the source's loss, and beside it one that draws the two domains together. One loop for both ways.

On cached features a few hidden layers are trained, in seconds; on inputs the backbone moves as in fine-tuning.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart import progress, views
from headstart.approaches import check, judge
from headstart.approaches._adaptation import Adaptation, classes_of, fit_on_features, paired, target_of
from headstart.approaches._rows import Linear, Pair, classifier, scaling
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.models.backbone import Backbone, Features
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.tasks._layers import LayeredHead
from headstart.training.batches import Batches
from headstart.training.loop import Objective, Recipe, minimise
from headstart.training.run import Run, sow
from headstart.tuning import decayed, freeze_others, training_mode
from headstart.tuning.full import Full
from headstart.tuning.last import Last


@dataclass(frozen=True)
class View:
    """A batch of one domain: what is aligned (n, dim), and logits (n, classes).

    ``plain``: logits of the same samples without augmentation, without a gradient; None where nothing is augmented.
    """

    features: Tensor
    logits: Tensor
    plain: Tensor | None = None


class Alignment(nn.Module, ABC):
    """A loss that falls as the domains come together; it may hold parameters of its own, such as a discriminator."""

    @abstractmethod
    def forward(self, source: View, target: View, strength: float) -> Tensor:
        """The loss; ``strength``, from 0 at the start to the weight at the end, is already in it."""


def ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1, from 0 to 1: the schedule of the DANN paper (section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


@dataclass(frozen=True)
class Aligned(Adaptation):
    """Args:
    on: "features": hidden layers on cached features, the backbone stays; "inputs": the backbone moves, too.
    weight: of the alignment at the end of training; 0 is training on the source alone.
    hidden: widths of the layers between features and classifier, such as "128" or "100,100"; "" for none.
    align: "hidden": behind these layers, or "vector": what they take.
    epochs: passes over the source. The last weights are kept, not the best on the source.
    learning_rate: of hidden layers; on inputs that of the backbone's last stage (0: the model's usual one).
    pace: on inputs, how many times faster the layers behind the backbone learn (0: 10 times with hidden layers, 2 times
        without); 1 for a network that is not pretrained.
    stages, still_norms, augment: on inputs, as for finetune.
    own_labels: above 0, the least probability with which what is said of a target sample becomes its label, beside the
        alignment; on inputs it is said of the sample as it is and learnt for its augmented view (FixMatch). They count as the alignment does.

    ``moves_logits``: whether the alignment also reaches the classifier, so that it can do without hidden layers.
    ``labels_itself``: whether the alignment looks at what is said of samples as they are.
    """

    moves_logits: ClassVar[bool] = False
    labels_itself: ClassVar[bool] = False
    on: Literal["features", "inputs"] = "features"
    weight: float = 1.0
    hidden: str = "128"
    align: Literal["hidden", "vector"] = "hidden"
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 0.0
    pace: float = 0.0
    weight_decay: float = 0.01
    stages: int = 0
    still_norms: bool = True
    augment: str = "auto"
    own_labels: float = 0.0

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"vector", "gradients"} if self.on == "inputs" else {"vector"})

    @abstractmethod
    def alignment(self, dim: int, num_classes: int) -> Alignment:
        """A fresh alignment of features of this width."""

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        if self.on == "features":
            return fit_on_features(self, backbone, task, split, run)
        return _fit_on_inputs(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        return _learn_on_rows(self, pair, run)


@dataclass(frozen=True)
class Both:
    """Inputs of a batch of each domain, the labels of the source, and where asked for the target's without augmentation."""

    source: Any
    labels: Tensor
    target: Any
    plain: Any = None


class Whole(nn.Module):
    """Everything that is trained; it counts its steps, so that a training that goes on knows how far it is."""

    num_steps: Tensor

    def __init__(self, backbone: nn.Module, head: LayeredHead, alignment: Alignment) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.alignment = alignment
        self.register_buffer("num_steps", torch.tensor(0))

    def losses(self, batch: Both, settings: Aligned, total: int) -> dict[str, Tensor]:
        source, target = (self._view(inputs, settings.align) for inputs in (batch.source, batch.target))
        strength = settings.weight * ramp(int(self.num_steps) / max(1, total))
        self.num_steps += 1
        found = {"cross_entropy": functional.cross_entropy(source.logits, batch.labels)}
        if not settings.weight:
            return found
        if batch.plain is not None:
            with torch.no_grad():
                target = replace(target, plain=self._view(batch.plain, settings.align).logits)
        found["alignment"] = self.alignment(source, target, strength)
        if settings.own_labels:
            found["own_labels"] = strength * own_labels(target, settings.own_labels)
        return found

    def _view(self, inputs: Any, align: str) -> View:
        found = self.backbone(inputs)
        vector = self.head.denoised(found.vector if isinstance(found, Features) else found)
        hidden = self.head.represent(vector)
        return View(hidden if align == "hidden" else vector, self.head.linear(hidden))


def own_labels(target: View, threshold: float) -> Tensor:
    """Cross entropy of guesses that are sure enough; where a class has most of them, each of them counts less.

    Lee: Pseudo-Label, ICML 2013 workshop on Challenges in Representation Learning; with augmentation the guess is that of the
    sample as it is: Sohn et al.: FixMatch, NeurIPS 2020, arXiv 2001.07685, equation 4.
    """
    said = target.logits.detach() if target.plain is None else target.plain
    surest, guesses = said.float().softmax(1).max(1)
    trusted = (surest >= threshold).float()
    counts = functional.one_hot(guesses, said.shape[1]).float().T @ trusted  # (classes,)
    even = trusted / counts[guesses].clamp(min=1)
    weight = even / even.sum().clamp(min=1e-8) * trusted.mean()
    each = functional.cross_entropy(target.logits.float(), guesses, reduction="none")
    return (weight * each).sum()


def _set_to_train(module: nn.Module) -> None:
    module.train()


def _steps_taken(module: nn.Module) -> dict[str, float]:
    """A score by which the last weights are the best ones: the source's validation says nothing of the target."""
    assert isinstance(module, Whole)
    return {"score": float(module.num_steps)}


def widths(settings: Aligned) -> list[int]:
    try:
        found = [int(part) for part in settings.hidden.split(",") if part.strip()]
    except ValueError:
        found = [0]
    if any(width < 1 for width in found):
        raise ConfigError(f"$.approach.hidden: expected widths such as '128' or '100,100', got {settings.hidden!r}")
    return found


def _sure(settings: Aligned) -> None:
    if not 0 <= settings.own_labels <= 1:
        raise ConfigError(f"$.approach.own_labels: expected a probability, such as 0.9, or 0 for none; got {settings.own_labels:g}")
    if settings.own_labels and not settings.weight:
        raise ConfigError("$.approach.own_labels: they grow with the weight of the alignment, and weight is 0; the approach selftrain "
                          "learns from own labels alone")  # fmt: skip


def _learn_on_rows(settings: Aligned, pair: Pair, run: Run) -> Head:
    hidden = widths(settings)
    _sure(settings)
    if settings.weight and (not hidden or settings.align == "vector") and not settings.moves_logits:
        raise ConfigError("$.approach.hidden: on features nothing but hidden layers can move; give a width such as 128 and "
                          "align them (align=hidden), or adapt the backbone: on=inputs")  # fmt: skip
    scaled = scaling(pair.source, pair.target, together=pair.together)
    source, target = (torch.from_numpy(scaled(rows)).to(run.device) for rows in (pair.source, pair.target))
    labels = torch.from_numpy(np.asarray(pair.labels, np.int64)).to(run.device)
    sow(run.seed, 2)
    head = LayeredHead(source.shape[1], pair.num_classes, hidden)
    width = hidden[-1] if hidden and settings.align == "hidden" else source.shape[1]
    whole = Whole(nn.Identity(), head, settings.alignment(width, pair.num_classes)).to(run.device)
    size = min(settings.batch_size, len(source))
    steps = max(1, len(source) // size)

    def batches(epoch: int) -> Iterator[Both]:
        rng = np.random.default_rng([run.seed, epoch])
        order, other = rng.permutation(len(source)), _cycle(rng, len(target), steps * size)
        for i in range(steps):
            part = slice(i * size, (i + 1) * size)
            rows, others = torch.from_numpy(order[part]), torch.from_numpy(other[part])
            yield Both(source[rows], labels[rows], target[others])

    alone = Run(None, run.seed, None, run.deadline, run.stage)  # done in seconds: nothing is kept on the way
    objective = Objective(whole, batches, steps, lambda batch: whole.losses(batch, settings, steps * settings.epochs),
                          _steps_taken, lambda: _set_to_train(whole))  # fmt: skip
    groups = decayed(list(whole.parameters()), settings.learning_rate or 1e-3, settings.weight_decay)
    with progress.hushed():
        minimise(objective, groups, Recipe(settings.epochs, warmup=0.05), alone)
    head = head.cpu()
    head.mean.copy_(torch.from_numpy(scaled.mean))
    head.scale.copy_(torch.from_numpy(scaled.scale))
    return head


def _cycle(rng: np.random.Generator, num: int, wanted: int) -> np.ndarray:
    """``wanted`` numbers below ``num``, in random order, each as often as the others."""
    return np.concatenate([rng.permutation(num) for _ in range(math.ceil(wanted / num))])[:wanted]


def _fit_on_inputs(settings: Aligned, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
    check(settings, backbone)
    _sure(settings)
    target = target_of(settings, split)
    hidden, num_classes = widths(settings), classes_of(task)
    sow(run.seed, 2)
    head = LayeredHead(backbone.spec.dim, num_classes, hidden)
    if not hidden:
        _start(head, _probe(paired(backbone, task, split, run), run.seed))
    backbone = copy.deepcopy(backbone)
    width = hidden[-1] if hidden and settings.align == "hidden" else backbone.spec.dim
    alignment = settings.alignment(width, num_classes)
    rate = settings.learning_rate or backbone.rate
    tuning = Last(settings.stages) if settings.stages else Full()
    quick = (settings.pace or (10 if hidden else 2)) * rate
    groups = tuning.groups(backbone, rate)
    groups += decayed([*head.parameters(), *alignment.parameters()], quick, settings.weight_decay)
    freeze_others(backbone, groups)
    whole = Whole(backbone, head, alignment).to(run.device)
    labels = task.encode(split.train.labels or [])
    recipe = views.chosen(settings.augment, backbone, task, split, run)
    size = min(settings.batch_size, len(labels))
    ours = Batches(split.train, labels, backbone, size, recipe, run.seed)
    none = np.zeros(len(target), np.int64)  # the target has no labels: these are never looked at
    twice = bool(settings.weight) and (settings.labels_itself or settings.own_labels > 0)
    theirs = Batches(target, none, backbone, min(size, len(target)), recipe, run.seed + 1, with_plain=twice)

    def batches(epoch: int) -> Iterator[Both]:
        others = (batch for lap in count(epoch * 1000) for batch in theirs(lap))
        for batch, other in zip(ours(epoch), others, strict=False):
            yield Both(batch.inputs, batch.labels, other.inputs, other.plain)

    def set_mode() -> None:
        training_mode(backbone, still_norms=settings.still_norms)
        head.train()
        alignment.train()

    judged = judge(task, split.valid, run)
    total = len(ours) * settings.epochs
    objective = Objective(
        whole, batches, len(ours), lambda batch: whole.losses(batch, settings, total),
        lambda module: {**judged(module), **_steps_taken(module)}, set_mode,
    )  # fmt: skip
    minimise(objective, groups, Recipe(settings.epochs), run)
    return Predictor(backbone.eval(), head.eval(), task, split.train.modality)


def _probe(pair: Pair, seed: int) -> Linear:
    scaled = scaling(pair.source)
    return classifier(scaled(pair.source), pair.labels, pair.num_classes, seed=seed).after(scaled)


def _start(head: LayeredHead, fitted: Linear) -> None:
    """Begin with a fitted classifier, which keeps the first gradients from distorting the features."""
    with torch.no_grad():
        head.linear.weight.copy_(torch.from_numpy(fitted.weight.astype(np.float32)))
        head.linear.bias.copy_(torch.from_numpy(fitted.bias.astype(np.float32)))
