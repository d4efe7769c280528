"""Reading data: ``read`` makes a Dataset of a folder, a table or objects in memory."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart import plugins
from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions
from headstart.data.split import Split
from headstart.errors import DataError

__all__ = ["Dataset", "Split", "read"]


def read(
    source: Any,
    *,
    labels: str | None = "label",
    paths: str | None = None,
    group: str | None = None,
    modality: str = "image",
) -> Dataset:
    """Read labelled data; the reader is chosen by what ``source`` is. Samples are decoded later, when needed.

    Args:
        source: a folder of class folders (within ``train/``, ``val/``, ``test/`` or not), a table
            (``.csv``, ``.tsv``, ``.parquet``, ``.jsonl``), a Hugging Face dataset or a pair of arrays
            ``(pictures, labels)``.
        labels: name of the column with the class; None reads the samples without labels.
        paths: name of the column with the pictures, for tables; guessed if None.
        group: what belongs together, such as a patient: the name of a column, or for folders a regular
            expression with one group in parentheses that is searched in the relative path.
        modality: kind of sample.

    Raises:
        DataError: the source is missing, of no known kind, or not laid out as its reader expects.

    Example:
        ``read("photos/", group=r"patient(\\d+)")``
    """
    plugins.load("data.modalities", modality)
    if isinstance(source, (str, Path)):
        source = Path(source).expanduser()
        if not source.exists():
            raise DataError(f"There is no file or folder {str(source)!r}; check the spelling and the current folder")
    options = ReadOptions(label_column=labels, path_column=paths, group=group)
    for name in plugins.names("data.readers"):
        reader = plugins.load("data.readers", name)
        if reader.accepts(source):
            dataset = replace(reader.read(source, options), modality=modality)
            return dataset.with_notes(*_alike_labels(dataset))
    what = f"the file {str(source)!r}" if isinstance(source, Path) else f"an object of type {type(source).__name__}"
    raise DataError(
        f"Cannot read {what}. Expected a folder with one folder per class, a .csv, .tsv, .parquet or "
        ".jsonl table, "
        "a Hugging Face Dataset, or a pair (pictures, labels) of arrays; put single pictures into class "
        "folders"
    )


def _alike_labels(dataset: Dataset) -> list[str]:
    """A note for classes whose names differ only in case, white space or Unicode form."""
    alike: dict[str, list[str]] = {}
    for label in dataset.classes:
        alike.setdefault(" ".join(unicodedata.normalize("NFKC", label).casefold().split()), []).append(label)
    counts = dataset.counts()
    lists = [" and ".join(f"{name!r} ({counts[name]})" for name in names) for names in alike.values() if names[1:]]
    if not lists:
        return []
    return [
        f"labels that differ only in case or white space: {'; '.join(lists)}; they are kept as separate "
        "classes; "
        "rename them if they are one"
    ]
