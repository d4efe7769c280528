"""Parquet tables: paths, texts, features, or files themselves (binary, or Hugging Face's struct of bytes and path)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions
from headstart.data.readers._table import table
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_file() and source.suffix.lower() in (".parquet", ".pq")


def read(source: Path, options: ReadOptions) -> Dataset:
    """One sample a row.

    Raises:
        DataError: see ``columns`` and ``table``.
    """
    return table(columns(source), source.parent, options, str(source))


def columns(source: Path) -> dict[str, list[Any]]:
    """The columns by name. Class ids become names where Hugging Face's metadata holds them.

    Raises:
        DataError: the file is damaged, or has two columns of one name.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.ParquetFile(source).read()
    except (pyarrow.ArrowException, OSError) as problem:
        raise DataError(f"The file {source} cannot be read as Parquet: {problem}") from problem
    if len(set(content.column_names)) < len(content.column_names):
        raise DataError(f"The table {source} has two columns of one name: {', '.join(content.column_names)}")
    found: dict[str, list[Any]] = content.to_pydict()
    for name, classes in _class_names(content.schema.metadata or {}).items():
        if name in found:
            found[name] = [_named(value, classes) for value in found[name]]
    return found


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names by column out of {"info": {"features": {column: {"_type": "ClassLabel", "names": [...]}}}}."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    kinds = {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    return {
        name: kind["names"] for name, kind in kinds.items() if kind.get("_type") == "ClassLabel" and "names" in kind
    }


def _named(value: Any, classes: list[str]) -> Any:
    if isinstance(value, int) and value == -1:
        return None  # Hugging Face's mark for "no label"
    return classes[value] if isinstance(value, int) and 0 <= value < len(classes) else value
