"""From the columns of a table to a Dataset; shared by the readers of tables."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.data.dataset import Dataset, Item
from headstart.data.modalities import by_suffix, nouns
from headstart.data.readers import ReadOptions, first_few, main_kind, named, split_name
from headstart.data.readers._features import features, is_missing, number
from headstart.data.readers._labels import label_texts, texts
from headstart.errors import DataError

SOUND_COLUMNS = ("audio", "audio_path", "sound", "recording", "wav")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", *SOUND_COLUMNS)
TEXT_COLUMNS = ("text", "sentence", "review", "comment", "content", "body", "message", "query", "question", "title",
                "description", "utterance")  # fmt: skip
LABEL_COLUMNS = ("class", "target", "category", "sentiment", "intent", "y")
PROSE = 20  # mean length in characters from which on a lone column of strings holds texts
TABLES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson")
Columns = Mapping[str, Sequence[Any]]


def table(
    columns: Columns, folder: Path | None, options: ReadOptions, origin: str, rows: Sequence[str] | None = None
) -> Dataset:
    """Build a Dataset from columns of equal length n.

    The samples are files where there is a column of paths, else texts where there is a column of them, else
    rows of features.

    Args:
        columns: files are paths relative to ``folder``, bytes, or {"bytes": ..., "path": ...} each.
        folder: nothing outside it is read; None: paths may lie anywhere.
        options: names of the columns.
        origin: what messages call the table.
        rows: what messages call the rows; by default they are counted from 1.

    Raises:
        DataError: no rows, a missing column, a row without a label, or a path outside the folder.
    """
    num_rows = len(next(iter(columns.values()), ()))
    if not num_rows:
        raise DataError(f"The table {origin} has no rows; expected one row per sample")
    rows = rows or [str(row) for row in range(1, num_rows + 1)]
    chosen, notes = label_columns(columns, options, origin)
    kind, name = _samples_column(columns, options, chosen, origin)
    if kind == "path":
        modality, kept, said = _file_kind(columns[name], options.modality, name, origin)
        columns = {key: [values[i] for i in kept] for key, values in columns.items()}
        rows = [rows[i] for i in kept]
        items, names = _files(columns[name], name, folder, origin, rows)
    else:
        modality, names = kind, [f"row {row}" for row in rows]
        taken = {*chosen, options.group, "split"}
        if kind == "text":
            others = [column for column in columns if column not in {*taken, name}]
            said = [f"the texts stand in the column {name!r}; left out: {first_few(others, 8)}"] if others else []
            items = [value if isinstance(value, str) else "" for value in columns[name]]
        else:
            items, said = features({key: values for key, values in columns.items() if key not in taken}, origin)
    notes += said
    labels: list[str | None] | None = None
    if chosen:
        labels, said = label_texts({name: columns[name] for name in chosen}, origin, rows)
        notes += said
    groups = None
    if options.group is not None:
        groups = texts(column(columns, options.group, "group", origin), options.group, origin, rows)
        if groups is None:
            raise DataError(f"The group column {options.group!r} of {origin} is empty; {named('group')} names another")
    declared, said = _declared(columns)
    found = Dataset(items, names, None, modality, groups, declared, origin, (*notes, *said))
    if labels is None:
        return found
    known = [i for i, label in enumerate(labels) if label is not None]
    return replace(found.subset(known), labels=[label for label in labels if label is not None])


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
        f"Name the right one with {named(argument)}"
    )


def label_columns(columns: Mapping[str, Any], options: ReadOptions, origin: str) -> tuple[list[str], list[str]]:
    """The columns with labels, and a note where one was guessed because nobody named any.

    Raises:
        DataError: there is none, more than one could be meant, or one is named twice.
    """
    wanted = options.label_column
    if wanted is None or wanted in columns:
        return [] if wanted is None else [wanted], []
    if "," in wanted:
        names = [name.strip() for name in wanted.split(",")]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise DataError(f"Two tasks of {origin} are called {twice[0]!r}; name each column of labels once")
        for name in names:
            column(columns, name, "labels", origin)
        return names, []
    guesses = [name for name in columns if name.lower() in LABEL_COLUMNS and name != options.group]
    if wanted != "label" or not guesses:
        column(columns, wanted, "labels", origin)
    if len(guesses) > 1:
        raise DataError(
            f"The table {origin} has no column 'label', and {' and '.join(map(repr, guesses))} could be meant. "
            f"Name the right one with {named('labels')}"
        )
    return guesses[:1], [f"the labels were taken from the column {guesses[0]!r}; {named('labels')} names another"]


def split_files(folder: Path) -> dict[Path, str]:
    """The tables of a folder that holds train.csv, test.csv and the like but no other table or folder."""
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    tables = sorted(path for path in entries if path.suffix.lower() in TABLES)
    found = {path: split_name(path.stem) or "" for path in tables}
    is_whole = len(set(found.values())) == len(tables) and "" not in found.values()
    return found if is_whole and "train" in found.values() and not any(path.is_dir() for path in entries) else {}


def _samples_column(columns: Columns, options: ReadOptions, labels: Sequence[str], origin: str) -> tuple[str, str]:
    """("path" | "text" | "table", name of the column)."""
    if options.path_column is not None and options.text_column is not None:
        raise DataError(
            f"The samples of {origin} are either files or texts: give {named('paths')} or {named('text')}, not both"
        )
    if options.path_column is not None:
        column(columns, options.path_column, "paths", origin)
        return "path", options.path_column
    if options.text_column is not None:
        column(columns, options.text_column, "text", origin)
        return "text", options.text_column
    free = {name: columns[name] for name in columns if name not in {*labels, options.group, "split"}}
    wanted = options.modality
    if wanted == "table":
        return "table", ""
    path = _named_like(free, PATH_COLUMNS)
    if path is not None and not (wanted == "text" and _named_like(free, TEXT_COLUMNS)):
        return "path", path
    if wanted in (None, "text") and (text := _text_column(free)) is not None:
        return "text", text
    files = [name for name, values in free.items() if _looks_like_files(values)]
    if wanted not in (None, "text") or files:
        what = nouns(wanted) if wanted else "pictures, recordings or texts"
        hint = f". The column {files[0]!r} looks like one; name it with " if files else ". Name it with "
        raise DataError(
            f"The table {origin} has no column of {what} with a usual name: looked for {', '.join(PATH_COLUMNS)}, and "
            f"there are: {', '.join(map(repr, columns))}{hint}{named('paths')}"
        )
    if wanted == "text":
        raise DataError(
            f"The table {origin} has no column of texts: looked for {', '.join(TEXT_COLUMNS)}, and there are: "
            f"{', '.join(map(repr, columns))}. Name it with {named('text')}"
        )
    return "table", ""


def _named_like(columns: Columns, usual: Sequence[str]) -> str | None:
    """The first column with one of the usual names, in any case, that holds no numbers."""
    lower = {key.lower(): key for key in reversed(list(columns))}
    found = [lower[name] for name in usual if name in lower]
    return next((name for name in found if not _is_numeric(columns[name])), None)


def _text_column(columns: Columns) -> str | None:
    if (name := _named_like(columns, TEXT_COLUMNS)) is not None and _is_text(columns[name]):
        return name
    strings = [name for name, values in columns.items() if _is_text(values) and not _is_numeric(values)]
    if len(strings) != 1 or _looks_like_files(columns[strings[0]]):
        return None
    values = columns[strings[0]]
    return strings[0] if sum(len(value or "") for value in values) > PROSE * len(values) else None


def _is_text(values: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, str) for value in values)


def _is_numeric(values: Sequence[Any]) -> bool:
    present = [value for value in values if not is_missing(value)]
    return bool(present) and all(number(value) is not None for value in present)


def _looks_like_files(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) and Path(value).suffix.lower() in by_suffix() for value in values)


def _file_kind(values: Sequence[Any], wanted: str | None, name: str, origin: str) -> tuple[str, list[int], list[str]]:
    """The modality of a column of files, the rows that hold it (or nobody knows what) and a note."""
    kinds = [_kind_of(value) for value in values]
    counts = Counter(kind for kind in kinds if kind is not None)
    modality = main_kind(counts, wanted, f"The column {name!r} of {origin}") or (
        "audio" if name.lower() in SOUND_COLUMNS else "image"
    )
    kept = [i for i, kind in enumerate(kinds) if kind in (None, modality)]
    if not kept:
        raise DataError(
            f"The column {name!r} of {origin} holds no {nouns(modality)}; --modality {next(iter(counts))} "
            f"(modality={next(iter(counts))!r} in Python) reads what it holds"
        )
    left = len(kinds) - len(kept)
    return modality, kept, [f"{left} rows whose files are no {nouns(modality)} were left out"] if left else []


def _kind_of(value: Any) -> str | None:
    """By the ending of the path, else by the first bytes, which suffice to tell sounds."""
    stored, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, value)
    known = by_suffix().get(Path(path).suffix.lower()) if isinstance(path, str) and "\0" not in path else None
    if known is None and isinstance(stored, bytes):
        is_sound = stored[:4] in (b"fLaC", b"OggS") or stored[8:12] in (b"WAVE", b"AIFF")
        is_sound = is_sound or stored[:3] == b"ID3" or stored[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")  # MP3
        return "audio" if is_sound else None
    return known


def _files(
    values: Sequence[Any], name: str, folder: Path | None, origin: str, rows: Sequence[str]
) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    names = []
    wrong, outside = [], []
    root = folder.resolve() if folder else None
    for row, value in zip(rows, values, strict=True):
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
        raise DataError(
            f"The column {name!r} of {origin} holds no path and no picture in the rows {first_few(wrong)}. Name the "
            f"column of files with {named('paths')}, or that of texts with {named('text')}"
        )
    if outside:
        raise DataError(
            f"{len(outside)} paths in {origin} lead outside its folder {str(folder)!r}: {first_few(outside)}. "
            "Expected paths relative to the table; move the table above its files"
        )
    paths = [item for item in items if isinstance(item, Path)]
    if len(paths) == len(items) and not any(path.exists() for path in paths):
        raise DataError(
            f"None of the {len(paths)} files in the column {name!r} of {origin} exists (first: {str(paths[0])!r}). "
            "Paths are relative to the table; if this is the wrong column, name the right one with "
            f"{named('paths')}, or that of texts with {named('text')}, or read features with --modality table"
        )
    return items, names


def _declared(columns: Columns) -> tuple[list[str] | None, list[str]]:
    values = columns.get("split")
    if values is None:
        return None, []
    known = [split_name(value) for value in values]
    if None in known:
        odd = sorted({str(value) for value, name in zip(values, known, strict=True) if name is None})
        return None, [f"the column 'split' was ignored: it holds {first_few(odd)}, expected train, val and test"]
    return [name for name in known if name], []
