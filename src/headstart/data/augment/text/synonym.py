"""Synonym replacement.

EDA: Wei and Zou 2019, arXiv 1901.11196; reference github.com/jasonwei20/eda_nlp. There any meaning of a word lends a
synonym; here only the meaning it has most often, which does less harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from headstart.data.augment import WHERE, Augmentation, within
from headstart.data.augment.text import _thesaurus
from headstart.data.dataset import Value
from headstart.errors import ConfigError, MissingExtra

WORD = re.compile(r"(\W*)(\w+(?:['’-]\w+)*)(\W*)", re.DOTALL)


@dataclass(frozen=True)
class Synonym(Augmentation):
    """A share ``share`` of the words, at least one, is replaced by a synonym, where the source knows one.

    ``source`` is a text file, each line of it words for one thing ("film, movie, picture"); or a folder of WordNet (its
    index and data files). Without one, English words are looked up in the WordNet that ``headstart[synonyms]`` installs.
    Only words in the form in which the source lists them are replaced, so an inflected word stays.
    """

    share: float = 0.1
    source: str = ""
    order: ClassVar[int] = 10
    paper: ClassVar[str] = "EDA: Wei and Zou 2019, arXiv 1901.11196"

    def __post_init__(self) -> None:
        within(self, share=(0, 1))
        if self.source and not Path(self.source).expanduser().exists():
            raise ConfigError(f"{WHERE} (synonym).source: there is no file or folder {self.source!r}")

    def available(self) -> str:
        return "" if self.source or _thesaurus.installed() else "it needs headstart[synonyms] or a source of synonyms"

    def apply(self, value: Value, rng: np.random.Generator) -> str:
        words = str(value).split()
        if len(words) < 2 or not self.share:
            return str(value)
        wanted = max(1, int(len(words) * self.share + 1e-9))
        known = self._known()
        for place in rng.permutation(len(words)):
            if not wanted:
                break
            before, word, after = _parted(words[place])
            if others := known(word.lower()):
                other = others[int(rng.integers(len(others)))]
                words[place] = before + (other[:1].upper() + other[1:] if word[:1].isupper() else other) + after
                wanted -= 1
        return " ".join(words)

    def _known(self) -> _thesaurus.Thesaurus:
        place = Path(self.source).expanduser() if self.source else _thesaurus.installed()
        if place is None:
            raise MissingExtra("wn", "synonyms", "The augmentation synonym without a source of its own")
        return _thesaurus.wordnet(place) if place.is_dir() else _thesaurus.listed(place)


def _parted(word: str) -> tuple[str, str, str]:
    """The punctuation before, the word, the punctuation after."""
    found = WORD.fullmatch(word)
    return (found[1], found[2], found[3]) if found else ("", "", word)
