"""Back-translation: a text goes into another language and back, and comes home in other words.

Sennrich, Haddow and Birch 2016, arXiv 1511.06709; for classification Xie et al. 2020, UDA, arXiv 1904.12848. The texts
are translated once, before training, and filtered; see ``headstart.views.translation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from headstart.data.augment import WHERE, Augmentation, within
from headstart.data.dataset import Value
from headstart.errors import ConfigError


@dataclass(frozen=True)
class Backtranslate(Augmentation):
    """A text is replaced, with the probability ``chance``, by what is left of it after a translation there and back.

    ``there`` and ``back`` are translation models (a folder, or a repository of the hub): one each way, or one that knows
    several languages, with ``source`` and ``pivot`` as its tokeniser calls them (en, de). A translation is kept only where
    its features are alike, a cosine of at least ``similarity``, and a probe still finds the same class.
    """

    there: str = ""
    back: str = ""
    source: str = ""
    pivot: str = ""
    similarity: float = 0.5
    chance: float = 0.5
    known: Mapping[str, tuple[str, ...]] | None = field(default=None, init=False, compare=False, repr=False)
    order: ClassVar[int] = 5
    settled: ClassVar[bool] = False
    paper: ClassVar[str] = "Sennrich, Haddow and Birch 2016, arXiv 1511.06709"

    def __post_init__(self) -> None:
        within(self, chance=(0, 1), similarity=(-1, 1))
        if self.there and not self.back and not (self.source and self.pivot):
            raise ConfigError(
                f"{WHERE} (backtranslate): {self.there} translates there, and nothing translates back. Expected a second "
                "model, backtranslate:THERE:BACK, or, of one that knows several languages, backtranslate:MODEL:source=en:pivot=de"
            )

    def available(self) -> str:
        return "" if self.there else "it needs a translation model: backtranslate:THERE:BACK"

    def knowing(self, translations: Mapping[str, tuple[str, ...]]) -> Backtranslate:
        """The same augmentation with the translations that were kept: of a text, other ones for it."""
        made = replace(self)
        object.__setattr__(made, "known", translations)
        return made

    def apply(self, value: Value, rng: np.random.Generator) -> str:
        if self.known is None:
            raise ConfigError(
                f"{WHERE} (backtranslate): its texts were not translated beforehand. Use it in a training, as "
                f"--set augment=backtranslate:THERE:BACK, or in headstart augment; or translate: views.translation.translated"
            )
        others = self.known.get(str(value), ())
        if rng.random() >= self.chance or not others:
            return str(value)
        return others[int(rng.integers(len(others)))]
