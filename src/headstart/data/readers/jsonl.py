"""JSON Lines: one object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions
from headstart.data.readers._table import table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_file() and source.suffix.lower() in (".jsonl", ".ndjson")


def read(source: Path, options: ReadOptions) -> Dataset:
    """One sample a line: a path relative to the file, a text, or features.

    Raises:
        DataError: see ``columns`` and ``table``.
    """
    return table(columns(source), source.parent, options, str(source))


def columns(source: Path) -> dict[str, list[Any]]:
    """The entries by name; one that a line lacks is None.

    Raises:
        DataError: a line is no JSON object, or the text is not UTF-8.
    """
    rows = []
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"The table {source} is not UTF-8 text ({problem}); save it as UTF-8") from problem
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as problem:
            raise DataError(f"Line {number} of {source} is no JSON: {problem}") from problem
        if not isinstance(row, dict):
            raise DataError(f"Line {number} of {source} holds {type(row).__name__}; expected an object {{...}}")
        rows.append(row)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}
