"""What an augmentation does to the accuracy on validation, at the price of extracting features.

A probe is fitted to the features of the training samples, and another one to these and those of a few augmented views
of each; both answer the same plain validation samples. The difference is paired, so its interval is narrow. Both have the
regularisation that cross-validation chose for the first, and as many rows: the first sees each sample again instead of a
view. Without that, rounding alone let an augmentation that changed nothing "hurt" by 2.5 points on 241 sounds. It says
whether the classes survive the change and whether the model gains from seeing it; it does not say what a training of many
epochs gains from never seeing a sample twice. So what is usual needs evidence to be dropped, and everything else evidence
to be taken in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch

from headstart import solvers
from headstart.data.augment import Augmentation
from headstart.data.dataset import Dataset
from headstart.data.split import Split
from headstart.features.extract import extract
from headstart.metrics import paired
from headstart.models.backbone import Backbone, Features
from headstart.progress import say, track
from headstart.store import Store
from headstart.tasks import Task, classes_of
from headstart.views import decoded, viewed

VIEWS = 2  # augmented versions of each sample
MOST = 2000  # training samples that are looked at
MATTERS = 0.005  # nats; a smaller change of the loss, however sure, is no effect

TOGETHER = "all that are kept, together"

Answer = Literal["helps", "no clear effect", "hurts"]


@dataclass(frozen=True)
class Effect:
    """What an augmentation did to a probe.

    Attributes:
        name: of the augmentation, with its settings.
        accuracy: on validation, with it; ``plain`` is that without.
        gain, interval: in accuracy, as shares of one.
        eased, eased_interval: by how much the validation loss fell, in nats; it decides, for it sees more than right and
            wrong do. Each of the two losses is taken at the temperature that suits its probe best.
        answer: "helps" or "hurts" where the interval of the loss leaves out zero, and the change is worth mentioning.
        kept: it helps, or it is usual for such data and does not hurt.
        seconds: that it took.
    """

    name: str
    plain: float
    accuracy: float
    gain: float
    interval: tuple[float, float]
    eased: float
    eased_interval: tuple[float, float]
    answer: Answer
    kept: bool
    usual: bool
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON; an interval of which nothing is known is None."""
        known = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        pairs = {name: list(known[name]) if np.isfinite(known[name]).all() else None for name in ("interval", "eased_interval")}
        return {**known, **pairs}

    @property
    def sentence(self) -> str:
        low, high = (100 * bound for bound in self.interval)
        known = f"[{low:.1f}, {high:.1f}]" if np.isfinite(low) else "[too few validation samples to say]"
        why = "kept" if self.kept else "dropped" if self.usual or self.answer == "hurts" else "left out"
        usual = ", as usual for such data" if self.kept and self.answer != "helps" else ""
        return (f"the augmentation {self.name} {self.answer if self.answer != 'no clear effect' else 'has no clear effect'}: "
                f"{100 * self.gain:+.1f} points of validation accuracy {known}, loss {-self.eased:+.3f}; {why}{usual}")  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The effect of each augmentation alone, and of all that are kept in one recipe; None where fewer than two are."""

    each: tuple[Effect, ...]
    together: Effect | None


def effects(
    split: Split, backbone: Backbone, task: Task, steps: Sequence[Augmentation], store: Store | None, *,
    seed: int = 0, views: int = VIEWS,
) -> Measured:  # fmt: skip
    """What each augmentation does alone, in the order given, and what those that are kept do together.

    At most ``MOST`` training samples are looked at, and ``views`` versions of each are computed; the store keeps them.
    """
    train = _some(split.train, seed)
    if len(train) < len(split.train):
        say(f"note: augmentations are measured on {len(train)} of {len(split.train)} training samples")
    if split.valid is split.train:
        say("note: there is no validation part, so the effect of augmentations is measured on the training samples")
    probes = _Probes(train, split.valid, backbone, task, store, seed)
    plain = probes.answers([probes.known] * views)

    def effect(recipe: Sequence[Augmentation], name: str, usual: bool) -> Effect:
        begun = time.perf_counter()
        other = probes.answers([probes.seen(recipe, view) for view in range(views)])
        facts = compared(plain, other, probes.actual, seed)
        kept = facts["answer"] == "helps" or (usual and facts["answer"] != "hurts")
        return Effect(name, **facts, kept=kept, usual=usual, seconds=time.perf_counter() - begun)

    each = tuple(effect((step,), str(step), step.usual) for step in track(steps, "augmentations", len(steps)))
    kept = [step for step, found in zip(steps, each, strict=True) if found.kept]
    return Measured(each, effect(kept, TOGETHER, True) if len(kept) > 1 else None)


class _Probes:
    """Heads fitted to the training samples and augmented views of them, all asked about the same validation samples."""

    def __init__(
        self, train: Dataset, valid: Dataset, backbone: Backbone, task: Task, store: Store | None, seed: int
    ) -> None:
        self.train, self.backbone, self.store, self.seed = train, backbone, store, seed
        self.num_classes = len(classes_of(task, "Measuring the effect of augmentations"))
        self.labels, self.actual = task.encode(train.labels or []), task.encode(valid.labels or [])
        self.known, self.asked = extract(backbone, train, store).vectors, extract(backbone, valid, store).vectors
        self.decoded = decoded(train, backbone.decode_side())  # once for all views
        self.setting = solvers.fit(
            "logistic", self.known, self.labels, self.num_classes, seed=seed, groups=train.groups
        ).setting  # fmt: skip

    def seen(self, recipe: Sequence[Augmentation], view: int) -> np.ndarray:
        """(train, dim) features of one augmented view."""
        shown = viewed(self.decoded, recipe, self.seed, view, self.backbone.decode_side())
        return extract(self.backbone, shown, self.store).vectors

    def answers(self, more: list[np.ndarray]) -> np.ndarray:
        """(valid, classes) logits of a probe that was fitted to the training samples and these views of them."""
        rows, labels = np.concatenate([self.known, *more]), np.tile(self.labels, 1 + len(more))
        head = solvers.refit("logistic", rows, labels, self.num_classes, self.setting, seed=self.seed)
        with torch.inference_mode():
            logits = head(Features(torch.from_numpy(self.asked))).double().numpy()
        return np.asarray(logits / solvers.temperature(logits, self.actual))


def compared(plain: np.ndarray, other: np.ndarray, actual: np.ndarray, seed: int) -> dict[str, Any]:
    """The gain of logits (n, k) over plain ones on the same samples, in accuracy and in loss, with its intervals."""
    right, before = (other.argmax(1) == actual).astype(float), (plain.argmax(1) == actual).astype(float)
    eased = paired.log_losses(plain, actual) - paired.log_losses(other, actual)
    low, high = bounds = paired.interval(eased, seed=seed)
    mean = float(eased.mean())
    answer: Answer = "no clear effect"
    if abs(mean) >= MATTERS and not low <= 0 <= high:
        answer = "helps" if mean > 0 else "hurts"
    return {
        "plain": float(before.mean()),
        "accuracy": float(right.mean()),
        "gain": float((right - before).mean()),
        "interval": paired.interval(right - before, seed=seed),
        "eased": mean,
        "eased_interval": bounds,
        "answer": answer,
    }


def _some(dataset: Dataset, seed: int) -> Dataset:
    """At most ``MOST`` samples, of every class the same share, in their order."""
    if len(dataset) <= MOST:
        return dataset
    labels, rng = np.array(dataset.labels), np.random.default_rng([seed, 6])
    rows = [rng.permutation(np.flatnonzero(labels == label)) for label in dataset.classes]
    shares = [some[: max(2, int(len(some) * MOST / len(dataset)))] for some in rows]
    return dataset.subset(sorted(int(place) for some in shares for place in some))
