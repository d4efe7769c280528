"""A folder of tables that are named like splits: train.csv, dev.csv and test.csv, or Parquet or JSON Lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions, first_few
from headstart.data.readers._table import label_columns, split_files, table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_dir() and bool(split_files(source))


def read(source: Path, options: ReadOptions) -> Dataset:
    """One data set with declared splits. A table without labels (as competitions publish) is left out.

    Raises:
        DataError: the tables have other columns than the one for training, or see ``table``.
    """
    files = split_files(source)
    training = next(path for path, split in files.items() if split == "train")
    parts = {path: _columns(path) for path in sorted(files, key=lambda path: path != training)}
    first = parts[training]
    labels, notes = label_columns(first, options, str(training))
    unlabelled = [path.name for path, part in parts.items() if any(label not in part for label in labels)]
    if unlabelled:
        notes.append(f"left out, for there is no column {', '.join(map(repr, labels))}: {first_few(unlabelled)}")
    merged: dict[str, list[Any]] = {name: [] for name in (*first, "split")}
    rows: list[str] = []
    for path, part in parts.items():
        if path.name in unlabelled:
            continue
        if set(part) - {"split"} != set(first) - {"split"}:
            raise DataError(
                f"{path} has the columns {', '.join(map(repr, part))}, and {training.name} has "
                f"{', '.join(map(repr, first))}; expected the same, so rename or remove columns"
            )
        count = len(next(iter(part.values()), ()))
        for name in merged:
            merged[name] += [files[path]] * count if name == "split" else part[name]
        rows += [f"{row} of {path.name}" for row in range(1, count + 1)]
    others = [path.name for path in sorted(source.iterdir()) if path not in files and not path.name.startswith(".")]
    if others:
        notes.append(f"files that are no tables were left out: {first_few(others)}")
    found = table(merged, source, options, str(source), rows)
    return found.with_notes(*(note for note in notes if note not in found.notes))


def _columns(path: Path) -> dict[str, list[Any]]:
    readers = (plugins.load("data.readers", name) for name in plugins.names("data.readers"))
    return next(reader.columns(path) for reader in readers if reader.accepts(path))
