"""Write a cleaned data set: a new folder in the format of the original, or no folder at all."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.auditing import _tables
from headstart.auditing._plan import Change
from headstart.config import dump_json, to_dict
from headstart.data import read as read_data
from headstart.data.dataset import Dataset
from headstart.data.readers import first_few
from headstart.data.readers._table import split_files
from headstart.errors import DataError

if TYPE_CHECKING:
    from headstart.auditing._audit import Audit


@dataclass(frozen=True)
class Cleaned:
    """What cleaning wrote.

    Attributes:
        folder: where it stands.
        dataset: the cleaned data set, read from there.
        changes: every change with its reasons.
        notes: what else the user must know, such as classes that are gone.
    """

    folder: Path
    dataset: Dataset
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """How many changes of each kind."""
        return dict(Counter(change.action for change in self.changes))


def clean(audit: Audit, folder: Path) -> Cleaned:
    """Copy what stays, changed where it must be, beside the place; compare it with the plan; move it there."""
    source = audit.source
    if source is None or not source.exists():
        raise DataError(
            f"The data ({audit.dataset.origin or 'from memory'}) did not come from a file or folder, so there is no format "
            "to write it in. Audit.cleaned() gives the cleaned Dataset, which hs.fit takes."
        )
    _check_place(source, folder)
    planned, wanted = audit.changes, audit.cleaned()
    if not len(wanted):
        raise DataError(f"Cleaning would remove all {len(audit.dataset)} samples of {source}; nothing was written.")
    notes = _notes(audit.dataset, wanted)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        place = _write(source, audit, planned, draft)
        _check_written(place, dict(audit.reading), wanted)
        (draft / "changes.json").write_text(dump_json(_record(audit, planned, notes)) + "\n", "utf-8")
        if folder.exists():
            folder.rmdir()  # it is empty, as was checked
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    written = folder / place.relative_to(draft)
    return Cleaned(folder, read_data(written, **dict(audit.reading)), tuple(planned), tuple(notes))


def _check_place(source: Path, folder: Path) -> None:
    here, there = (source if source.is_dir() else source.parent).resolve(), folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder} exists and is not empty; nothing was written. Name a new folder for the cleaned data."
        )
    if source.is_dir() and (there == here or there.is_relative_to(here) or here.is_relative_to(there)):
        raise DataError(
            f"{folder} and the data {source} lie one in the other; nothing was written, for the original stays as it is. "
            "Name a folder elsewhere."
        )


def _write(source: Path, audit: Audit, planned: Sequence[Change], draft: Path) -> Path:
    """Write the samples into ``draft``; what to read there."""
    if source.is_file():
        _tables.write(source, audit, planned, draft)
        return draft / source.name
    if split_files(source):
        _tables.write(source, audit, planned, draft)
    else:
        _write_folder(source, audit, planned, draft)
    return draft


def _write_folder(source: Path, audit: Audit, planned: Sequence[Change], draft: Path) -> None:
    """Files keep their relative path; a new label replaces the old one in it, as folder or as part of the name."""
    leaving = {change.index for change in planned if change.action == "remove"}
    labels = {change.index: change.after for change in planned if change.action == "relabel"}
    staying = [i for i in range(len(audit.dataset)) if i not in leaving]
    taken = {audit.dataset.names[i] for i in staying if i not in labels}
    for i in staying:
        item = audit.dataset.items[i]
        assert isinstance(item, Path)
        target = item.relative_to(source)
        if i in labels:
            start, end = _place_of_label(audit, i)
            name = audit.dataset.names[i]
            target = _free(Path(name[:start] + labels[i] + name[end:]), taken)
        (draft / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(item, draft / target)


def _place_of_label(audit: Audit, index: int) -> tuple[int, int]:
    """Where in the name of a sample its label stands."""
    import re

    name, pattern = audit.dataset.names[index], dict(audit.reading).get("labels")
    if pattern and "(" in pattern:
        found = re.search(pattern, name)
        assert found
        return found.span(1)
    start = name.index("/") + 1 if audit.dataset.declared is not None else 0
    return start, name.index("/", start)


def _free(path: Path, taken: set[str]) -> Path:
    """The path, or one with a number where another file has it already."""
    found, number = path, 1
    while found.as_posix() in taken:
        number += 1
        found = path.with_name(f"{path.stem}_{number}{path.suffix}")
    taken.add(found.as_posix())
    return found


def _check_written(place: Path, reading: dict[str, Any], wanted: Dataset) -> None:
    """What was written reads as what was planned.

    Raises:
        DataError: it does not; nothing is left behind then.
    """
    found = read_data(place, **reading)
    one, other = (
        Counter(zip(d.labels or [""] * len(d), d.declared or [""] * len(d), strict=True)) for d in (found, wanted)
    )
    if one != other or found.modality != wanted.modality:
        raise DataError(
            f"The cleaned data would read as {len(found)} samples of {len(found.classes)} classes instead of {len(wanted)} of "
            f"{len(wanted.classes)}, so it was not kept. Rename classes or files that differ in case or signs only, and try again."
        )


def _notes(before: Dataset, after: Dataset) -> list[str]:
    notes = []
    if gone := sorted(set(before.labels or ()) - set(after.labels or ())):
        notes.append(f"{len(gone)} labels are gone: {first_few(map(repr, gone))}")
    if sides := sorted(set(before.declared or ()) - set(after.declared or ())):
        notes.append(f"no sample is left in {first_few(sides)}")
    return notes


def _record(audit: Audit, planned: Sequence[Change], notes: Sequence[str]) -> dict[str, Any]:
    counts = Counter(change.action for change in planned)
    return {
        "data": str(audit.source),
        "model": audit.model,
        "samples_before": len(audit.dataset),
        "samples_after": len(audit.dataset) - counts["remove"],
        "counts": dict(counts),
        "notes": list(notes),
        "changes": [{k: v for k, v in to_dict(change).items() if v != ""} for change in planned],
    }
