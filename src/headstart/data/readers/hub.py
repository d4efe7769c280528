"""Hugging Face ``datasets`` objects: a Dataset, or a DatasetDict whose keys are the splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions, split_name
from headstart.data.readers._table import PATH_COLUMNS, column, table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return type(source).__module__.split(".")[0] == "datasets"


def read(source: Any, options: ReadOptions) -> Dataset:
    """Pictures stay encoded bytes; ids of a ClassLabel become its names.

    Raises:
        DataError: a streamed dataset, keys that are no splits, or see ``table``.
    """
    import datasets

    if isinstance(source, datasets.Dataset):
        options = _with_pictures(source, options)
        return table(_columns(source, options), None, options, "hub dataset")
    if not isinstance(source, datasets.DatasetDict):
        raise DataError(
            f"Cannot read a {type(source).__name__}; expected a Dataset or DatasetDict: load it with streaming=False"
        )
    odd = [key for key in source if split_name(key) is None]
    if odd or not source:
        raise DataError(
            f"The DatasetDict has the keys {', '.join(map(repr, source)) or '(none)'}; expected train, "
            "validation and "
            "test. Rename them or give one Dataset of it"
        )
    options = _with_pictures(next(iter(source.values())), options)
    merged: dict[str, list[Any]] = {}
    for key, part in source.items():
        some = _columns(part, options)
        some["split"] = [key] * len(part)
        for name, values in some.items():
            merged.setdefault(name, []).extend(values)
    return table(merged, None, options, "hub dataset")


def _with_pictures(part: Any, options: ReadOptions) -> ReadOptions:
    """The options with the column of pictures filled in: the first Image feature, else a usual name."""
    import datasets

    if options.path_column is not None:
        return options
    named = [name for name in part.column_names if name.lower() in PATH_COLUMNS]
    pictures = [name for name, kind in part.features.items() if isinstance(kind, datasets.Image)]
    if not pictures and not named:
        raise DataError(
            "The hub dataset has no column of pictures; there are: "
            f"{', '.join(map(repr, part.column_names))}. "
            "Name it with paths=..."
        )
    return replace(options, path_column=(pictures + named)[0])


def _columns(part: Any, options: ReadOptions) -> dict[str, list[Any]]:
    """Only the columns that are needed, for others may be large."""
    import datasets

    part = part.with_format(None)
    needed = {"split"} & set(part.column_names)
    chosen = ((options.path_column, "paths"), (options.label_column, "labels"), (options.group, "group"))
    for name, argument in chosen:
        if name is not None:
            column(part.features, name, argument, "hub dataset")
            needed.add(name)
    part = part.select_columns([name for name in part.column_names if name in needed])
    columns = {}
    for name, kind in part.features.items():
        if isinstance(kind, datasets.Image):
            part = part.cast_column(name, datasets.Image(decode=False))
        values = list(part[name])
        if isinstance(kind, datasets.ClassLabel):
            values = [kind.names[i] if i is not None and i >= 0 else None for i in values]
        columns[name] = values
    return columns
