"""A reader turns one kind of source into a Dataset: one file each, found by its name.

Each module has::

    def accepts(source: object) -> bool            # a Path that exists, or whatever else the user gave
    def read(source, options: ReadOptions) -> Dataset

``accepts`` is cheap and imports nothing heavy. ``read`` decodes nothing; labels are strings; it raises
``DataError`` where the source is not laid out as expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about the layout.

    Attributes:
        label_column: the column with the class; None: read no labels.
        path_column: the column with the pictures; None: guess it.
        group: a column, or for folders a regular expression with one group in parentheses.
    """

    label_column: str | None = "label"
    path_column: str | None = None
    group: str | None = None


def split_name(text: object) -> str | None:
    """ "train", "valid" or "test" for the usual names of splits in any case, else None."""
    return _SPLITS.get(str(text).strip().lower())


def first_few(entries: Iterable[object], limit: int = 5) -> str:
    """The first entries of a list for a message, and how many more there are."""
    texts = [re.sub(r"\s+", " ", str(entry)) for entry in entries]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more
