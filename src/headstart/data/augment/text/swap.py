"""Random swap of words.

EDA: Wei and Zou 2019, arXiv 1901.11196; reference github.com/jasonwei20/eda_nlp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from headstart.data.augment import Augmentation, within
from headstart.data.dataset import Value


@dataclass(frozen=True)
class Swap(Augmentation):
    """As many pairs of words as a share ``share`` of all words, at least one, change places; none at 0."""

    share: float = 0.1
    order: ClassVar[int] = 30
    paper: ClassVar[str] = "EDA: Wei and Zou 2019, arXiv 1901.11196"

    def __post_init__(self) -> None:
        within(self, share=(0, 1))

    def apply(self, value: Value, rng: np.random.Generator) -> str:
        words = str(value).split()
        if len(words) < 2 or not self.share:
            return str(value)
        for _ in range(max(1, int(len(words) * self.share + 1e-9))):
            one, other = rng.choice(len(words), 2, replace=False)
            words[one], words[other] = words[other], words[one]
        return " ".join(words)
