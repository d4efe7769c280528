"""A few samples of a data set beside what augmentations make of them, in a form that a report can show."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from headstart.data.augment import Augmentation, augmented
from headstart.data.dataset import Dataset, Sound, Value
from headstart.data.modalities import Modality
from headstart.data.modalities.audio import playable
from headstart.views import Views

SIDE = 220  # pixels of a picture
LONGEST = 60  # words of a text that are shown
COMPARED = 400  # words of a text that are looked at
SAMPLES = 4
TRIES = 20  # views looked at for one that differs, where a change happens by chance

Change = Literal["same", "gone", "new"]


@dataclass(frozen=True)
class Shown:
    """One version of a sample: a picture (data URI), a sound (data URI) with its spectrogram, or words with their changes.

    Attributes:
        title: "original", or the augmentation that made it.
        changed: whether it differs from the original at all.
    """

    title: str
    changed: bool = True
    picture: str = ""
    sound: str = ""
    words: tuple[tuple[Change, str], ...] = ()


@dataclass(frozen=True)
class Sample:
    """A sample with its label: the original first, then one version an augmentation."""

    name: str
    label: str
    versions: tuple[Shown, ...]


def samples(dataset: Dataset, recipes: Sequence[tuple[str, Sequence[Augmentation]]], seed: int) -> list[Sample]:
    """At most ``SAMPLES`` samples, of as many classes as there are, each under every recipe (title, augmentations)."""
    found = []
    for place in _spread(dataset, seed):
        original = Views(dataset, (), seed, 0, None)
        plain = original.value(place)
        versions = [_shown(original.modality, "original", plain, plain)]
        for title, steps in recipes:
            shown = versions[0]
            for view in range(TRIES):
                value = augmented(plain, np.random.default_rng([seed, place, view]), steps)
                shown = _shown(original.modality, title, value, plain)
                if shown.changed:
                    break
            versions.append(replace(shown, title=title))
        found.append(Sample(dataset.names[place], (dataset.labels or [""] * len(dataset))[place], tuple(versions)))
    return found


def _spread(dataset: Dataset, seed: int) -> list[int]:
    """Places of samples, one of each class in turn."""
    order = np.random.default_rng([seed, 8]).permutation(len(dataset)).tolist()
    if dataset.labels is None:
        return order[:SAMPLES]
    rank: dict[str, int] = {}
    turns = []
    for place in order:
        label = dataset.labels[place]
        rank[label] = rank.get(label, -1) + 1
        turns.append((rank[label], place))
    return [place for _, place in sorted(turns, key=lambda entry: entry[0])[:SAMPLES]]


def _shown(modality: Modality, title: str, value: Value, plain: Value) -> Shown:
    if isinstance(value, str):
        return Shown(title, value != plain, words=marked(str(plain), value))
    if isinstance(value, Sound) and isinstance(plain, Sound):
        changed = not np.array_equal(value.samples, plain.samples)
        return Shown(title, changed, modality.preview(value, SIDE), playable(value))
    changed = not np.array_equal(np.asarray(value), np.asarray(plain))
    return Shown(title, changed, modality.preview(value, SIDE))


def marked(before: str, after: str, most: int = LONGEST) -> tuple[tuple[Change, str], ...]:
    """The words of two texts in one line: those of both, those that went and those that came; ``most`` words at the most."""
    one, other = (text.split()[:COMPARED] for text in (before, after))
    found: list[tuple[Change, list[str]]] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        found += [("same", one[i:j])] if kind == "equal" else [("gone", one[i:j]), ("new", other[k:m])]
    cut: list[tuple[Change, str]] = []
    for change, words in found:
        if words:
            cut.append((change, " ".join(words[:most]) + (" …" if len(words) > most else "")))
        if (most := most - len(words)) < 0:
            break
    return tuple(cut)
