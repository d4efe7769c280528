"""A reader turns one kind of source into a Dataset: one file each, found by its name.

Each module has::

    def accepts(source: object) -> bool            # a Path that exists, or whatever else the user gave
    def read(source, options: ReadOptions) -> Dataset

``accepts`` is cheap, imports nothing heavy, and no two readers accept one source. ``read`` decodes nothing;
labels are strings; it raises ``DataError`` where the source is not laid out as expected. The readers of table
files have ``columns(source) -> dict[str, list]``, too, so that several files can be one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headstart.data.modalities import counted
from headstart.errors import DataError

MIXED = 0.05  # share of a second kind of sample from which on a source is mixed

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the layout.

    Attributes:
        label_column: the column with the class, or for folders a regular expression with one group in
            parentheses; None: read no labels.
        path_column: the column with the paths of files, or with their bytes; None: guess it.
        text_column: the column with the texts; None: guess it.
        group: a column, or for folders a regular expression with one group in parentheses.
        modality: the only kind of sample to read; None: find out.
    """

    label_column: str | None = "label"
    path_column: str | None = None
    group: str | None = None
    text_column: str | None = None
    modality: str | None = None


def split_name(text: object) -> str | None:
    """ "train", "valid" or "test" for the usual names of splits in any case, else None."""
    return _SPLITS.get(str(text).strip().lower())


def named(argument: str) -> str:
    """An option as both the command line and Python call it."""
    return f"--{argument} ({argument}=... in Python)"


def tally(counts: Mapping[str, int]) -> str:
    """``12 pictures and 1 text`` for counts by modality, the largest first."""
    return " and ".join(counted(count, kind) for kind, count in sorted(counts.items(), key=lambda entry: -entry[1]))


def main_kind(counts: Mapping[str, int], wanted: str | None, where: str) -> str | None:
    """The modality to read out of counts by modality: the wanted one, or the one that nearly all samples have.

    Raises:
        DataError: two kinds hold more than 5 % each, and none is wanted.
    """
    if wanted is not None or not counts:
        return wanted
    kinds = sorted(counts, key=lambda kind: -counts[kind])
    if len(kinds) > 1 and counts[kinds[1]] > MIXED * sum(counts.values()):
        raise DataError(
            f"{where} mixes {tally(counts)}, and one model reads one kind. Choose with --modality {kinds[0]} "
            f"(modality={kinds[0]!r} in Python), or move the others away"
        )
    return kinds[0]


def first_few(entries: Iterable[object], limit: int = 5) -> str:
    """The first entries of a list for a message, and how many more there are."""
    texts = [re.sub(r"\s+", " ", str(entry)) for entry in entries]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
