"""The columns of a table as features: numbers, categories and missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.data.dataset import Item
from headstart.data.readers import first_few
from headstart.errors import DataError

MISSING = frozenset(("", "?", "na", "n/a", "nan", "null", "none"))
NUMBERING = frozenset(("", "id", "idx", "index", "unnamed: 0"))  # names of columns that count the rows


def features(columns: Mapping[str, Sequence[Any]], origin: str) -> tuple[list[Item], list[str]]:
    """n rows of features, and notes on what was found.

    A column is numeric if every value that is not missing parses as a finite number. Empty columns, columns that
    number the rows and columns of lists or bytes are left out.

    Raises:
        DataError: no column is left.
    """
    typed: dict[str, list[float | str | None]] = {}
    left: list[str] = []
    numeric = 0
    for name, values in columns.items():
        present = [value for value in values if not is_missing(value)]
        numbers = [number(value) for value in present]
        if not present:
            left.append(f"{name!r} (empty)")
        elif any(isinstance(value, (list, tuple, dict, bytes)) for value in present):
            left.append(f"{name!r} (no single values)")
        elif name.strip().lower() in NUMBERING and len(set(map(str, present))) == len(values):
            left.append(f"{name!r} (it numbers the rows)")
        elif all(found is not None for found in numbers):
            numeric += 1
            typed[name] = [None if is_missing(value) else number(value) for value in values]
        else:
            typed[name] = [None if is_missing(value) else str(value).strip() for value in values]
    notes = [f"columns that are no features were left out: {first_few(left, 8)}"] if left else []
    if not typed:
        seen = f" ({notes[0]})" if notes else ""
        raise DataError(f"The table {origin} has no column of features{seen}; expected some besides the labels")
    rows: list[Item] = [dict(zip(typed, values, strict=True)) for values in zip(*typed.values(), strict=True)]
    gaps = sum(value is None for values in typed.values() for value in values)
    notes.append(
        f"the rows have {len(typed)} features, {numeric} of numbers and {len(typed) - numeric} of categories; {gaps} of "
        f"{len(rows) * len(typed)} values are missing"
    )
    return rows, notes


def is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def number(value: Any) -> float | None:
    """The finite number that a cell holds, or None; Python's "1_000" is none."""
    if isinstance(value, str) and "_" in value:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
