"""Several data sets on one model: each is a task with a name, labels and a split of its own; elsewhere its label is missing.

Or one is the target and the others are helpers, of which nothing is asked but that they help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart import auditing, plugins, runs
from headstart.data import Dataset
from headstart.data import labels as texts
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.modalities import nouns
from headstart.data.split import SIDES, Split, split
from headstart.errors import ConfigError, DataError, UnreadableError
from headstart.runs import Settings
from headstart.store import Store
from headstart.tasks import learn
from headstart.tasks._kinds import AUTO, stated

PLAIN = ("labels", "train", "data", "index")  # names of files that say nothing; their folder's does
MANY = 10  # times the samples of another data set, from which on that is said


def are_several(data: Any) -> bool:
    """A list of data sets, or a dict of them by name."""
    return type(data) in (list, dict) and len(data) > 0


def by_name(data: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """Data sets by the name of their task, by default that of the file or folder; ``"name=path"`` gives one.

    Raises:
        ConfigError: two have one name, or a name cannot be one.
    """
    found: dict[str, Any] = {}
    pairs = list(data.items()) if isinstance(data, Mapping) else [_named(entry, i) for i, entry in enumerate(data, 1)]
    for name, entry in pairs:
        if name in found:
            raise ConfigError(f"$.data: two tasks are called {name!r}; name them: --data NAME=PATH (in Python a dict: "
                              "{'name': path})")  # fmt: skip
        if not name or any(mark in name for mark in "=,:{}"):
            raise ConfigError(f"$.data: {name!r} cannot be the name of a task; it stands in texts such as NAME=KIND,... so "
                              "leave out = , : { }")  # fmt: skip
        found[name] = entry
    return found


def _named(entry: Any, number: int) -> tuple[str, Any]:
    if not isinstance(entry, (str, Path)):
        return f"data{number}", entry
    name, equals, place = str(entry).partition("=")
    if equals and not Path(entry).exists():
        return name.strip(), place
    path = Path(entry)
    plain = path.stem.lower() in PLAIN or path.stem.lower() in SIDES
    return (path.resolve().parent.name if plain else path.stem), path


def lasting(data: Sequence[Any] | Mapping[str, Any]) -> dict[str, str]:
    """Absolute paths by name; empty where one of the data sets comes from memory.

    Raises:
        ConfigError: as ``by_name``, or there is a single one.
    """
    found = by_name(data)
    if len(found) == 1:
        raise ConfigError("$.data: several data sets were asked for and there is one; give it without --data")
    if not all(isinstance(entry, (str, Path)) for entry in found.values()):
        return {}
    return {name: runs.same_disk_path(entry) for name, entry in found.items()}


def gathered(settings: Settings, store: Store, data: Any = None) -> tuple[Dataset, str]:
    """One data set of several, each read, checked and split by itself, and ``NAME=KIND,...`` of its tasks.

    The sides are declared.

    Raises:
        DataError: one cannot be read or learned from (named), or they are of different modalities.
    """
    sources = by_name(data if data is not None else settings.datasets)
    columns = _columns(settings.labels, sources)
    kinds = _kinds(settings.task, sources)
    parts = {}
    for name, source in sources.items():
        options = {key: getattr(settings, key) for key in ("paths", "text", "group", "modality")}
        options |= {"labels": columns.get(name)}
        try:
            part = source if isinstance(source, Dataset) else read_data(source, **{k: v for k, v in options.items() if v})
            parts[name] = part
        except DataError as problem:
            raise DataError(f"The data set {name!r}: {problem}") from None
    one_modality(parts)
    for name, part in parts.items():
        try:
            _one_column(part)
            kinds[name] = stated(kinds.get(name, AUTO), part.labels or []).task
            parts[name] = _split(part, settings, kinds[name], store)
        except DataError as problem:
            raise DataError(f"The data set {name!r}: {problem}") from None
    return joined(parts).with_notes(*_sizes(parts)), ",".join(f"{name}={kinds[name]}" for name in parts)


def one_modality(parts: Mapping[str, Dataset]) -> None:
    """
    Raises:
        DataError: the data sets hold different kinds of sample.
    """
    if len({part.modality for part in parts.values()}) > 1:
        listed = " and ".join(f"{nouns(part.modality)} ({name})" for name, part in parts.items())
        raise DataError(f"The data sets hold {listed}, and one model reads one kind of sample, so they cannot share a backbone. "
                        "Fit those of one kind together and the others by themselves")  # fmt: skip


def _one_column(part: Dataset) -> None:
    if part.labels is None:
        raise DataError("it has no labels, and every data set is a task of its own")
    if texts.columns(part.labels):
        raise DataError("it has several columns of labels, and of several data sets each has one. Give several columns of one "
                        "data set as --labels A,B")  # fmt: skip


def _split(part: Dataset, settings: Settings, kind: str, store: Store) -> Dataset:
    """The samples of one data set with the side of each, as a run of this data set alone would have it."""
    part = drop_unreadable(part, scan(part, store), settings.on_bad)
    classes = kind.partition(":")[0] in ("classification", "ordinal")
    labels, found = part.labels, scan(part, store)
    part = auditing.checked(part if classes else part.without_labels(), found, settings.waive)
    part = replace(part, labels=labels)
    strata = None if classes else learn(kind, labels or []).strata(labels or [])
    numbered = replace(part, names=[str(i) for i in range(len(part))])
    shots = settings.shots if classes else None
    cut = split(numbered, seed=settings.seed, shots=shots, clusters=clusters(found), strata=strata)
    rows = [int(name) for side in (cut.train, cut.valid, cut.test) for name in side.names]
    sides = [name for name, side in zip(SIDES, (cut.train, cut.valid, cut.test), strict=True) for _ in side.names]
    return replace(part.subset(rows), declared=sides).with_notes(*cut.notes)


def joined(parts: Mapping[str, Dataset], names: Sequence[str] = ()) -> Dataset:
    """The samples of all data sets; the label of each is in the column of its data set.

    Args:
        names: of all columns, if there are more than data sets.
    """
    columns = list(dict.fromkeys((*names, *parts)))
    grouped = any(part.groups is not None for part in parts.values())
    declared = all(part.declared is not None for part in parts.values())
    labels = [texts.joined(dict.fromkeys(columns) | {name: label}) for name, part in parts.items() for label in part.labels or ()]
    groups = [f"{name}: {part.names[i] if part.groups is None else part.groups[i]}"
              for name, part in parts.items() for i in range(len(part))] if grouped else None  # fmt: skip
    return Dataset(
        [item for part in parts.values() for item in part.items],
        [f"{name}: {entry}" for name, part in parts.items() for entry in part.names],
        labels,
        next(iter(parts.values())).modality,
        groups,
        [side for part in parts.values() for side in part.declared or ()] if declared else None,
        " + ".join(part.origin or name for name, part in parts.items()),
        tuple(f"{name}: {note}" for name, part in parts.items() for note in part.notes),
    )


def helpers_asked(given: Any) -> tuple[list[str], dict[str, Any]]:
    """What ``--helper`` or ``helper=`` names: questions as texts ("rotation", "masked:0.2"), and data sets by name.

    Args:
        given: a text, a data set, a list of these, or a dict of data sets by name.

    Raises:
        ConfigError: it is neither a question nor a data set; the nearest question is named.
    """
    if isinstance(given, Mapping):
        return [], by_name(given)
    entries = list(given) if isinstance(given, (list, tuple)) else [given]
    known = plugins.names("auxiliary")
    questions = [entry for entry in entries if isinstance(entry, str) and entry.partition(":")[0] in known]
    others = [entry for entry in entries if not (isinstance(entry, str) and entry.partition(":")[0] in known)]
    for entry in others:
        if isinstance(entry, str) and "=" not in entry and not Path(entry).exists():
            try:
                plugins.load("auxiliary", entry.partition(":")[0])
            except ConfigError as problem:
                raise ConfigError(f"$.helper: {problem} Nor is there a file or folder {entry!r}; a labelled data set is --helper "
                                  "NAME=PATH")  from None  # fmt: skip
    sources = by_name(others)
    if odd := [name for name in sources if name in known]:
        raise ConfigError(f"$.helper: {odd[0]!r} is the name of a question; name the data set otherwise, --helper NAME=PATH")
    return questions, sources


def helpers(settings: Settings, split: Split, store: Store, given: Mapping[str, Any]) -> dict[str, tuple[Dataset, str]]:
    """The data sets that train beside the target, by name, and what their labels state.

    Of one that declares sides the training samples are taken. Copies of the target's validation and test samples are left
    out, for what a helper shows of them would leak.

    Args:
        given: data sets by name that came from memory.

    Raises:
        DataError: one cannot be read or learned from, or holds another kind of sample than the target.
    """
    found = {}
    for name, source in {**settings.helpers, **given}.items():
        try:
            part = source if isinstance(source, Dataset) else read_data(source)
            if part.modality != split.train.modality:
                raise DataError(f"it holds {nouns(part.modality)} and the target {nouns(split.train.modality)}, and one model reads one kind "
                                "of sample. Choose a helper of the same kind")  # fmt: skip
            _one_column(part)
            found[name] = _helper(part, settings, split, store)
        except UnreadableError as problem:
            raise UnreadableError(f"The helper {name!r}: {problem}", problem.names) from None
        except DataError as problem:
            raise DataError(f"The helper {name!r}: {problem}") from None
    return found


def _helper(part: Dataset, settings: Settings, split: Split, store: Store) -> tuple[Dataset, str]:
    part = drop_unreadable(part, scan(part, store), settings.on_bad)
    if part.declared is not None:
        part = part.subset(np.flatnonzero(np.array(part.declared) == "train"))
    if not len(part):
        raise DataError("it has no training samples")
    kind = stated(AUTO, part.labels or []).task
    known = np.isfinite(learn(kind, part.labels or []).encode(part.labels or []).reshape(len(part), -1).astype(float)).any(1)
    held = [side.without_labels() for side in (split.valid, split.test) if side is not split.train]
    whole = Dataset([item for side in (part, *held) for item in side.items], [name for side in (part, *held) for name in side.names], None,
                    part.modality)  # fmt: skip
    alike = clusters(scan(whole, store))
    leaks = np.isin(alike[: len(part)], alike[len(part) :])
    rest = part.subset(np.flatnonzero(known & ~leaks))
    task = learn(kind, rest.labels or [])
    if task.kind == "classification" and len(task.outputs) < 2:
        raise DataError(f"it has {len(rest)} training samples of fewer than two classes, so there is nothing to learn from it")
    notes = [f"{int(leaks.sum())} of its samples are copies of validation or test samples of the target and were left out"] if leaks.any() else []
    return rest.with_notes(*notes), kind


def _sizes(parts: Mapping[str, Dataset]) -> list[str]:
    """How many samples each task trains on, where they differ much."""
    counts = {name: (part.declared or ()).count("train") for name, part in parts.items()}
    least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if counts[most] < MANY * max(1, counts[least]):
        return []
    return [f"{most} has {counts[most]} training samples and {least} {counts[least]}: without balancing {least} would hardly "
            "count, so fine-tuning draws from all alike; --set sampling=proportional does not"]  # fmt: skip


def _columns(labels: str | None, sources: Mapping[str, Any]) -> dict[str, str]:
    """Column of the labels by data set: ``one=label,other=category``, or one for all."""
    if not labels or "=" not in labels:
        return dict.fromkeys(sources, labels) if labels else {}
    found = dict(entry.partition("=")[::2] for entry in labels.split(","))
    if odd := [name for name in found if name not in sources]:
        raise ConfigError(f"$.labels: there is no data set {odd[0]!r}; there are {', '.join(sources)}")
    return found


def _kinds(task: str, sources: Mapping[str, Any]) -> dict[str, str]:
    """Kind of task by data set, as the user states them."""
    if "=" not in task:
        return dict.fromkeys(sources, task)
    found = dict(entry.partition("=")[::2] for entry in task.split(","))
    if odd := [name for name in found if name not in sources]:
        raise ConfigError(f"$.task: there is no data set {odd[0]!r}; there are {', '.join(sources)}")
    return found
