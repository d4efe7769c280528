"""A folder with one folder per class, below ``train/``, ``val/`` and ``test/`` or not."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.modalities import by_suffix, nouns
from headstart.data.readers import ReadOptions, first_few, main_kind, named, split_name
from headstart.data.readers._table import split_files
from headstart.errors import DataError

LAYOUT = (
    "Expected one folder per class, such as photos/cat/1.jpg, or the same below train/ and test/; labels that stand "
    r"in the names are found by a regular expression: --labels '(\w+)_\d+' (labels=... in Python)"
)
ABOUT = re.compile(r"read[-_ ]?me.*|licen[cs]e|notice|copying|changelog|authors|citation|attribution|labels|classes")
Parts = tuple[str, ...]


@dataclass
class _Found:
    """What a walk through the folder meets; ``Parts`` are those of a relative path."""

    samples: dict[str, list[Parts]] = field(default_factory=dict)  # by modality
    others: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def notes(self, what: str) -> list[str]:
        notes = []
        if self.others:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common(8))
            notes.append(f"{self.others.total()} files that are no {what} were left out ({kinds})")
        if self.links:
            notes.append(
                f"{len(self.links)} symbolic links that lead outside the folder or to folders were not followed: "
                f"{first_few(self.links)}"
            )
        return notes


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_dir() and not split_files(source)


def read(source: Path, options: ReadOptions) -> Dataset:
    """Class folders below ``source``; sub-folders of a class belong to it, hidden files do not count.

    Raises:
        DataError: no samples, two kinds of them, samples without class folders, or a pattern that does not fit.
    """
    found = _walk(source)
    modality = _choose(found, options.modality, source)
    what = nouns(modality) if modality else "pictures, texts or recordings"
    notes = found.notes(what)
    parts = found.samples.get(modality or "", [])
    if not parts:
        seen = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(f"The folder {str(source)!r} holds no {what}{seen}. {LAYOUT}")
    has_splits = _has_splits(parts, source)
    depth = int(has_splits)
    pattern = options.label_column if options.label_column and "(" in options.label_column else None
    if options.label_column is not None and not pattern:
        loose = ["/".join(entry) for entry in parts if len(entry) <= depth + 1]
        parts = [entry for entry in parts if len(entry) > depth + 1]
        _check_loose(loose, {entry[0] for entry in parts}, source, has_splits, what)
        if loose:
            notes.append(f"{len(loose)} {what} outside the class folders were left out: {first_few(loose)}")
    names = [_text("/".join(entry)) for entry in parts]
    labels = None
    if options.label_column is not None:
        labels = _matches(names, pattern, "labels") if pattern else [_text(entry[depth]) for entry in parts]
    return Dataset(
        items=[source.joinpath(*entry) for entry in parts],
        names=names,
        labels=labels,
        modality=modality or "",
        groups=None if options.group is None else _matches(names, options.group, "group"),
        declared=[split_name(entry[0]) or "" for entry in parts] if has_splits else None,
        origin=str(source),
        notes=tuple(notes),
    )


def _walk(root: Path) -> _Found:
    found, real, kinds = _Found(), root.resolve(), by_suffix()
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found.links += [_text(str((here / n).relative_to(root))) for n in folders if (here / n).is_symlink()]
        for name in sorted(name for name in files if not name.startswith(".")):
            path = here / name
            relative = path.relative_to(root)
            if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(real)):
                found.links.append(_text(str(relative)))
            elif kind := kinds.get(path.suffix.lower()):
                found.samples.setdefault(kind, []).append(relative.parts)
            else:
                found.others[_text(path.suffix.lower() or path.name)] += 1
    return found


def _choose(found: _Found, wanted: str | None, source: Path) -> str | None:
    """The modality to read; the files of all others are moved to ``found.others``.

    Texts that tell about the data, such as a README, and files outside class folders do not make it mixed.
    """
    inner = {kind: [p for p in parts if len(p) > 1 and not _is_about(p)] for kind, parts in found.samples.items()}
    counts = {kind: len(parts) for kind, parts in inner.items() if parts}
    counts = counts or {kind: sum(not _is_about(p) for p in parts) for kind, parts in found.samples.items()}
    chosen = main_kind({kind: count for kind, count in counts.items() if count}, wanted, f"The folder {str(source)!r}")
    for kind, parts in found.samples.items():
        left = [entry for entry in parts if kind != chosen or _is_about(entry)]
        found.others.update(_text(Path(entry[-1]).suffix.lower()) for entry in left)
    found.samples = {kind: [p for p in parts if not _is_about(p)] for kind, parts in found.samples.items()}
    return chosen


def _is_about(parts: Parts) -> bool:
    name = Path(parts[-1].lower())
    return by_suffix().get(name.suffix) == "text" and ABOUT.fullmatch(name.stem) is not None


def _has_splits(samples: list[Parts], source: Path) -> bool:
    """True if the folders are splits; a lone "train" among others (planes, ships) is a class."""
    tops = sorted({entry[0] for entry in samples if len(entry) > 1})
    splits = [name for name in tops if split_name(name)]
    others = [name for name in tops if not split_name(name)]
    if others and len({split_name(name) for name in splits}) > 1:
        raise DataError(
            f"The folder {str(source)!r} mixes the splits {', '.join(splits)} with other folders: {first_few(others)}. "
            "Expected either split folders only or class folders only; move the others away"
        )
    return bool(splits) and not others


def _check_loose(loose: list[str], tops: set[str], source: Path, has_splits: bool, what: str) -> None:
    if loose and not tops:
        raise DataError(
            f"The folder {str(source)!r} holds {len(loose)} {what} but no class folders (first: "
            f"{first_few(loose, 3)}). {LAYOUT}"
        )
    bare = {name.split("/")[0] for name in loose if "/" in name} - tops
    if has_splits and bare:
        raise DataError(
            f"The {what} in {', '.join(sorted(bare))}/ of {str(source)!r} lie in no class folders, so they have no "
            f"labels. {LAYOUT}; move {what} without labels elsewhere"
        )


def _matches(names: list[str], pattern: str, argument: str) -> list[str]:
    """What the one group of the pattern finds in each relative path."""
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise DataError(f"The {argument} {pattern!r} is no regular expression: {problem}") from problem
    if compiled.groups != 1:
        raise DataError(
            f"The {argument} {pattern!r} has {compiled.groups} groups in parentheses; for a folder {named(argument)} "
            r"takes a regular expression with exactly one, such as 'patient(\d+)', which is searched in the "
            "relative path"
        )
    matches = [compiled.search(name) for name in names]
    missed = [name for name, match in zip(names, matches, strict=True) if match is None or not match[1]]
    if missed:
        raise DataError(
            f"The {argument} {pattern!r} is not found in {len(missed)} of {len(names)} paths: {first_few(missed)}. "
            f"Change {named(argument)}; it is searched in paths relative to the folder"
        )
    return [match[1] for match in matches if match]


def _text(name: str) -> str:
    """File names may hold bytes that are no UTF-8; reports and JSON may not."""
    return os.fsencode(name).decode("utf-8", "replace")
