"""A modality knows one kind of raw sample: one file each, holding one concrete ``Modality``.

It decodes and shows samples; how they may be changed for training stands in ``data.augment``. It does not prepare them
for a network: the size, the mean, the tokeniser and the sampling rate are properties of the checkpoint and belong to the
backbone.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from headstart import plugins
from headstart.data.augment import Augmentation, augmented, steps
from headstart.data.dataset import Item, Value


class Modality(ABC):
    """Every method is thread-safe: decoding runs in a pool of threads.

    Attributes:
        noun: what a person calls one sample and several, such as ("picture", "pictures").
        suffixes: endings of the files that hold one such sample each, in lower case; none for rows of tables.
        fingerprint_space: where a store keeps fingerprints; it changes whenever ``fingerprint`` changes.
        fingerprint_threshold: from this inner product on, two samples count as copies of each other.
        scan_side: the ``min_side`` that suffices for ``fingerprint`` and ``check``.
        twin: the augmentation that makes of every sample another one which mostly means the same, always in the same way,
            as a recipe spells it; "" where there is none.
    """

    noun: ClassVar[tuple[str, str]]
    suffixes: ClassVar[frozenset[str]]
    fingerprint_space: ClassVar[str]
    fingerprint_threshold: ClassVar[float]
    scan_side: ClassVar[int | None] = None
    twin: ClassVar[str] = ""

    @abstractmethod
    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> Value:
        """The value of one raw sample.

        Args:
            item: a file, encoded bytes or the value itself.
            min_side: a hint: the smallest size that is good enough, where decoding at a reduced size is
                cheaper. Only pictures know sizes; the others ignore it.
            name: what messages call the sample.

        Raises:
            UnreadableError: the sample cannot be decoded; says which one and why.
        """

    @abstractmethod
    def preview(self, value: Value, side: int = 96) -> str:
        """What a report shows of a decoded value: a data URI of at most ``side`` pixels wide and high for
        pictures and recordings, a plain text excerpt for texts and rows (whoever shows it escapes it)."""

    @abstractmethod
    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """A float32 vector of length 1 (or all 0 if the sample is blank) that survives re-encoding.

        Raises:
            UnreadableError: the sample cannot be decoded.
        """

    def augment(self, value: Value, rng: np.random.Generator, recipe: tuple[str | Augmentation, ...]) -> Value:
        """A randomly changed version of a decoded value; ``value`` itself stays as it is.

        Raises:
            ConfigError: ``recipe`` names an augmentation that this modality does not have.
        """
        return augmented(value, rng, steps(type(self).__module__.rpartition(".")[2], recipe))

    def check(self, value: Value) -> list[str]:
        """What is odd about a decoded value without making it unreadable: words that follow "it is"."""
        return []


@functools.cache
def by_suffix() -> dict[str, str]:
    """Which modality a file belongs to, by the ending of its name in lower case."""
    return {suffix: name for name in plugins.names("data.modalities") for suffix in sorted(_kind(name).suffixes)}


def nouns(modality: str) -> str:
    """What a person calls several samples of a modality: "pictures"."""
    return _kind(modality).noun[1]


def counted(count: int, modality: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{count} {_kind(modality).noun[count != 1]}"


def _kind(name: str) -> type[Modality]:
    return plugins.variant("data.modalities", name, Modality)
