"""Comma-separated tables with a header line; semicolons and tabs are recognised, too."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions
from headstart.data.readers._table import table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_file() and source.suffix.lower() in (".csv", ".tsv")


def read(source: Path, options: ReadOptions) -> Dataset:
    """One sample a row: a path relative to the table, a text, or columns of features.

    Raises:
        DataError: see ``columns`` and ``table``.
    """
    return table(columns(source), source.parent, options, str(source))


def columns(source: Path) -> dict[str, list[str]]:
    """The columns by name, all of them strings.

    Raises:
        DataError: the text is not UTF-8, or a row is longer or shorter than the header.
    """
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise DataError(f"The table {source} is not UTF-8 text ({problem}); save it as CSV UTF-8") from problem
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    limit = csv.field_size_limit(max(len(text), 1))  # of the whole process; 131,072 characters unless told
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        header = [name.strip() for name in next(rows, [])]
        body = []
        for row in rows:
            if row and len(row) != len(header):
                raise DataError(
                    f"Line {rows.line_num} of {source} has {len(row)} fields, and the header has "
                    f"{len(header)} "
                    f"({', '.join(header)}); put quotes around values that hold a {separator!r}"
                )
            if row:
                body.append(row)
    except csv.Error as problem:
        raise DataError(f"The table {source} is no valid CSV: line {rows.line_num}: {problem}") from problem
    finally:
        csv.field_size_limit(limit)
    if len(set(header)) < len(header):
        raise DataError(f"The table {source} has two columns of one name: {', '.join(header)}; rename one")
    return {name: [row[i] for row in body] for i, name in enumerate(header)}
