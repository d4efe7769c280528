"""Reading data: ``read`` makes a Dataset of a folder, a table or objects in memory."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from headstart import plugins
from headstart.data.dataset import Dataset, Sound
from headstart.data.readers import ReadOptions
from headstart.data.split import Split
from headstart.errors import DataError

__all__ = ["Dataset", "Sound", "Split", "read"]


def read(
    source: Any,
    *,
    labels: str | None = "label",
    paths: str | None = None,
    text: str | None = None,
    group: str | None = None,
    modality: str | None = None,
) -> Dataset:
    """Read labelled data; the reader is chosen by what ``source`` is. Samples are decoded later, when needed.

    Args:
        source: a folder of class folders (within ``train/``, ``val/``, ``test/`` or not), a table
            (``.csv``, ``.tsv``, ``.parquet``, ``.jsonl``), a folder with the tables ``train.csv`` and
            ``test.csv``, a Hugging Face dataset or a pair ``(samples, labels)`` in memory.
        labels: name of the column with the class, or for folders a regular expression with one group in
            parentheses that is searched in the relative path; None reads the samples without labels.
        paths: name of the column with the paths of files, for tables; guessed if None.
        text: name of the column with the texts, for tables; guessed if None.
        group: what belongs together, such as a patient: the name of a column, or for folders a regular
            expression as for ``labels``.
        modality: "image", "text", "audio" or "table": read this kind of sample only; found out if None.

    Raises:
        DataError: the source is missing, of no known kind, or not laid out as its reader expects.

    Example:
        ``read("photos/", group=r"patient(\\d+)")``
    """
    if modality is not None:
        plugins.load("data.modalities", modality)
    if isinstance(source, (str, Path)):
        source = existing(source)
    options = ReadOptions(labels, paths, group, text, modality)
    for name in plugins.names("data.readers"):
        reader = plugins.load("data.readers", name)
        if reader.accepts(source):
            dataset = reader.read(source, options)
            return dataset.with_notes(*_alike_labels(dataset))
    what = f"the file {str(source)!r}" if isinstance(source, Path) else f"an object of type {type(source).__name__}"
    raise DataError(
        f"Cannot read {what}. Expected a folder with one folder per class, a .csv, .tsv, .parquet or .jsonl table, a "
        "Hugging Face Dataset, or a pair (samples, labels) in memory; put single files into class folders"
    )


def existing(source: str | Path) -> Path:
    """The path of a file or folder that is there.

    Raises:
        DataError: there is none.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {str(path)!r}; check the spelling and the current folder")
    return path


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
