"""Everything that is measured between two tables of features, before and after a method has moved them.

What a method is worth is measured on rows that it was not fitted on: one half of each domain fits it, and the directions
of the map; the other half is measured and drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import LogisticRegression

from headstart.errors import DataError
from headstart.progress import say
from headstart.shift import Adapter, load
from headstart.shift._measures import (
    ClassShift,
    FeatureShift,
    class_contributions,
    coral_distance,
    feature_contributions,
    mmd,
    proxy_a_distance,
)
from headstart.shift._moments import principal

LEAST_SIGNIFICANT = 0.05
DRAWN = 400  # points of a domain in the map
HALVES = 12  # rows of a domain below which there are no halves: all rows fit, all are measured
WIDEST = 1500  # features beyond which the method works on the leading principal components
COMPONENTS = 256  # of them
PERMUTATIONS = 500


@dataclass(frozen=True)
class Distances:
    """How far apart two samples are; see the functions of the same names."""

    mmd: float
    p_value: float
    proxy_a_distance: float
    coral_distance: float


@dataclass(frozen=True)
class Effect:
    """What one method does.

    Attributes:
        method: its name.
        held_out: whether it was measured on rows that it was not fitted on.
        before, after: distances of these rows.
    """

    method: str
    held_out: bool
    before: Distances
    after: Distances


@dataclass(frozen=True)
class Map:
    """Rows in two dimensions: across, the direction in which the domains differ most; up, in which rows vary most.

    Attributes:
        source, target: before, (num, 2).
        moved_source, moved_target: after.
    """

    source: list[list[float]]
    target: list[list[float]]
    moved_source: list[list[float]]
    moved_target: list[list[float]]


@dataclass(frozen=True)
class Compared:
    """What ``compare`` found.

    Attributes:
        dim: features that vary.
        distances: of all rows.
        num_permutations: behind each p-value.
        features: the one that differs most first; num_shifted: how many differ by more than chance.
        classes: the one that differs most first; empty without labels.
        effect: of the method.
        map: for the report.
        notes: what was left out.
    """

    dim: int
    distances: Distances
    features: list[FeatureShift]
    num_shifted: int
    classes: list[ClassShift]
    effect: Effect
    map: Map
    num_permutations: int
    notes: tuple[str, ...] = field(default=())


def compare(
    source: np.ndarray, target: np.ndarray, labels: Sequence[str] | None, target_labels: Sequence[str] | None,
    names: Sequence[str], method: str, seed: int,
) -> Compared:  # fmt: skip
    """Measure (num_source, dim) against (num_target, dim), whose columns have these names; see ``measure_shift``.

    Features are put on one scale first: their mean is 0 and their variance 1 over both domains, which weigh the same.

    Raises:
        DataError: no feature varies.
    """
    (a, b), kept, notes = scaled(source, target)
    found = feature_contributions(a, b)
    features = [_named(shift, names[kept[int(shift.feature)]]) for shift in found]
    classes: list[ClassShift] = []
    if labels is not None:
        if len(set(labels)) > 1:
            classes, more = _classes(a, b, np.asarray(labels), target_labels)
            notes += more
        else:
            notes.append("the source has one class only, so the classes are not compared")
    effect, drawn, more = _effect(a, b, method, seed)
    return Compared(
        dim=len(kept),
        distances=distances(a, b, seed),
        features=features,
        num_shifted=sum(shift.p_value < LEAST_SIGNIFICANT for shift in features),
        classes=classes,
        effect=effect,
        map=drawn,
        num_permutations=PERMUTATIONS,
        notes=(*notes, *more),
    )


def distances(a: np.ndarray, b: np.ndarray, seed: int) -> Distances:
    found = mmd(a, b, num_permutations=PERMUTATIONS, seed=seed)
    return Distances(found.value, found.p_value, proxy_a_distance(a, b, seed=seed), coral_distance(a, b))


def scaled(source: np.ndarray, target: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, list[str]]:
    """Both samples on one scale, the columns that are left, and a note of those that never vary."""
    means = [x.mean(0, dtype=np.float64) for x in (source, target)]
    centre = (means[0] + means[1]) / 2
    spread = [np.square(x.astype(np.float64) - centre).mean(0) for x in (source, target)]
    deviation = np.sqrt((spread[0] + spread[1]) / 2)
    kept = np.flatnonzero(deviation > 1e-6 * np.maximum(1.0, np.abs(centre)))
    if not len(kept):
        raise DataError(
            "No feature varies: all samples of both domains look the same to the model, so nothing can be compared."
        )
    left = len(centre) - len(kept)
    notes = [f"{left} of {len(centre)} features are the same in all samples and were left out"] if left else []
    a, b = ((x[:, kept] - centre[kept]) / deviation[kept] for x in (source, target))
    return (a, b), kept, notes


def _named(shift: FeatureShift, name: str) -> FeatureShift:
    return FeatureShift(name, shift.mean_difference, shift.scale_ratio, shift.distance, shift.p_value)


def _classes(
    a: np.ndarray, b: np.ndarray, labels: np.ndarray, target_labels: Sequence[str] | None
) -> tuple[list[ClassShift], list[str]]:
    notes = []
    known = None if target_labels is None else np.asarray(target_labels)
    if known is not None and (strange := sorted(set(known) - set(labels))):
        inside = np.isin(known, labels)
        notes.append(
            f"{int((~inside).sum())} target samples of classes that the source lacks ({', '.join(strange[:5])}) are in no "
            "row of the class table"
        )
        if not inside.any():
            return [], notes
        b, known = b[inside], known[inside]
    return class_contributions(a, b, labels, known), notes


def _effect(a: np.ndarray, b: np.ndarray, name: str, seed: int) -> tuple[Effect, Map, list[str]]:
    generator = np.random.default_rng(seed)
    halves, notes = [], []
    held_out = min(len(a), len(b)) >= HALVES
    for x in (a, b):
        order = generator.permutation(len(x))
        halves.append((x[order[: len(x) // 2]], x[order[len(x) // 2 :]]) if held_out else (x, x))
    (fit_a, new_a), (fit_b, new_b) = halves
    if not held_out:
        notes.append(f"fewer than {HALVES} samples in a domain: what {name} does is shown on the rows it was fitted on")
    if a.shape[1] > WIDEST:
        basis = _basis(np.vstack([fit_a, fit_b]))
        notes.append(f"{name} works on the {basis.shape[1]} leading principal components of the {a.shape[1]} features")
        fit_a, fit_b, new_a, new_b = (x @ basis for x in (fit_a, fit_b, new_a, new_b))
    method = load(name)()
    assert isinstance(method, Adapter), "the caller names an adapter"
    method.fit(fit_a, fit_b)
    moved = method.transform(new_a, domain="source"), method.transform(new_b)
    moved_fit = method.transform(fit_a, domain="source"), method.transform(fit_b)
    effect = Effect(name, held_out, distances(new_a, new_b, seed), distances(*moved, seed))
    before = axes(fit_a, fit_b)
    same = moved[0].shape[1] == new_a.shape[1] and np.array_equal(moved[1], new_b)
    after = before if same else axes(*moved_fit)  # the target stays where it was: the source is seen to move
    points = [_points(x[:DRAWN], after if i > 1 else before) for i, x in enumerate((new_a, new_b, *moved))]
    if max(len(new_a), len(new_b)) > DRAWN:
        say(f"The map shows {DRAWN} random samples of each domain.")
    return effect, Map(*points), notes


def _basis(rows: np.ndarray) -> np.ndarray:
    """(dim, found) leading principal axes."""
    return principal(rows, min(COMPONENTS, *rows.shape))[1]


def axes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(dim, 2): the direction of a linear classifier of the domains, and across it that of the largest variance."""
    rows, side = np.concatenate([a, b]), np.repeat([0, 1], (len(a), len(b)))
    scale = max(float(rows.std()), 1e-12)
    classifier = LogisticRegression(C=100 / len(rows), max_iter=1000, class_weight="balanced")
    first = classifier.fit(rows / scale, side).coef_[0].astype(np.float64)
    if not first.any():
        first = np.eye(len(first))[0]
    first /= np.linalg.norm(first)
    centred = rows - rows.mean(0)
    across = centred - np.outer(centred @ first, first)
    second = principal(across, 1)[1][:, 0] if len(first) > 1 and across.any() else np.zeros(len(first))
    return np.stack([first, second], axis=1)


def _points(rows: np.ndarray, directions: np.ndarray) -> list[list[float]]:
    return [[round(float(x), 4), round(float(y), 4)] for x, y in rows @ directions]
