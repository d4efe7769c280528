"""A modality knows one kind of raw sample: one file each, holding one concrete ``Modality``.

It decodes, augments and shows samples. It does not prepare them for a network: the size, the mean and the
standard deviation are properties of the checkpoint and belong to the backbone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from headstart.data.dataset import Item


class Modality(ABC):
    """Every method is thread-safe: decoding runs in a pool of threads.

    Attributes:
        recipes: names of the augmentations that ``augment`` knows.
        fingerprint_space: where a store keeps fingerprints; it changes whenever ``fingerprint`` changes.
        fingerprint_threshold: from this inner product on, two samples count as copies of each other.
    """

    recipes: ClassVar[tuple[str, ...]]
    fingerprint_space: ClassVar[str]
    fingerprint_threshold: ClassVar[float]

    @abstractmethod
    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> np.ndarray:
        """The value of one raw sample.

        Args:
            item: a file, encoded bytes or an array.
            min_side: the smallest size that is good enough, where decoding at a reduced size is cheaper.
            name: what messages call the sample.

        Raises:
            UnreadableError: the sample cannot be decoded; says which one and why.
        """

    @abstractmethod
    def augment(self, value: np.ndarray, rng: np.random.Generator, recipe: tuple[str, ...]) -> np.ndarray:
        """A randomly changed version of a decoded value; ``value`` itself stays as it is.

        Raises:
            ConfigError: ``recipe`` names an augmentation that is not among ``recipes``.
        """

    @abstractmethod
    def preview(self, value: np.ndarray, side: int = 96) -> str:
        """A data URI that shows a decoded value in a report, at most ``side`` pixels wide and high."""

    @abstractmethod
    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """A float32 vector of length 1 (or all 0 if the sample is blank) that survives re-encoding.

        Raises:
            UnreadableError: the sample cannot be decoded.
        """
