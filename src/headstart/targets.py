"""A run with a target domain: its samples without labels, what is adapted to them, and the verdict where labels exist."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.candidates import Candidate
from headstart.data import Dataset, Split
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.modalities import counted, nouns
from headstart.errors import ConfigError, DataError
from headstart.progress import say
from headstart.runs import Settings
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.evaluation.baselines import Baseline
    from headstart.models.backbone import Backbone
    from headstart.tasks import Task
    from headstart.training.run import Run

LEAST_JUDGED = 10  # labelled target samples; with fewer no verdict can be clear


@dataclass(frozen=True)
class Target:
    """The target of a run.

    Attributes:
        unlabeled: what methods get: no labels by construction.
        judged: labelled samples for the verdict, and nothing else; None where there are too few.
        labelled: other samples with labels that may be learned from; None unless the user said so.
        notes: what the user must know about both.
    """

    unlabeled: Dataset
    judged: Dataset | None
    notes: tuple[str, ...]
    labelled: Dataset | None = None


def read_target(settings: Settings, split: Split, store: Store, given: Any = None) -> Target:
    """The target's samples, checked against those of the source; its labels, if any, are set apart.

    Labels serve the verdict, unless ``settings.target_labels`` is "learn": then those of the declared training part may be
    learned from, or half of them; all where they are too few to judge by as well.

    Args:
        given: the target itself, where it comes from memory.

    Raises:
        DataError: it cannot be read, is of another kind than the source, or has a single sample.
    """
    whole, notes = _read(settings, split.train.modality, given)
    whole = drop_unreadable(whole, scan(whole, store), settings.on_bad)
    notes += whole.notes
    if len(whole) < 2:
        raise DataError(
            f"The target {whole.origin} has {len(whole)} sample, which says nothing about a distribution. Give at least 2; "
            "a few dozen make adaptation worth while."
        )
    if split.train.modality == "table":
        notes += _columns(split.train, whole)
    copies, alike = _copies(split, whole, store)
    if copies.any():
        notes += (f"{counted(int(copies.sum()), whole.modality)} of the target {'are' if copies.sum() > 1 else 'is'} a (near-)"
                  f"copy of a source sample: adaptation uses {'them' if copies.sum() > 1 else 'it'}, the verdict does not",)  # fmt: skip
    rows, usable, told = _sides(whole, copies, split.train.classes)
    learn, more = usable[:0], list(told)
    if settings.target_labels == "learn":
        learn, usable, said = _shared(whole, copies, alike, usable, split.train.classes, settings.seed)
        more.append(said)
    judged = whole.subset(usable) if len(usable) >= LEAST_JUDGED else None
    if whole.labels is not None and judged is None:
        more.append(f"{len(usable)} labelled target samples are too few for a verdict (at least {LEAST_JUDGED})")
    for note in (*notes, *more):
        say(f"note: {note}")
    say(f"{counted(len(rows), whole.modality)} of the target for adaptation, without labels; "
        f"{len(judged) if judged else 0} labelled ones for the verdict only")  # fmt: skip
    unlabeled = replace(whole.subset(rows), labels=None, declared=None, notes=())
    return Target(unlabeled, judged, (*notes, *more), whole.subset(learn) if len(learn) else None)


def _read(settings: Settings, modality: str, given: Any) -> tuple[Dataset, tuple[str, ...]]:
    source = settings.target if given is None else given
    if isinstance(source, Dataset):
        if source.modality != modality:
            raise DataError(f"The target holds {nouns(source.modality)} and the source {nouns(modality)}.")
        return source, ()
    reading: dict[str, Any] = {name: getattr(settings, name) for name in ("labels", "paths", "text")}
    reading = {name: value for name, value in reading.items() if value} | {"modality": modality}
    try:
        return _with_unlabelled(read_data(source, **reading), source, reading)
    except DataError as problem:
        try:
            found = read_data(source, **{**reading, "labels": None})
        except DataError as other:
            raise DataError(f"The target cannot be read: {other}") from problem
        where = Path(source).name if isinstance(source, (str, Path)) else "the target"
        return found, (f"{where} was read without labels",)


def _with_unlabelled(found: Dataset, source: Any, reading: dict[str, Any]) -> tuple[Dataset, tuple[str, ...]]:
    """Samples without a label, which reading leaves out, are samples of the target as well: theirs is ""."""
    if found.labels is None or not isinstance(source, (str, Path)):
        return found, ()
    every = read_data(source, **{**reading, "labels": None})
    if len(every) <= len(found):
        return found, ()
    items, known = every.items, dict(zip(found.names, found.labels, strict=True))
    if found.modality == "table":  # without the column of labels, which is no feature
        columns = list(found.items[0])  # type: ignore[arg-type]
        items = [{name: row[name] for name in columns} for row in items]  # type: ignore[index]
    labels = [known.get(name, "") for name in every.names]
    said = f"{len(every) - len(found)} of {len(every)} samples of the target have no label: they are adapted to as well"
    return replace(every, items=items, labels=labels, notes=()), (said,)


def _columns(source: Dataset, target: Dataset) -> tuple[str, ...]:
    """What differs between the columns of two tables.

    Raises:
        DataError: the target has none of the source's columns.
    """
    ours, theirs = ({name: None for row in part.items for name in row} for part in (source, target))  # type: ignore[union-attr]
    lacking, extra = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
    if len(lacking) == len(ours):
        raise DataError(
            f"The target has none of the source's {len(ours)} columns ({_some(ours)}); it has {_some(theirs)}. Both domains "
            "need the same columns; rename them."
        )
    notes = []
    if lacking:
        notes.append(
            f"the target lacks {len(lacking)} of {len(ours)} columns ({_some(lacking)}): they count as missing there"
        )
    if extra:
        notes.append(f"columns of the target that the source lacks are not used: {_some(extra)}")
    return tuple(notes)


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _copies(split: Split, target: Dataset, store: Store) -> tuple[np.ndarray, np.ndarray]:
    """(m,) whether each target sample is a copy or near-copy of one of the source; and numbers, equal for copies."""
    parts = [split.train, *(part for part in (split.valid, split.test) if part is not split.train), target]
    items = [item for part in parts for item in part.items]
    names = [name for part in parts for name in part.names]
    alike = clusters(scan(Dataset(items, names, None, target.modality), store))
    num = len(items) - len(target)
    return np.isin(alike[num:], alike[:num]), np.asarray(alike[num:])


def _sides(target: Dataset, copies: np.ndarray, classes: list[str]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Numbers of the rows to adapt to, of the labelled samples to judge on, and notes."""
    every = np.arange(len(target))
    if target.labels is None:
        return every, every[:0], ("the target has no labels, so nothing is claimed about it: the scores are those of the source's "
                             "test samples",)  # fmt: skip
    labels, notes = np.array(target.labels, dtype=object), ["the target carries labels: they were set apart, no method sees "
                                                            "them, and only the verdict uses them"]  # fmt: skip
    known = np.isin(labels.astype(str), classes)
    strange = ~known & (labels != "")
    strangers = sorted(set(labels[strange]))
    if strangers:
        notes.append(
            f"warning: {int(strange.sum())} target samples are of classes that the source lacks ({_some(strangers)}); they "
            "cannot be predicted, and are left out of the verdict"
        )
    if absent := sorted(set(classes) - set(labels)):
        notes.append(f"classes of the source that the target lacks, by its labels: {_some(absent)}")
    rows, usable = every, known & ~copies
    if target.declared is not None and "test" in target.declared and "train" in target.declared:
        held_out = np.array(target.declared) == "test"
        rows, usable = every[~held_out], usable & held_out
        notes.append("the target declares a test part: only that is judged, and methods get the inputs of the rest")
    return rows, np.flatnonzero(usable), tuple(notes)


