"""Random deletion of words.

EDA: Wei and Zou 2019, arXiv 1901.11196; reference github.com/jasonwei20/eda_nlp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value


@dataclass(frozen=True)
class Delete(Augmentation):
    """Each word goes with the probability ``share``; one always stays."""

    share: float = 0.1
    order: ClassVar[int] = 20
    paper: ClassVar[str] = "EDA: Wei and Zou 2019, arXiv 1901.11196"

    def __post_init__(self) -> None:
        within(self, share=(0, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> str:
        words = str(value).split()
        if len(words) < 2 or not self.share:
            return str(value)
        kept = rng.random(len(words)) >= self.share
        kept[rng.integers(len(words))] = True
        return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)
