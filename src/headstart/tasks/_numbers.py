"""Label texts as numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.data import labels as texts
from headstart.errors import DataError

MISSING = frozenset(("", "?", "na", "n/a", "nan", "null", "none"))
VALUE = "value"  # what the only column is called


def number(text: str | None) -> float:
    """The finite number that a text holds, NaN where it says that there is none.

    Raises:
        ValueError: it is neither.
    """
    if text is None or text.strip().lower() in MISSING:
        return math.nan
    found = float(text)
    if not math.isfinite(found) or "_" in text:
        raise ValueError(text)
    return found


def matrix(labels: Sequence[str], columns: Sequence[str] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, k) float64 with NaN where a label is missing, and the names of its columns.

    Args:
        columns: those that are wanted, in this order; all that there are if empty.

    Raises:
        DataError: a label is no number, or a column is missing; names it.
    """
    parts: dict[str, Sequence[str | None]] = dict(texts.columns(labels)) or {(*columns, VALUE)[0]: labels}
    wanted = tuple(columns) or tuple(parts)
    if lacking := [name for name in wanted if name not in parts]:
        raise DataError(f"The labels have no column {lacking[0]!r}; there are: {', '.join(parts)}. Name all of them: "
                        f"--labels {','.join(wanted)}")  # fmt: skip
    found = np.empty((len(labels), len(wanted)))
    for place, name in enumerate(wanted):
        odd = []
        for row, text in enumerate(parts[name]):
            try:
                found[row, place] = number(text)
            except ValueError:
                odd.append(text)
        if odd:
            shown = ", ".join(map(repr, list(dict.fromkeys(odd))[:5]))
            where = f" in the column {name!r}" if len(wanted) > 1 else ""
            raise DataError(f"{len(odd)} of {len(labels)} labels{where} are no numbers: {shown}. Correct or empty them, or "
                            "take them for classes: --task classification")  # fmt: skip
    return found, wanted


def shown(value: float) -> str:
    """A predicted number as a person reads it."""
    return f"{value:.6g}"