def _shared(
    target: Dataset, copies: np.ndarray, alike: np.ndarray, usable: np.ndarray, classes: list[str], seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Numbers of the labelled samples to learn from, of those to judge on, and what is said of it.

    Raises:
        DataError: no sample of the target has a label that could be learned from.
    """
    labels = np.array(target.labels or [""] * len(target), dtype=object).astype(str)
    if target.declared is not None and {"test", "train"} <= set(target.declared):
        learn = np.flatnonzero(np.isin(labels, classes) & ~copies & (np.array(target.declared) != "test"))
    elif len(usable) < 2 * LEAST_JUDGED:
        learn, usable = usable, usable[:0]
    else:
        order = np.random.default_rng(seed).permutation(usable)
        order = order[np.argsort(labels[order], kind="stable")]
        sides: dict[int, int] = {}
        side = np.array([sides.setdefault(int(alike[i]), len(sides) % 2) for i in order])
        learn, usable = np.sort(order[side == 0]), np.sort(order[side == 1])
    if not len(learn):
        raise DataError(
            "The labels of the target are to be learned from (target_labels learn), and none of its samples has a label of "
            f"the source's classes ({_some(classes)}). Label a few, or leave --target-labels out."
        )
    return learn, usable, f"{len(learn)} labelled target samples are learned from, as you asked, and never judged on"


def adapt(
    approach: Approach | None, backbone: Backbone, task: Task, split: Split, run: Run
) -> tuple[Candidate, list[str], dict[str, Any]]:
    """What is fitted for the target, why, and what ``auto`` looked at.

    Raises:
        ConfigError: the approach takes no notice of a target.
    """
    from headstart.approaches._adaptation import Adaptation, classes_of, paired
    from headstart.predictor import Predictor

    begun = time.perf_counter()
    if approach is not None:
        name = type(approach).__module__.rpartition(".")[2]
        if not isinstance(approach, Adaptation):
            raise ConfigError(
                f"$.approach: {name} takes no notice of a target. Adapting are {', '.join(adapting())}, and auto, which "
                "chooses; or fit without --target, and judge on it with: headstart evaluate RUN TARGET"
            )
        if split.labelled is not None and not approach.uses_known:
            raise ConfigError(
                f"$.approach: {name} makes no use of the target's labels (--target-labels learn). Those that do are "
                f"{', '.join(n for n in adapting(uses_known=True))}, and auto, which chooses; or leave --target-labels out."
            )
        predictor = approach.fit(backbone, task, split, run.named(name))
        return _candidate(name, approach, predictor, task, split, run, begun), [f"you asked for {name}"], {}
    from headstart.adaptation.choosing import choose

    classes_of(task)
    pair = paired(backbone, task, split, run)
    choice = choose(pair, run.named("auto"), tuple(task.to_dict()["classes"]))
    predictor = Predictor(backbone.eval(), choice.head.eval(), task, split.train.modality)
    found = _candidate(choice.name, choice.approach, predictor, task, split, run, begun)
    reasons = [*choice.reasons, *(f"warning: {text}" for text in choice.warnings)]
    return found, reasons, {"candidates": list(choice.table), "warnings": list(choice.warnings)}


def adapting(*, uses_known: bool = False) -> list[str]:
    """The approaches that adapt to a target; or only those that learn from its labels."""
    from headstart import plugins
    from headstart.approaches import Approach
    from headstart.approaches._adaptation import Adaptation

    kinds = {name: plugins.variant("approaches", name, Approach) for name in plugins.names("approaches")}
    found = {name: kind for name, kind in kinds.items() if issubclass(kind, Adaptation)}
    return [name for name, kind in found.items() if kind.uses_known or not uses_known]


def _candidate(
    name: str, approach: Approach, predictor: Any, task: Task, split: Split, run: Run, begun: float
) -> Candidate:  # fmt: skip
    valid = task.score(predictor.probabilities(split.valid, run.store), split.valid.labels or [])
    return Candidate(name, approach, predictor, valid, time.perf_counter() - begun)


def rivals(
    best: Candidate, backbone: Backbone, task: Task, split: Split, judged: Dataset, run: Run
) -> dict[str, Baseline]:
    """What the verdict on the target compares with: source-only, and, where the backbone moved, the same training alone."""
    from headstart.approaches._aligned import Aligned
    from headstart.approaches.source_only import SourceOnly
    from headstart.evaluation.baselines import Baseline

    found = {}
    begun = time.perf_counter()
    plain = SourceOnly().fit(backbone, task, split, run.named("source_only"))
    found["source_only"] = Baseline(
        plain.probabilities(judged, run.store), "source-only", "logistic regression on the features of the source alone",
        time.perf_counter() - begun,
    )  # fmt: skip
    if isinstance(best.approach, Aligned) and best.approach.on == "inputs" and best.approach.weight:
        say("baseline: the same training without the target")
        begun = time.perf_counter()
        alone = replace(best.approach, weight=0.0, own_labels=0.0).fit(backbone, task, split, run.named("unaligned"))
        found["unaligned"] = Baseline(
            alone.probabilities(judged), "the same training without the target", "the same settings with weight 0",
            time.perf_counter() - begun,
        )  # fmt: skip
    return found


def no_verdict(settings: Settings, kept: str, judged: Dataset | None) -> dict[str, str]:
    """Why a run with a target ends without a verdict, for its result; empty where it has one, or no target."""
    if settings.target is None:
        return {}
    if judged is None:
        return {"no_verdict": "the target has too few labelled samples, so nothing is claimed about it; the scores are those of "
                              "the source's test samples"}  # fmt: skip
    if kept == "source_only":
        return {
            "no_verdict": "source-only was kept, so there is nothing to compare; the scores are those of the target"
        }
    return {"no_verdict": "no baseline was trained"} if settings.baseline == "none" else {}
