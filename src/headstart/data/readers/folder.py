"""A folder with one folder per class, below ``train/``, ``val/`` and ``test/`` or not."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions, first_few, split_name
from headstart.errors import DataError

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".gif",
        ".bmp",
        ".dib",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".jp2",
        ".tga",
        ".ico",
    ]
)
LAYOUT = "Expected one folder per class, such as photos/cat/1.jpg, or the same below train/ and test/"


@dataclass
class _Found:
    """What a walk through the folder meets; ``parts`` are those of the relative paths."""

    pictures: list[tuple[str, ...]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        notes = []
        if self.others:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common(8))
            notes.append(f"{self.others.total()} files that are no pictures were left out ({kinds})")
        if self.links:
            notes.append(
                f"{len(self.links)} symbolic links that lead outside the folder or to folders were not "
                "followed: "
                f"{first_few(self.links)}"
            )
        return notes


def accepts(source: object) -> bool:
    return isinstance(source, Path) and source.is_dir()


def read(source: Path, options: ReadOptions) -> Dataset:
    """Class folders below ``source``; sub-folders of a class belong to it, hidden files do not count.

    Raises:
        DataError: no pictures, pictures without class folders, or a ``group`` that does not fit.
    """
    found = _walk(source)
    notes = found.notes()
    if not found.pictures:
        seen = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(f"The folder {str(source)!r} holds no pictures{seen}. {LAYOUT}")
    has_splits = _has_splits(found.pictures, source)
    depth = int(has_splits)
    parts = found.pictures
    if options.label_column is not None:
        parts = [entry for entry in found.pictures if len(entry) > depth + 1]
        loose = ["/".join(entry) for entry in found.pictures if len(entry) <= depth + 1]
        _check_loose(loose, {entry[0] for entry in parts}, source, has_splits)
        if loose:
            notes.append(f"{len(loose)} pictures outside the class folders were left out: {first_few(loose)}")
    names = [_text("/".join(entry)) for entry in parts]
    return Dataset(
        items=[source.joinpath(*entry) for entry in parts],
        names=names,
        labels=None if options.label_column is None else [_text(entry[depth]) for entry in parts],
        modality="image",
        groups=None if options.group is None else _groups(names, options.group),
        declared=[split_name(entry[0]) or "" for entry in parts] if has_splits else None,
        origin=str(source),
        notes=tuple(notes),
    )


def _walk(root: Path) -> _Found:
    found, real = _Found(), root.resolve()
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        found.links += [_text(str((here / n).relative_to(root))) for n in folders if (here / n).is_symlink()]
        for name in sorted(name for name in files if not name.startswith(".")):
            path = here / name
            relative = path.relative_to(root)
            if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(real)):
                found.links.append(_text(str(relative)))
            elif path.suffix.lower() in SUFFIXES:
                found.pictures.append(relative.parts)
            else:
                found.others[_text(path.suffix.lower() or path.name)] += 1
    return found


def _has_splits(pictures: list[tuple[str, ...]], source: Path) -> bool:
    """True if the folders are splits; a lone "train" among others (planes, ships) is a class."""
    tops = sorted({entry[0] for entry in pictures if len(entry) > 1})
    splits = [name for name in tops if split_name(name)]
    others = [name for name in tops if not split_name(name)]
    if others and len({split_name(name) for name in splits}) > 1:
        raise DataError(
            f"The folder {str(source)!r} mixes the splits {', '.join(splits)} with other folders: "
            f"{first_few(others)}. "
            "Expected either split folders only or class folders only; move the others away"
        )
    return bool(splits) and not others


def _check_loose(loose: list[str], tops: set[str], source: Path, has_splits: bool) -> None:
    if loose and not tops:
        raise DataError(
            f"The folder {str(source)!r} holds {len(loose)} pictures but no class folders (first: "
            f"{first_few(loose, 3)}). "
            f"{LAYOUT}"
        )
    bare = {name.split("/")[0] for name in loose if "/" in name} - tops
    if has_splits and bare:
        raise DataError(
            f"The pictures in {', '.join(sorted(bare))}/ of {str(source)!r} lie in no class folders, so "
            "they have no "
            f"labels. {LAYOUT}; move pictures without labels elsewhere"
        )


def _groups(names: list[str], pattern: str) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise DataError(f"The group {pattern!r} is no regular expression: {problem}") from problem
    if compiled.groups != 1:
        raise DataError(
            f"The group {pattern!r} has {compiled.groups} groups in parentheses; for a folder expected a "
            "regular "
            r"expression with exactly one, such as 'patient(\d+)', which is searched in the relative path"
        )
    matches = [compiled.search(name) for name in names]
    missed = [name for name, match in zip(names, matches, strict=True) if match is None or match[1] is None]
    if missed:
        raise DataError(
            f"The group {pattern!r} is not found in {len(missed)} of {len(names)} paths: {first_few(missed)}"
        )
    return [match[1] for match in matches if match]


def _text(name: str) -> str:
    """File names may hold bytes that are no UTF-8; reports and JSON may not."""
    return os.fsencode(name).decode("utf-8", "replace")
