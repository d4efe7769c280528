"""Write cleaned tables, each in its own format, with the files that their rows name."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import plugins
from headstart.auditing._plan import Change
from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions
from headstart.data.readers._labels import is_empty
from headstart.data.readers._table import label_columns, split_files
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.auditing._audit import Audit


@dataclass
class _Part:
    """One table file: which of its rows stay, and which cells get another value (by row and column)."""

    path: Path
    columns: dict[str, list[Any]]
    kept: list[int] = field(default_factory=list)
    cells: dict[tuple[int, str], Any] = field(default_factory=dict)


def write(source: Path, audit: Audit, planned: Sequence[Change], draft: Path) -> None:
    """Tables with the rows that stay; a folder's tables without labels, which are no part of the data, as they are."""
    reading = dict(audit.reading)
    options = ReadOptions(
        reading.get("labels", "label"),
        reading.get("paths"),
        reading.get("group"),
        reading.get("text"),
        reading.get("modality"),
    )
    folder = source if source.is_dir() else source.parent
    parts, others = _parts(source, options)
    label = _label(parts[0], options, str(source))
    rows = _rows(parts, audit.dataset, label)
    by_index: dict[int, list[Change]] = {}
    for change in planned:
        by_index.setdefault(change.index, []).append(change)
    raw = _raw_labels(parts, rows, audit.dataset, label)
    for index, (part, row) in enumerate(rows):
        changes = by_index.get(index, [])
        if any(change.action == "remove" for change in changes):
            continue
        part.kept.append(row)
        for change in changes:
            column = change.column or str(label)
            part.cells[row, column] = change.after if change.column else raw.get(change.after, change.after)
        item = audit.dataset.items[index]
        if isinstance(item, Path):
            _copy(item, folder, draft, part, row)
    for part in parts:
        part.kept.sort()
        _WRITERS[part.path.suffix.lower()](part, draft / part.path.name)
    for path in others:
        shutil.copy2(path, draft / path.name)


def _parts(source: Path, options: ReadOptions) -> tuple[list[_Part], list[Path]]:
    """The tables in the order in which their rows became samples, and those that were left out."""
    readers = [plugins.load("data.readers", name) for name in plugins.names("data.readers")]

    def columns(path: Path) -> dict[str, list[Any]]:
        return next(reader.columns(path) for reader in readers if reader.accepts(path))

    if source.is_file():
        return [_Part(source, columns(source))], []
    files = split_files(source)
    paths = sorted(files, key=lambda path: files[path] != "train")
    parts = [_Part(path, columns(path)) for path in paths]
    label = _label(parts[0], options, str(source))
    labelled = [part for part in parts if label is None or label in part.columns]
    return labelled, [part.path for part in parts if part not in labelled]


def _label(part: _Part, options: ReadOptions, origin: str) -> str | None:
    """The column of labels.

    Raises:
        DataError: there are several; an audit knows classes alone.
    """
    found, _ = label_columns(part.columns, options, origin)
    if len(found) > 1:
        raise DataError(f"--clean writes one column of labels, and {origin} was read with {', '.join(found)}. Name one of them")
    return found[0] if found else None


def _rows(parts: list[_Part], dataset: Dataset, label: str | None) -> list[tuple[_Part, int]]:
    """The table and row of each sample. Readers keep the order and leave out rows of another kind of file, or without a
    label."""
    every = [(part, row) for part in parts for row in range(len(next(iter(part.columns.values()))))]
    if label is not None and dataset.labels is not None:
        every = [(part, row) for part, row in every if not is_empty(part.columns[label][row])]
    if dataset.modality in ("text", "table") and len(every) == len(dataset):
        return every
    found: list[tuple[_Part, int]] = []
    for part, row in every:
        values = {_path(column[row]) for column in part.columns.values()} | {
            f"row {row + 1}",
            f"row {row + 1} of {part.path.name}",
        }
        if len(found) < len(dataset) and dataset.names[len(found)] in values:
            found.append((part, row))
    if len(found) != len(dataset):
        raise DataError(
            f"{dataset.origin} was changed since it was read: {len(found)} of {len(dataset)} rows are found again. Audit it anew."
        )
    return found


def _path(value: Any) -> Any:
    path = value.get("path") if isinstance(value, dict) else value
    return path if isinstance(path, str) else None


def _raw_labels(
    parts: list[_Part], rows: list[tuple[_Part, int]], dataset: Dataset, label: str | None
) -> dict[str, Any]:
    """What stands in the table for each class: a number, where classes are numbers."""
    if label is None or dataset.labels is None:
        return {}
    return {name: part.columns[label][row] for name, (part, row) in zip(dataset.labels, rows, strict=True)}


def _copy(item: Path, folder: Path, draft: Path, part: _Part, row: int) -> None:
    """The file of a row, at the same place relative to the table; a path that says it otherwise is rewritten."""
    relative = os.path.relpath(item, folder)
    target = draft / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(item, target)
    for name, values in part.columns.items():
        value = _path(values[row])
        if value is not None and folder / value == item and value != relative:
            part.cells[row, name] = {**values[row], "path": relative} if isinstance(values[row], dict) else relative


def _csv(part: _Part, target: Path) -> None:
    first = part.path.read_text(encoding="utf-8-sig").split("\n", 1)[0]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=max(",;\t", key=first.count), lineterminator="\n")
        writer.writerow(part.columns)
        for row in part.kept:
            writer.writerow([part.cells.get((row, name), values[row]) for name, values in part.columns.items()])


def _jsonl(part: _Part, target: Path) -> None:
    """Lines without a change stay as they stand."""
    lines = [line for line in part.path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    kept = set(part.kept)
    for (row, name), value in part.cells.items():
        if row in kept:
            lines[row] = json.dumps({**json.loads(lines[row]), name: value}, ensure_ascii=False)
    target.write_text("".join(lines[row].rstrip("\r") + "\n" for row in part.kept), encoding="utf-8", newline="\n")


def _parquet(part: _Part, target: Path) -> None:
    """With the schema and the metadata of the original; class numbers stay numbers."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(part.path).read()
    for name in dict.fromkeys(name for _, name in part.cells):
        values = table.column(name).to_pylist()
        numbers = dict(zip(map(str, part.columns[name]), values, strict=True))
        for (row, column), value in part.cells.items():
            if column == name:
                values[row] = value if isinstance(value, dict) else numbers.get(str(value), value)
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pyarrow.array(values, type=field.type))
    pyarrow.parquet.write_table(table.take(part.kept), target)


_WRITERS = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet, ".pq": _parquet}
