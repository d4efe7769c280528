"""From the columns of labels (and of groups) of a table to texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.data import labels as writing
from headstart.data.readers import first_few
from headstart.errors import DataError


def label_texts(
    columns: Mapping[str, Sequence[Any]], origin: str, rows: Sequence[str]
) -> tuple[list[str | None] | None, list[str]]:
    """n labels, None where a row has none, and notes; no labels at all where every column is empty.

    Several columns make one text a row (``data.labels.joined``), in which single labels may be missing.
    """
    missing = {name: [row for row, value in zip(rows, values, strict=True) if is_empty(value)]
               for name, values in columns.items()}  # fmt: skip
    empty = [name for name in columns if len(missing[name]) == len(rows)]
    if len(empty) == len(columns):
        what = f"the column {empty[0]!r} is" if len(empty) == 1 else f"the columns {first_few(map(repr, empty))} are"
        return None, [f"{what} empty, so the data was read without labels"]
    if empty:
        raise DataError(f"The column {empty[0]!r} of {origin} holds no label at all; leave it out of the columns of labels")
    if len(columns) == 1:
        (name, values), gaps = next(iter(columns.items())), next(iter(missing.values()))
        said = [f"{len(gaps)} of {len(rows)} rows have no label in the column {name!r} and were left out: rows "
                f"{first_few(gaps, 10)}"] if gaps else []  # fmt: skip
        return [None if is_empty(value) else _text(value, name, origin) for value in values], said
    found: list[str | None] = []
    for place in range(len(rows)):
        entries = {name: None if is_empty(values[place]) else _text(values[place], name, origin)
                   for name, values in columns.items()}  # fmt: skip
        found.append(writing.joined(entries) if any(entry is not None for entry in entries.values()) else None)
    notes = [f"{len(gaps)} of {len(rows)} rows have no label in the column {name!r}; they count for the other columns"
             for name, gaps in missing.items() if gaps]  # fmt: skip
    if bare := [row for row, label in zip(rows, found, strict=True) if label is None]:
        notes.append(f"{len(bare)} rows have no label at all and were left out: rows {first_few(bare, 10)}")
    return found, notes


def texts(values: Sequence[Any], name: str, origin: str, rows: Sequence[str]) -> list[str] | None:
    """The column as strings, or None if it is empty throughout."""
    missing = [row for row, value in zip(rows, values, strict=True) if is_empty(value)]
    if len(missing) == len(values):
        return None
    if missing:
        raise DataError(
            f"The column {name!r} of {origin} is empty in {len(missing)} of {len(values)} rows: "
            f"{first_few(missing, 10)}. "
            "Expected a value in each; fill them in or delete these rows (the first below the header is 1)"
        )
    return [_text(value, name, origin) for value in values]


def is_empty(value: Any) -> bool:
    """Stricter than for features: a class may be called "NA" or "null"."""
    if isinstance(value, str):
        return value.strip() in ("", "nan", "NaN")
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any, name: str, origin: str) -> str:
    if isinstance(value, (list, tuple, dict, bytes)):
        raise DataError(
            f"The column {name!r} of {origin} holds values of type {type(value).__name__}; expected one name or number"
        )
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of integers with a gap comes as floats
    return str(value)
