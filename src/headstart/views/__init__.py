"""Augmented views of a data set: which augmentations a training uses, and what they make of its samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from headstart import plugins
from headstart.data import augment
from headstart.data.augment import Augmentation, augmented
from headstart.data.augment.text.backtranslate import Backtranslate
from headstart.data.dataset import Dataset, Item, Value
from headstart.data.modalities import Modality
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.training.checkpoint import write_atomically
from headstart.training.run import Run

KEPT = "augment.json"  # in the folder of a run: what was chosen and translated, so that a resumed run does not ask again
MARGIN = 1.25  # a picture is decoded at this many times the side that the model takes, as for training


class Views(Sequence[Item]):
    """The samples of a data set as one augmented view shows them; each is decoded and changed when it is asked for."""

    def __init__(self, dataset: Dataset, chosen: Sequence[Augmentation], seed: int, view: int, side: int | None) -> None:
        self.dataset, self.chosen, self.seed, self.view = dataset, tuple(chosen), seed, view
        self.least = side and round(side * MARGIN)
        self.modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()

    def __len__(self) -> int:
        return len(self.dataset)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        return self.value(range(len(self))[place])

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))

    def value(self, place: int) -> Any:
        """The sample as a training with this seed sees it in this view."""
        plain: Value = self.modality.decode(self.dataset.items[place], self.least, self.dataset.names[place])
        return augmented(plain, np.random.default_rng([self.seed, place, self.view]), self.chosen)


def decoded(dataset: Dataset, side: int | None = None, limit: int = 2**30) -> Dataset:
    """The data set with its samples decoded, as a view would decode them; behind ``limit`` bytes they stay as they are."""
    plain, items, size = Views(dataset, (), 0, 0, side), list[Item](), 0
    for place, item in enumerate(dataset.items):
        if size <= limit:
            value = plain.value(place)
            size += getattr(value, "nbytes", 0) or len(value)
            item = value
        items.append(item)
    return replace(dataset, items=items)


def viewed(dataset: Dataset, chosen: Sequence[Augmentation], seed: int, view: int, side: int | None = None) -> Dataset:
    """The data set with every sample augmented; nothing is computed until somebody asks."""
    return replace(dataset, items=Views(dataset, chosen, seed, view, side))


def chosen(text: str, backbone: Backbone, task: Task, split: Split, run: Run) -> tuple[Augmentation, ...]:
    """What the setting ``augment`` of an approach names, ready for a training.

    ``"try"`` measures augmentations and drops those that hurt; names behind it ("try,rotate:15,flip") are the ones to
    measure. What it chose, and the translations of ``backtranslate``, are kept in the folder of the run.

    Raises:
        ConfigError: there is no such augmentation or setting.
    """
    modality = split.train.modality
    names = augment.listed(text)
    path = run.folder / KEPT if run.folder else None
    kept: dict[str, Any] = _read(path).get(text, {})
    if trying := "try" in names:
        names = tuple(kept.get("names", [name for name in names if name != "try"]))
    found = augment.steps(modality, names if names or not trying or kept else candidates(modality))
    made = tuple(prepared(step, backbone, task, split, run, kept) for step in found)
    if trying and not kept:
        from headstart.views.effect import effects

        measured = effects(split, backbone, task, made, run.store, seed=run.seed).each
        for effect in measured:
            say(f"{run.stage or 'augment'}: {effect.sentence}")
            run.record({"epoch": 0, "train_loss": None, "note": effect.sentence})
        made = tuple(step for step, effect in zip(made, measured, strict=True) if effect.kept)
    if path and (trying or any(isinstance(step, Backtranslate) for step in made)):
        tables = [dict(step.known or {}) for step in made if isinstance(step, Backtranslate)]
        now = {"names": [str(step) for step in made], "translations": tables[0] if tables else {}}
        write_atomically(path, json.dumps({**_read(path), text: now}, ensure_ascii=False).encode())
    return made


def check(text: str, modality: str) -> None:
    """
    Raises:
        ConfigError: the setting ``augment`` names something that the modality does not have, or that cannot be used here.
    """
    for step in augment.steps(modality, (name for name in augment.listed(text) if name != "try")):
        if why := step.available():
            raise ConfigError(f"{augment.WHERE}: {step.name} cannot be used: {why}")


def candidates(modality: str) -> tuple[str, ...]:
    """The augmentations that can be tried here without any setting; says which cannot."""
    found = []
    for step in augment.steps(modality, augment.names(modality)):
        if why := step.available():
            say(f"note: the augmentation {step.name} is not tried: {why}")
        else:
            found.append(step.name)
    return tuple(found)


def prepared(
    step: Augmentation, backbone: Backbone, task: Task, split: Split, run: Run, kept: Mapping[str, Any] | None = None
) -> Augmentation:
    """The augmentation, able to work: of ``backtranslate``, with its translations, which ``kept`` may hold already."""
    if not isinstance(step, Backtranslate) or step.known is not None:
        return step
    if kept and "translations" in kept:
        return step.knowing({text: tuple(others) for text, others in kept["translations"].items()})
    from headstart.views.translation import translated

    return translated(step, split.train, backbone, task, run)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    return dict(json.loads(path.read_text("utf-8")))
