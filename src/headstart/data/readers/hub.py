"""Hugging Face ``datasets`` objects: a Dataset, or a DatasetDict whose keys are the splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions, split_name
from headstart.data.readers._table import PATH_COLUMNS, column, label_columns, table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return type(source).__module__.split(".")[0] == "datasets"


def read(source: Any, options: ReadOptions) -> Dataset:
    """Pictures and recordings stay encoded bytes; ids of a ClassLabel become its names.

    Raises:
        DataError: a streamed dataset, keys that are no splits, or see ``table``.
    """
    import datasets

    if isinstance(source, datasets.Dataset):
        options = _with_files(source, options)
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
    options = _with_files(next(iter(source.values())), options)
    merged: dict[str, list[Any]] = {}
    for key, part in source.items():
        some = _columns(part, options)
        some["split"] = [key] * len(part)
        for name, values in some.items():
            merged.setdefault(name, []).extend(values)
    return table(merged, None, options, "hub dataset")


def _with_files(part: Any, options: ReadOptions) -> ReadOptions:
    """The options with the column of files filled in: the first Image or Audio feature, else a usual name."""
    import datasets

    if options.path_column is not None or options.text_column is not None or options.modality == "table":
        return options
    kinds = {name: "image" for name, kind in part.features.items() if isinstance(kind, datasets.Image)}
    kinds |= {name: "audio" for name, kind in part.features.items() if isinstance(kind, datasets.Audio)}
    found = next(((name, kind) for name, kind in kinds.items() if options.modality in (None, kind)), None)
    if found:
        return replace(options, path_column=found[0], modality=found[1])
    named = next((name for name in part.column_names if name.lower() in PATH_COLUMNS and name not in kinds), None)
    return replace(options, path_column=named)


def _columns(part: Any, options: ReadOptions) -> dict[str, list[Any]]:
    """Only the columns that are needed, for others may be large; all plain ones where these are the samples."""
    import datasets

    part = part.with_format(None)
    needed = {"split"} & set(part.column_names)
    labels, _ = label_columns(part.features, options, "hub dataset")
    samples = options.path_column or options.text_column
    chosen = ((samples, "text" if options.text_column else "paths"), (options.group, "group"),
              *((label, "labels") for label in labels))  # fmt: skip
    for name, argument in chosen:
        if name is not None:
            column(part.features, name, argument, "hub dataset")
            needed.add(name)
    if samples is None:
        plain = (datasets.Value, datasets.ClassLabel)
        needed |= {name for name, kind in part.features.items() if isinstance(kind, plain)}
    part = part.select_columns([name for name in part.column_names if name in needed])
    columns = {}
    for name, kind in part.features.items():
        if isinstance(kind, (datasets.Image, datasets.Audio)):
            part = part.cast_column(name, type(kind)(decode=False))
        values = list(part[name])
        if isinstance(kind, datasets.ClassLabel):
            values = [kind.names[i] if i is not None and i >= 0 else None for i in values]
        columns[name] = values
    return columns
