"""The augmentation contract: a decoded sample becomes another one of the same class. One file is one augmentation.

The files lie in one folder a modality (``image/rotate.py``), for what keeps the meaning of a picture says nothing of a
text. A recipe names some of them, each with its settings: ``("crop", "rotate:15", "colour:strength=0.5")``. They are
applied in the order of their ``order`` whatever the order of the names, so that a recipe means one thing; ``"auto"``
stands for the usual ones of the modality.

Everything random is drawn from the generator that is given, so the same generator gives the same sample, in any thread.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import ClassVar

import numpy as np

from headstart import plugins
from headstart.data.dataset import Value
from headstart.errors import ConfigError

WHERE = "$.approach.augment"  # the path of the setting that errors name


class Augmentation(ABC):
    """A frozen dataclass of strengths; the first one may be written without its name.

    Attributes:
        order: its place in a recipe, the smallest first.
        paper: where it comes from.
        usual: it rarely does harm, so it is used where nobody chose.
        bounds: it bounds the size of a sample, so a sample that is shown as it is goes through it as well.
        settled: its defaults are all it needs; one that is not needs a setting that only the user knows.
    """

    order: ClassVar[int]
    paper: ClassVar[str]
    usual: ClassVar[bool] = False
    bounds: ClassVar[bool] = False
    settled: ClassVar[bool] = True

    @abstractmethod
    def apply(self, value: Value, rng: np.random.Generator) -> Value:
        """A randomly changed version of a decoded value of its modality; ``value`` itself stays as it is."""

    def available(self) -> str:
        """Why it cannot be used here, such as a library that is not installed; "" where it can."""
        return ""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @property
    def what(self) -> str:
        """What it does, in one sentence."""
        return inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("``", "")

    def __str__(self) -> str:
        """As a recipe spells it; settings that are as usual are left out."""
        given = [(entry, getattr(self, entry.name)) for entry in fields(self) if entry.init]  # type: ignore[arg-type]
        return ":".join([self.name, *(f"{entry.name}={value}" for entry, value in given if value != entry.default)])


def names(modality: str) -> tuple[str, ...]:
    """The augmentations that a modality has; none for tables, where no change is known to keep the meaning of any row."""
    return plugins.names(f"data.augment.{modality}") if modality in plugins.names("data.augment") else ()


@functools.cache
def usual(modality: str) -> tuple[str, ...]:
    """Those of them that are used where nobody chose, in the order they are applied."""
    made = [steps(modality, (name,))[0] for name in names(modality)]
    return tuple(step.name for step in sorted(made, key=lambda step: step.order) if step.usual)


def listed(text: str) -> tuple[str, ...]:
    """The names in a setting such as ``"crop, rotate:15"``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def steps(modality: str, recipe: Iterable[str | Augmentation]) -> tuple[Augmentation, ...]:
    """What a recipe names, in the order it is applied; each once.

    Raises:
        ConfigError: there is no such augmentation or setting, or one is named twice with different settings.
    """
    made: dict[str, Augmentation] = {}
    for entry in recipe:
        several = usual(modality) if entry == "auto" else (entry,)
        for step in (one if isinstance(one, Augmentation) else _spelled(modality, one) for one in several):
            if made.setdefault(step.name, step) != step:
                raise ConfigError(f"{WHERE}: {made[step.name]} and {step} are two settings of one augmentation; leave one")
    return tuple(sorted(made.values(), key=lambda step: step.order))


def augmented(value: Value, rng: np.random.Generator, chosen: Sequence[Augmentation]) -> Value:
    """The value after all of the augmentations, one after another."""
    for step in chosen:
        value = step.apply(value, rng)
    return value


def within(step: Augmentation, **limits: tuple[float, float]) -> None:
    """
    Raises:
        ConfigError: a setting of the augmentation lies outside of its limits; names both.
    """
    for setting, (low, high) in limits.items():
        value = getattr(step, setting)
        if not low <= value <= high:
            raise ConfigError(f"{WHERE} ({step.name}).{setting}: expected {low:g} to {high:g}, got {value:g}")


@functools.lru_cache(maxsize=256)
def _spelled(modality: str, text: str) -> Augmentation:
    name = text.partition(":")[0]
    if name not in (known := names(modality)):
        there = f"there are: {', '.join(known)}" if known else _none(modality)
        raise ConfigError(f"There is no augmentation {name!r}; {there}")
    made: Augmentation = plugins.spelled(f"data.augment.{modality}", text, Augmentation, WHERE)
    return made


def _none(modality: str) -> str:
    return {"table": "rows have none"}.get(modality, f"the modality {modality} has none")
