"""measure_shift: how far apart are two data sets as a model sees them, where, and can a simple method close the gap?"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import __version__
from headstart.data import Dataset
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.modalities import counted, nouns
from headstart.errors import ConfigError, DataError
from headstart.progress import say
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.models.backbone import Backbone
    from headstart.shift._compared import Compared

METHODS = ("coral", "linear_transport", "subspace", "tca")  # need no labels, and give back rows that can be drawn
SHOWN = 50  # features and copies listed


@dataclass(frozen=True)
class ShiftResult:
    """What ``measure_shift`` found.

    Attributes:
        facts: everything measured, as plain values for JSON; docs/shift.md describes the entries.
    """

    facts: dict[str, Any]

    @property
    def summary(self) -> str:
        """A few sentences on what it means."""
        return " ".join(self.facts["summary"])

    def write(self, path: str | Path) -> Path:
        """The report: one HTML file that needs no network.

        Raises:
            RunError: it cannot be written.
        """
        from headstart.report.shift import write

        return write(self.facts, Path(path))


def measure_shift(
    source: Any, target: Any, model: str = "auto", *, method: str = "coral", seed: int = 0, use_target_labels: bool = False,
    on_bad: str = "error", **reading: str | None,
) -> ShiftResult:  # fmt: skip
    """Compare two data sets through the features of a model; of tables, through their columns.

    Args:
        source, target: as for ``hs.fit``, with or without labels; at least 4 samples each.
        model: reference of a model; "auto" chooses as ``fit`` does.
        method: adapter of ``hs.shift`` whose effect is shown: "coral", "linear_transport", "subspace" or "tca".
        seed: of draws, folds and permutations.
        use_target_labels: compare the classes by the target's own labels; else a classifier of the source guesses them.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        reading: ``labels``, ``paths``, ``text``, ``modality``, as for ``hs.read``.

    Raises:
        DataError: the two cannot be compared: different kinds of samples, missing columns, too few samples.
    """
    begun = time.perf_counter()
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}; it can be {', '.join(METHODS)}.")
    from headstart import defaults, models

    store = Store()
    ours, theirs = _read_both(source, target, reading, use_target_labels)
    ours, theirs = (drop_unreadable(part, scan(part, store), on_bad) for part in (ours, theirs))
    for name, part in (("source", ours), ("target", theirs)):
        if len(part) < 4:
            raise DataError(f"The {name} {part.origin} has {counted(len(part), part.modality)}, which says nothing about a "
                            "distribution. Give at least 4; a few dozen show more than the largest shifts.")  # fmt: skip
    notes = [*dict.fromkeys((*ours.notes, *theirs.notes))]
    if model == "auto":
        backbone, why = defaults.choose(ours)
    else:
        backbone, why = models.load(model), f"you asked for the model {model}"
    for part in (ours, theirs):
        defaults.suits(backbone, part)
    say(f"because {why}")
    for note in notes:
        say(f"note: {note}")
    found = _compare(backbone, ours, theirs, store, method, seed)
    facts = {
        "headstart": __version__,
        "modality": ours.modality,
        "model": backbone.reference,
        "reasons": [why],
        **{side: _described(part) for side, part in (("source", ours), ("target", theirs))},
        **asdict(replace(found, features=found.features[:SHOWN])),
        "notes": [*notes, *found.notes],
        "copies": _copies(ours, theirs, store),
    }
    from headstart.report.shift import summary

    facts = plain(facts)
    return ShiftResult({**facts, "summary": summary(facts), "seconds": time.perf_counter() - begun})


def _compare(backbone: Backbone, ours: Dataset, theirs: Dataset, store: Store, method: str, seed: int) -> Compared:
    from headstart.features.extract import extract
    from headstart.models.columns import Columns
    from headstart.shift._compared import compare

    one, other = (extract(backbone, part, store).vectors for part in (ours, theirs))
    names = backbone.names if isinstance(backbone, Columns) else [f"feature {i}" for i in range(backbone.spec.dim)]
    return compare(one, other, ours.labels, theirs.labels, names, method, seed)


def _read_both(source: Any, target: Any, reading: dict[str, Any], keep_labels: bool) -> tuple[Dataset, Dataset]:
    """Both data sets, of one kind and with the same columns; the target without labels unless they are asked for."""
    reading = {name: value for name, value in reading.items() if value is not None}
    if odd := sorted(set(reading) - {"labels", "paths", "text", "modality"}):
        raise ConfigError(f"measure_shift has no option {odd[0]!r}; there are labels, paths, text and modality.")
    ours = _read(source, reading, "source")
    theirs = _read(target, {**reading, "modality": reading.get("modality", ours.modality)}, "target")
    if ours.modality != theirs.modality:
        raise DataError(
            f"The source holds {nouns(ours.modality)} and the target {nouns(theirs.modality)}: no model sees both alike."
        )
    if ours.modality == "table":
        theirs = theirs.with_notes(*_columns(ours, theirs))
    if ours.labels is None:
        ours = ours.with_notes("the source has no labels, so the classes are not compared")
    if keep_labels and theirs.labels is None:
        raise DataError(f"The target {theirs.origin} has no labels to use; leave that option out.")
    if theirs.labels is not None and not keep_labels:
        theirs = theirs.without_labels().with_notes(
            "the labels of the target were dropped: its classes are guessed by a classifier of the source; "
            "--target-labels (use_target_labels=True in Python) compares the true ones"
        )
    return ours, theirs


def _read(where: Any, reading: dict[str, Any], which: str) -> Dataset:
    """With labels where there are any; else without, which is said."""
    if isinstance(where, Dataset):
        return where
    try:
        return read_data(where, **reading)
    except DataError as problem:
        if "labels" in reading and which == "source":
            raise
        try:
            found = read_data(where, **{**reading, "labels": None})
        except DataError:
            raise problem from None
        return found.with_notes(f"the {which} {found.origin} was read without labels")


def _columns(ours: Dataset, theirs: Dataset) -> list[str]:
    """What only the target has, as notes.

    Raises:
        DataError: the target lacks columns.
    """
    source, target = ({str(name) for row in part.items for name in row} for part in (ours, theirs))  # type: ignore[union-attr]
    if lacking := sorted(source - target):
        raise DataError(
            f"The target lacks {len(lacking)} of the {len(source)} columns of the source: {', '.join(lacking[:5])}. Both need "
            "the same columns; rename them, or leave them out of the source. Is one of them the label? --labels names it."
        )
    extra = sorted(target - source)
    return [f"columns of the target that the source lacks were left out: {', '.join(extra[:5])}"] if extra else []


def _described(part: Dataset) -> dict[str, Any]:
    return {"origin": part.origin, "samples": len(part), "classes": part.counts() if part.labels else None}


def _copies(ours: Dataset, theirs: Dataset, store: Store) -> dict[str, Any]:
    """Target samples that are (near-)copies of source samples: how many, and some by name."""
    both = Dataset([*ours.items, *theirs.items], [*ours.names, *theirs.names], None, ours.modality)
    alike = clusters(scan(both, store))
    first: dict[int, str] = {}
    for place, name in zip(alike[: len(ours)], ours.names, strict=True):
        first.setdefault(int(place), name)
    pairs = [
        (name, first[int(place)])
        for place, name in zip(alike[len(ours) :], theirs.names, strict=True)
        if int(place) in first
    ]
    return {"count": len(pairs), "share": len(pairs) / len(theirs), "pairs": [list(pair) for pair in pairs[:SHOWN]]}


def plain(value: Any) -> Any:
    """Plain values for JSON: infinite numbers have no place in it."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
