"""Split a data set into training, validation and test so that nothing leaks from one side to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.duplicates import joined
from headstart.data.modalities import nouns
from headstart.errors import ConfigError, DataError

SIDES = ("train", "valid", "test")
TRAIN, VALID, TEST, OUT = 0, 1, 2, -1


@dataclass(frozen=True)
class Split:
    """Three sides that share no sample, no group and no copies.

    Attributes:
        train, valid, test: labelled samples.
        unlabeled: inputs of a target domain, without labels, so that no method can peek.
        labelled: samples of the target whose labels may be learned from, where the user said so.
        notes: what the user must know about how the sides came about.
        task: what the labels state, as ``tasks.learn`` takes it.
        helpers: by name, samples of other labelled data sets to train beside, and what their labels state.
    """

    train: Dataset
    valid: Dataset
    test: Dataset
    unlabeled: Dataset | None = None
    notes: tuple[str, ...] = ()
    task: str = "classification"
    labelled: Dataset | None = None
    helpers: Mapping[str, tuple[Dataset, str]] = field(default_factory=dict)


def split(
    dataset: Dataset,
    *,
    seed: int = 0,
    shots: int | None = None,
    clusters: Sequence[int] | np.ndarray | None = None,
    strata: Sequence[str] | None = None,
    test: float = 0.2,
    valid: float = 0.2,
) -> Split:
    """Split by class, keeping groups and copies on one side; splits that the data brings are respected.

    Args:
        dataset: n labelled samples.
        seed: the same seed gives the same split.
        shots: keep this many training samples of each class, and at most as many for validation.
        clusters: n integers, equal for copies, as ``duplicates.clusters`` returns them.
        strata: n names of what to spread alike over the sides where labels are no classes; then nothing is asked of them.
        test: share of the test side, if the data brings none.
        valid: share of the validation side, if the data brings none.

    Raises:
        DataError: no labels, fewer than two classes, a class with one sample, or a class that training lacks.
        ConfigError: ``shots``, ``test`` or ``valid`` is out of range.
    """
    if not (0 <= test < 1 and 0 <= valid < 1 and test + valid < 1):
        raise ConfigError(f"test={test} and valid={valid}: expected shares of at least 0 that add up to less than 1")
    if shots is not None and shots < 1:
        raise ConfigError(f"shots={shots}: expected at least 1 training sample of each class")
    codes = _codes(dataset) if strata is None else _strata(dataset, strata, shots)
    alike = np.arange(len(dataset)) if clusters is None else np.asarray(clusters)
    if len(alike) != len(dataset):
        raise ValueError(f"clusters has {len(alike)} entries for {len(dataset)} samples")
    groups = np.arange(len(dataset)) if dataset.groups is None else _numbers(dataset.groups)
    rng = np.random.default_rng(seed)
    if dataset.declared is None:
        sides, notes = _cut(codes, groups, alike, {VALID: valid, TEST: test}, rng)
        notes += _one_sided(dataset, codes, sides, test, valid) if strata is None else []
    else:
        sides, notes = _respect(dataset, codes, groups, alike, {VALID: valid, TEST: test}, rng)
    if strata is None:
        _check_classes(dataset, sides)
    if shots is not None:
        notes += _limit(dataset, codes, sides, shots, rng)
    train, validation, held_out = (dataset.subset(np.flatnonzero(sides == side)) for side in range(3))
    return Split(train, validation, held_out, notes=tuple(notes))


def with_validation(found: Split, why: str = "too few samples for a validation part") -> Split:
    """The split with its training samples as validation part where it has none, which its notes then say."""
    if len(found.valid):
        return found
    note = f"{why}; what has to be chosen is chosen on the training samples"
    return replace(found, valid=found.train, notes=(*found.notes, note))


def _codes(dataset: Dataset) -> np.ndarray:
    """Class numbers of shape (n,), after the checks that need no sides."""
    if dataset.labels is None:
        raise DataError(f"The data {dataset.origin} carries no labels, so there is nothing to learn from")
    counts = dataset.counts()
    if len(counts) < 2:
        found = f"one class, {next(iter(counts))!r}" if counts else "no samples"
        raise DataError(f"The data {dataset.origin} has {found}; expected at least two classes to tell apart")
    single = [label for label, count in counts.items() if count == 1]
    if single and dataset.declared is None:
        raise DataError(
            f"{_names(single)} with a single sample: at least 2 are needed to learn and to test, better 3, "
            "so that one "
            "can go to validation. Add samples or leave the class out"
        )
    return _numbers(dataset.labels)


def _strata(dataset: Dataset, strata: Sequence[str], shots: int | None) -> np.ndarray:
    """Stratum numbers of shape (n,), after the checks that need no sides."""
    if len(strata) < 3:
        raise DataError(f"The data {dataset.origin} has {len(strata)} labelled samples; expected at least three, so that "
                        "one can be learned from, one chosen by and one tested on")  # fmt: skip
    if shots is not None:
        raise ConfigError("$.shots: shots count the samples of a class, and these labels are no classes. Leave it out")
    return _numbers(strata)


def _numbers(values: Sequence[str]) -> np.ndarray:
    return np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)[1]


def _names(labels: Iterable[str]) -> str:
    texts = [repr(label) for label in labels]
    more = f" and {len(texts) - 5} more" if len(texts) > 5 else ""
    return ("class " if len(texts) == 1 else "classes ") + ", ".join(texts[:5]) + more


def _cut(
    codes: np.ndarray,
    groups: np.ndarray,
    alike: np.ndarray,
    shares: dict[int, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[str]]:
    """The side of each sample: a plain stratified split, then copies that it parts are brought together.

    Returns:
        sides of shape (n,) and notes.
    """
    wanted = _wanted(codes, shares)  # (3, classes)
    sides = np.full(len(codes), OUT)
    if len(np.unique(groups)) == len(groups):
        for code in range(wanted.shape[1]):
            members = rng.permutation(np.flatnonzero(codes == code))
            sides[members] = np.repeat(np.arange(3), wanted[:, code])
    else:
        _place(codes, groups, sides, wanted, rng)
    units = joined(groups, np.stack([np.arange(len(alike)), joined(alike, np.zeros((0, 2), int))], axis=1))
    low, high = np.full(len(codes), 3), np.full(len(codes), OUT)
    np.minimum.at(low, units, sides)
    np.maximum.at(high, units, sides)
    parted = (low < high)[units]
    if not parted.any():
        return sides, []
    plain = sides.copy()
    sides[parted] = OUT
    _place(codes, units, sides, wanted, rng)
    moved = int((plain != sides).sum())
    return sides, [
        f"to keep near-copies together, {moved} of {len(sides)} samples stand on another side than a plain "
        "split gives them"
    ]


def _wanted(codes: np.ndarray, shares: dict[int, float]) -> np.ndarray:
    """Samples of each side and class, int of shape (3, classes); of two samples, one is for the test."""
    counts = np.bincount(codes)
    wanted = np.zeros((3, len(counts)), int)
    left = counts - 1  # one must stay in training
    for side in (TEST, VALID):
        if share := shares.get(side, 0):
            wanted[side] = np.minimum(np.maximum(np.rint(counts * share), 1), np.maximum(left, 0))
            left = left - wanted[side]
    wanted[TRAIN] = counts - wanted[VALID] - wanted[TEST]
    return wanted


def _place(
    codes: np.ndarray, units: np.ndarray, sides: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> None:
    """Give each unit without a side the one that fits best, the largest units first; changes ``sides``.

    A class's first unit goes to training. Then the side is taken on which the squared deviation from
    ``wanted``, weighted by the size of the class, grows least.
    """
    present = np.zeros(wanted.shape)
    np.add.at(present, (sides[sides != OUT], codes[sides != OUT]), 1)
    waiting = np.flatnonzero(sides == OUT)
    waiting = waiting[np.argsort(units[waiting], kind="stable")]
    members = np.split(waiting, np.flatnonzero(np.diff(units[waiting])) + 1)
    members = sorted((members[i] for i in rng.permutation(len(members))), key=len, reverse=True)
    weight = 1 / np.maximum(wanted.sum(axis=0), 1)
    for unit in members:
        classes, counts = np.unique(codes[unit], return_counts=True)
        growth = counts * (counts + 2 * (present[:, classes] - wanted[:, classes])) * weight[classes]
        cost = growth.sum(axis=1)
        cost[wanted.sum(axis=1) == 0] = np.inf
        is_first = (present[TRAIN, classes] == 0).any()
        choice = TRAIN if is_first else min((TRAIN, TEST, VALID), key=cost.__getitem__)
        sides[unit] = choice
        present[choice, classes] += counts


def _respect(
    dataset: Dataset,
    codes: np.ndarray,
    groups: np.ndarray,
    alike: np.ndarray,
    shares: dict[int, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[str]]:
    """The declared sides, less the copies that leak, with missing sides cut out of training."""
    sides = np.array([SIDES.index(name) for name in dataset.declared or ()])
    if not (sides == TRAIN).any():
        raise DataError(f"The data {dataset.origin} declares {_declared(sides)} and no training samples; add train/")
    notes = []
    straddling = _straddling(groups, sides)
    if straddling:
        notes.append(
            f"warning: {straddling} groups have samples in more than one of the declared splits, so the "
            "test result may "
            "be too good; split by group to avoid it"
        )
    for kept, cleared in ((TEST, (TRAIN, VALID)), (VALID, (TRAIN,))):
        for side in cleared:
            copies = (sides == side) & np.isin(alike, alike[sides == kept])
            if copies.any():
                what = "training" if side == TRAIN else "validation"
                notes.append(
                    f"{copies.sum()} {nouns(dataset.modality)} in {SIDES[side]}/ were (near-)copies of {SIDES[kept]} "
                    f"{nouns(dataset.modality)} and were moved out of {what}"
                )
                sides[copies] = OUT
    absent = {side: share for side, share in shares.items() if share and not (sides == side).any()}
    pool = np.flatnonzero(sides == TRAIN)
    if absent and len(pool):
        numbers = np.unique(codes[pool], return_inverse=True)[1]
        sides[pool], moved = _cut(numbers, groups[pool], alike[pool], absent, rng)
        cut = " and ".join(f"{(sides == side).sum()} for {SIDES[side]}" for side in absent)
        notes += [
            f"the data declares no {_listed(absent)} split, so samples were taken out of training: {cut}",
            *moved,
        ]
    return sides, notes


def _declared(sides: np.ndarray) -> str:
    return " and ".join(SIDES[side] for side in np.unique(sides)) or "nothing"


def _listed(sides: Iterable[int]) -> str:
    return " and no ".join(SIDES[side] for side in sides)


def _straddling(groups: np.ndarray, sides: np.ndarray) -> int:
    pairs = np.unique(np.stack([groups, sides], axis=1), axis=0)
    return int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum())


def _one_sided(dataset: Dataset, codes: np.ndarray, sides: np.ndarray, test: float, valid: float) -> list[str]:
    """A note for each side on which classes are missing because their samples cannot be parted."""
    labels, notes = np.array(dataset.classes, dtype=object), []
    for side, share in ((TEST, test), (VALID, valid)):
        missing = np.setdiff1d(codes, codes[sides == side])
        if share and len(missing):
            notes.append(
                f"{SIDES[side]} has no sample of {_names(labels[missing])}: too few samples or groups that "
                "can be parted"
            )
    return notes


def _check_classes(dataset: Dataset, sides: np.ndarray) -> None:
    labels = np.asarray(dataset.labels, dtype=object)
    trained = set(labels[sides == TRAIN])
    for side in (TEST, VALID):
        strangers = sorted(set(labels[sides == side]) - trained)
        if strangers:
            raise DataError(
                f"The {SIDES[side]} split has {_names(strangers)}, which training lacks (copies of "
                f"{SIDES[side]} samples "
                "do not count for training). Expected every class in training; add samples or leave the "
                "class out"
            )
    if len(trained) < 2:
        raise DataError(f"Training has one class only, {_names(sorted(trained))}; expected at least two")


def _limit(dataset: Dataset, codes: np.ndarray, sides: np.ndarray, shots: int, rng: np.random.Generator) -> list[str]:
    """Leave out training and validation samples beyond ``shots`` a class; changes ``sides``."""
    order = rng.permutation(len(codes))
    for side in (TRAIN, VALID):
        taken: Counter[int] = Counter()
        for i in order[sides[order] == side]:
            taken[codes[i]] += 1
            if taken[codes[i]] > shots:
                sides[i] = OUT
    counts = np.bincount(codes[sides == TRAIN], minlength=codes.max() + 1)
    short = [f"{label!r} ({count})" for label, count in zip(dataset.classes, counts, strict=True) if count < shots]
    notes = [f"training was limited to {shots} samples a class, validation to at most as many"]
    return notes + ([f"fewer than {shots} training samples, all taken: {', '.join(short)}"] if short else [])
