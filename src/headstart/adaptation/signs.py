"""Signs that a pair of domains is not what adaptation supposes: other shares of classes, missing ones, too far apart."""

from __future__ import annotations

import numpy as np

from headstart.adaptation.guard import FAR
from headstart.approaches._rows import Pair, scaling
from headstart.progress import hushed
from headstart.selection import Evidence, errors, probabilities
from headstart.shift.bbse import bbse_ratio

SHARE_MOVED = (
    0.15  # of the samples in another class than the source's balance says, from which on it is worth a warning
)
DRAWS, SURE = 50, 0.95  # how often chance is asked what it can do, and how sure the answer is
RARE = 0.2  # of the share that a class has in the source
OUTSIDE = 0.99  # quantile of the distances within the source
STRANGE = 0.25  # share of target rows beyond it from which on it is worth a warning
MOST = 2000  # rows whose distances are looked at


def warnings(
    pair: Pair, evidence: Evidence, kept: Evidence | None, distance: float, classes: tuple[str, ...]
) -> tuple[str, ...]:
    """In words. All are estimates from inputs; none has seen a label of the target.

    Shares of classes are estimated only where the domains overlap: the estimate supposes that each class looks the same in both.

    Args:
        evidence: of source-only.
        kept: of the candidate that was kept; None: labels of the target tell already whether the shift is bridged.
        distance: proxy A-distance of the domains, 0 to 2.
        classes: names of the classes.
    """
    shares = _balance(pair, evidence, classes) if distance < FAR else []
    return (*shares, *_distance(pair, evidence, kept, distance), *_strangers(pair))


def balance(pair: Pair, evidence: Evidence) -> np.ndarray:
    """(k,) estimated shares of the classes in the target, by BBSE: what the classifier says, less what it mixes up."""
    return _balanced(probabilities(evidence.source), pair.labels, probabilities(evidence.target))


def _balanced(source: np.ndarray, labels: np.ndarray, target: np.ndarray) -> np.ndarray:
    shares = np.bincount(labels, minlength=source.shape[1]) / len(labels)
    found = np.maximum(shares * bbse_ratio(source, labels, target), 0)
    return np.asarray(found / max(found.sum(), 1e-12))


def gap_by_chance(pair: Pair, evidence: Evidence) -> float:
    """The gap between the shares that an estimate seldom exceeds where the target has those of the source.

    Estimates from few rows, or by a classifier that mixes classes up, are far off: here source rows that were held out,
    drawn anew, stand for both domains.
    """
    rng, held_out = np.random.default_rng(0), probabilities(evidence.source)
    num, num_target, gaps = len(pair.labels), len(pair.target), []
    with hushed():
        for _ in range(max(5, min(DRAWS, 5000 // pair.num_classes))):
            rows, others = rng.integers(num, size=num), rng.integers(num, size=num_target)
            shares = np.bincount(pair.labels[rows], minlength=pair.num_classes) / num
            gaps.append(np.abs(_balanced(held_out[rows], pair.labels[rows], held_out[others]) - shares).sum() / 2)
    return float(np.quantile(gaps, SURE))


def _balance(pair: Pair, evidence: Evidence, classes: tuple[str, ...]) -> list[str]:
    shares = np.bincount(pair.labels, minlength=pair.num_classes) / len(pair.labels)
    found, moved = balance(pair, evidence), []
    gap = float(np.abs(found - shares).sum()) / 2
    if gap < SHARE_MOVED or gap < gap_by_chance(pair, evidence):
        return []
    missing = [i for i in range(len(shares)) if shares[i] > 0 and found[i] < RARE * shares[i]]
    order = np.argsort(-np.abs(found - shares))[:3]
    moved = [f"{classes[i]} {100 * shares[i]:.0f} % -> {100 * found[i]:.0f} %" for i in order]
    said = [f"label shift: the target seems to have other shares of the classes ({', '.join(moved)}; estimated); methods "
            "that align the domains as a whole then mix classes up"]  # fmt: skip
    if missing:
        names = ", ".join(classes[i] for i in missing[:5]) + (" and more" if len(missing) > 5 else "")
        said.append(f"classes of the source that the target seems to lack (estimated): {names}")
    return said


def _distance(pair: Pair, evidence: Evidence, kept: Evidence | None, distance: float) -> list[str]:
    if distance < FAR:
        return []
    said = (
        f"the domains are far apart: a classifier tells them apart almost always (proxy A-distance {distance:.2f} of 2)"
    )
    if kept is None:
        return [said]
    chance = float(np.bincount(pair.labels).max()) / len(pair.labels)
    back, known = 1 - errors(kept.back, pair.labels).mean(), 1 - errors(evidence.source, pair.labels).mean()
    if back - chance < (known - chance) / 2:
        return [f"{said}, and of what is known about the source less than half survives the way to the target and back "
                f"(accuracy {known:.2f}, and {back:.2f} after it): this shift may be too large to bridge; label some "
                "target samples"]  # fmt: skip
    return [said]


def _strangers(pair: Pair) -> list[str]:
    """Target rows farther from every source row than source rows are from each other."""
    rng = np.random.default_rng(0)
    scaled = scaling(pair.source, pair.target)
    source, target = (
        scaled(rows[np.sort(rng.permutation(len(rows))[:MOST])]).astype(np.float32)
        for rows in (pair.source, pair.target)
    )
    within, across = _nearest(source, source, own=True), _nearest(target, source, own=False)
    share = float((across > np.quantile(within, OUTSIDE)).mean())
    if share < STRANGE:
        return []
    return [f"{100 * share:.0f} % of the target samples lie farther from every source sample than 99 % of source samples "
            "from their nearest one: they may be of classes that the source lacks, or the shift is large"]  # fmt: skip


def _nearest(rows: np.ndarray, others: np.ndarray, *, own: bool) -> np.ndarray:
    """(n,) squared distance of each row to the nearest of the others, (m, dim); ``own``: they are the same rows."""
    found = (rows**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * rows @ others.T
    if own:
        np.fill_diagonal(found, np.inf)
    return np.asarray(found.min(1))
