"""From the columns of a table to a Dataset; shared by the readers of tables."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset, Item
from headstart.data.readers import ReadOptions, first_few, split_name
from headstart.errors import DataError

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")


def table(columns: Mapping[str, Sequence[Any]], folder: Path | None, options: ReadOptions, origin: str) -> Dataset:
    """Build a Dataset from columns of equal length n.

    Args:
        columns: pictures are paths relative to ``folder``, bytes, or {"bytes": ..., "path": ...} each.
        folder: nothing outside it is read; None: paths may lie anywhere.
        options: names of the columns.
        origin: what messages call the table.

    Raises:
        DataError: no rows, a missing column, a row without a label, or a path outside the folder.
    """
    num_rows = len(next(iter(columns.values()), ()))
    if not num_rows:
        raise DataError(f"The table {origin} has no rows; expected one row per picture")
    path_column = _path_column(columns, options.path_column, origin)
    items, names = _pictures(columns[path_column], path_column, folder, origin)
    notes: list[str] = []
    labels = None
    if options.label_column is not None:
        labels = _texts(column(columns, options.label_column, "labels", origin), options.label_column, origin)
        if labels is None:
            notes.append(f"the column {options.label_column!r} is empty, so the data was read without labels")
    groups = None
    if options.group is not None:
        groups = _texts(column(columns, options.group, "group", origin), options.group, origin)
        if groups is None:
            raise DataError(f"The group column {options.group!r} of {origin} is empty")
    declared, said = _declared(columns)
    return Dataset(items, names, labels, "image", groups, declared, origin, (*notes, *said))


def column(columns: Mapping[str, Any], name: str, argument: str, origin: str) -> Any:
    """The column ``name``.

    Raises:
        DataError: there is none; lists those there are and the nearest name.
    """
    if name in columns:
        return columns[name]
    lower = {key.lower(): key for key in columns}
    close = difflib.get_close_matches(name.lower(), list(lower), n=1)
    hint = f" Did you mean {lower[close[0]]!r}?" if close else ""
    raise DataError(
        f"The table {origin} has no column {name!r}; there are: {', '.join(map(repr, columns))}.{hint} "
        f"Name the right one with {argument}=..."
    )


def _path_column(columns: Mapping[str, Any], given: str | None, origin: str) -> str:
    if given is not None:
        column(columns, given, "paths", origin)
        return given
    lower = {key.lower(): key for key in reversed(list(columns))}
    for guess in PATH_COLUMNS:
        if guess in lower:
            return lower[guess]
    raise DataError(
        f"The table {origin} has no column of pictures: looked for {', '.join(PATH_COLUMNS)}, and there are: "
        f"{', '.join(map(repr, columns))}. Name it with paths=..."
    )


def _pictures(values: Sequence[Any], name: str, folder: Path | None, origin: str) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    names = []
    wrong, outside = [], []
    root = folder.resolve() if folder else None
    for row, value in enumerate(values, start=1):
        stored, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, value)
        if isinstance(stored, bytes):
            items.append(stored)
            names.append(path if isinstance(path, str) and path else f"row {row}")
        elif isinstance(path, str) and path.strip() and "\0" not in path:
            place = (folder or Path()) / path
            if root and not place.resolve().is_relative_to(root):
                outside.append(f"row {row}: {path}")
            items.append(place)
            names.append(path)
        else:
            wrong.append(row)
    if wrong:
        raise DataError(f"The column {name!r} of {origin} holds no path and no picture in the rows {first_few(wrong)}")
    if outside:
        raise DataError(
            f"{len(outside)} paths in {origin} lead outside its folder {str(folder)!r}: "
            f"{first_few(outside)}. "
            "Expected paths relative to the table; move the table above its pictures"
        )
    paths = [item for item in items if isinstance(item, Path)]
    if len(paths) == len(items) and not any(path.exists() for path in paths):
        raise DataError(
            f"None of the {len(paths)} files in the column {name!r} of {origin} exists (first: "
            f"{str(paths[0])!r}). "
            "Paths are relative to the table; if this is the wrong column, name the right one with paths=..."
        )
    return items, names


def _texts(values: Sequence[Any], name: str, origin: str) -> list[str] | None:
    """The column as strings, or None if it is empty throughout."""
    missing = [row for row, value in enumerate(values, start=1) if _is_missing(value)]
    if len(missing) == len(values):
        return None
    if missing:
        raise DataError(
            f"The column {name!r} of {origin} is empty in {len(missing)} of {len(values)} rows: "
            f"{first_few(missing, 10)}. "
            "Expected a value in each; fill them in or delete these rows (the first below the header is 1)"
        )
    return [_text(value, name, origin) for value in values]


def _is_missing(value: Any) -> bool:
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


def _declared(columns: Mapping[str, Sequence[Any]]) -> tuple[list[str] | None, list[str]]:
    values = columns.get("split")
    if values is None:
        return None, []
    known = [split_name(value) for value in values]
    if None in known:
        odd = sorted({str(value) for value, name in zip(values, known, strict=True) if name is None})
        return None, [f"the column 'split' was ignored: it holds {first_few(odd)}, expected train, val and test"]
    return [name for name in known if name], []
