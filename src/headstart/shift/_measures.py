"""How far apart are two samples, and where: pure functions on two tables of rows.

MMD: Gretton, Borgwardt, Rasch, Schoelkopf, Smola: A Kernel Two-Sample Test, JMLR 13, 2012, equation 3. Proxy
A-distance: Ben-David, Blitzer, Crammer, Pereira: Analysis of Representations for Domain Adaptation, NIPS 2006. CORAL
distance: Sun, Saenko: Deep CORAL, ECCV 2016 workshops, arXiv 1607.01719, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import kolmogorov
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift._inputs import Domains, read_domains
from headstart.shift._kernels import gamma_of, rbf, some
from headstart.shift._label_shift import balance, default_classifier
from headstart.shift._moments import blocks, covariance

MOST_ROWS = 2000  # of a domain, for what compares all pairs of rows or fits a classifier


@dataclass(frozen=True)
class Discrepancy:
    """A squared MMD and what it is under the null hypothesis.

    Attributes:
        value: the unbiased estimate of MMD^2; about 0, and now and then below, where there is no shift.
        p_value: how often a random division of the rows gives at least this value.
        gamma: of the RBF kernel, None for the linear one.
    """

    value: float
    p_value: float
    gamma: float | None


@dataclass(frozen=True)
class FeatureShift:
    """How one feature differs between the domains.

    Attributes:
        feature: its name, or its number where there are no names.
        mean_difference: (mean of the target - mean of the source) / pooled standard deviation.
        scale_ratio: standard deviation in the target / in the source.
        distance: greatest difference of the distribution functions (Kolmogorov-Smirnov), 0 to 1.
        p_value: of that distance, times the number of features (Bonferroni), at most 1.
    """

    feature: str
    mean_difference: float
    scale_ratio: float
    distance: float
    p_value: float


@dataclass(frozen=True)
class ClassShift:
    """How one class differs between the domains.

    Attributes:
        label: the class.
        source_share, target_share: of the rows.
        distance: root mean square over the features of the difference of means, in pooled standard deviations.
        guessed: whether the target rows of the class are those that a classifier of the source takes for it.
    """

    label: Any
    source_share: float
    target_share: float
    distance: float
    guessed: bool


def mmd(
    source: Any, target: Any, *, kernel: Literal["rbf", "linear"] = "rbf", gamma: float | None = None,
    num_permutations: int = 500, seed: int = 0,
) -> Discrepancy:  # fmt: skip
    """Squared maximum mean discrepancy with a permutation test.

    Args:
        source: (num_source, dim); beyond 2,000 rows a random 2,000 are taken, which is said.
        target: (num_target, dim), likewise.
        kernel: "rbf" sees any difference of distributions, "linear" differences of means only.
        gamma: of exp(-gamma |x - y|^2); None: 1 / the median squared distance.
        num_permutations: the least p-value is 1 / (num_permutations + 1).
        seed: of the draws.

    Raises:
        DataError: different widths, NaN, a single row.
    """
    if kernel not in ("rbf", "linear") or num_permutations < 1:
        raise ConfigError(
            f"kernel is {kernel!r} ('rbf' or 'linear'), num_permutations {num_permutations} (at least 1)."
        )
    domains = _sampled(_checked(source, target), seed, "MMD")
    rows = domains.rows.astype(np.float64)
    used = gamma_of(domains, gamma, seed) if kernel == "rbf" else None
    k = rbf(rows, rows, used) if used else rows @ rows.T
    np.fill_diagonal(k, 0)  # the unbiased estimate leaves pairs of a row with itself out
    num_source, num = len(domains.source), len(rows)
    generator = np.random.default_rng(seed)
    orders = np.stack([np.arange(num), *(generator.permutation(num) for _ in range(num_permutations))])
    in_source = (orders < num_source).astype(np.float64).T  # (num, num_permutations + 1), the true division first
    to_source = k @ in_source
    within_source = (in_source * to_source).sum(0)
    across = to_source.sum(0) - within_source
    within_target = k.sum() - within_source - 2 * across
    num_target = num - num_source
    values = (
        within_source / (num_source * (num_source - 1))
        + within_target / (num_target * (num_target - 1))
        - 2 * across / (num_source * num_target)
    )
    tolerance = 1e-12 * np.abs(values).max()
    p_value = (1 + int((values[1:] >= values[0] - tolerance).sum())) / (num_permutations + 1)
    return Discrepancy(float(values[0]), p_value, used)


def proxy_a_distance(source: Any, target: Any, *, seed: int = 0) -> float:
    """2 (1 - 2 error) of a linear classifier that tells the domains apart: 0 it cannot, 2 it always can.

    The error is measured on held-out rows (5 folds), both domains weighing the same; below 0 counts as 0.

    Args:
        source: (num_source, dim); beyond 2,000 rows a random 2,000 are taken, which is said.
        target: (num_target, dim), likewise.
        seed: of draws and folds.

    Raises:
        DataError: different widths, NaN, a single row.
    """
    domains = _sampled(_checked(source, target), seed, "the proxy A-distance")
    rows, side = domains.rows, np.repeat([0, 1], (len(domains.source), len(domains.target)))
    wrong = np.zeros(len(rows), bool)
    folds = StratifiedKFold(min(5, len(domains.source), len(domains.target)), shuffle=True, random_state=seed)
    for inside, outside in folds.split(rows, side):
        scaler = StandardScaler().fit(rows[inside])
        classifier = LogisticRegression(C=100 / len(inside), max_iter=1000, class_weight="balanced")
        classifier.fit(scaler.transform(rows[inside]), side[inside])
        wrong[outside] = classifier.predict(scaler.transform(rows[outside])) != side[outside]
    error = (wrong[side == 0].mean() + wrong[side == 1].mean()) / 2
    return float(max(0.0, 2 * (1 - 2 * error)))


def coral_distance(source: Any, target: Any) -> float:
    """|C_source - C_target|^2 / (4 dim^2), squared Frobenius norm of covariances, for (num, dim) tables of any length.

    Raises:
        DataError: different widths, NaN, a single row.
    """
    domains = _checked(source, target)
    gap = covariance(domains.source)[1] - covariance(domains.target)[1]
    return float(np.square(gap).sum() / (4 * len(gap) ** 2))


def feature_contributions(source: Any, target: Any) -> list[FeatureShift]:
    """Every feature, the one that differs most first.

    Args:
        source: (num_source, dim); a data frame's column names are kept.
        target: (num_target, dim).

    Raises:
        DataError: different widths, NaN, a single row.
    """
    reader = _Reader()
    domains = read_domains(reader, source, target, None, labelled=False, needed=False)
    a, b = domains.source, domains.target
    names = getattr(reader, "feature_names_in_", np.arange(a.shape[1]))
    means, deviations = (a.mean(0), b.mean(0)), (a.std(0), b.std(0))
    pooled = np.sqrt((np.square(deviations[0]) + np.square(deviations[1])) / 2)
    distances = kolmogorov_smirnov(a, b)
    effective = np.sqrt(len(a) * len(b) / (len(a) + len(b)))
    p_values = np.minimum(kolmogorov(effective * distances) * a.shape[1], 1.0)
    differences = np.divide(means[1] - means[0], pooled, out=np.zeros(len(pooled)), where=pooled > 0)
    differences = np.where((pooled == 0) & (means[0] != means[1]), np.sign(means[1] - means[0]) * np.inf, differences)
    ratios = np.divide(deviations[1], deviations[0], out=np.full(len(pooled), np.inf), where=deviations[0] > 0)
    ratios[(deviations[0] == 0) & (deviations[1] == 0)] = 1
    return [
        FeatureShift(str(names[i]), float(differences[i]), float(ratios[i]), float(distances[i]), float(p_values[i]))
        for i in np.lexsort((-np.abs(differences), -distances))
    ]


def class_contributions(source: Any, target: Any, labels: Any, target_labels: Any = None) -> list[ClassShift]:
    """Every class of the source, the one that differs most first.

    Args:
        source: (num_source, dim).
        target: (num_target, dim).
        labels: (num_source,).
        target_labels: (num_target,); None: logistic regression of the source guesses them, and moves of the class
            balance are then as uncertain as it is.

    Raises:
        DataError: different widths, NaN, a single row, a single class, target labels that the source lacks.
    """
    domains = read_domains(
        _Reader(), source, target, labels, labelled=True, needed=True, target_labels=target_labels
    )  # fmt: skip
    codes, num_classes = domains.labels
    scaler = StandardScaler().fit(domains.source)
    a, b = scaler.transform(domains.source), scaler.transform(domains.target)
    guesses = domains.target_codes if target_labels is not None else default_classifier().fit(a, codes).predict(b)
    assert guesses is not None and domains.classes is not None, "read_domains refuses rows without labels"
    shares = balance(codes, num_classes), balance(guesses, num_classes)
    found = []
    for c in range(num_classes):
        distance = float("nan")
        if (guesses == c).any():
            mine, theirs = a[codes == c], b[guesses == c]
            pooled = np.sqrt((mine.var(0) + theirs.var(0)) / 2)
            gap = np.divide(theirs.mean(0) - mine.mean(0), pooled, out=np.zeros(len(pooled)), where=pooled > 1e-9)
            distance = float(np.sqrt(np.square(gap).mean()))
        label = domains.classes[c]
        found.append(ClassShift(label, float(shares[0][c]), float(shares[1][c]), distance, target_labels is None))
    return sorted(found, key=lambda shift: -np.nan_to_num(shift.distance, nan=np.inf))


def shared_rows(source: Any, target: Any) -> np.ndarray:
    """(num_target,) whether the very same row is in the source: a sign that the domains are not apart at all.

    Raises:
        DataError: different widths, NaN, a single row.
    """
    domains = _checked(source, target)
    known = {row.tobytes() for row in domains.source + 0.0}  # + 0.0 makes -0.0 and 0.0 alike
    return np.array([row.tobytes() in known for row in domains.target + 0.0])


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(dim,) the greatest difference of the distribution functions of every column of (num_a, dim) and (num_b, dim)."""
    out = np.empty(a.shape[1])
    step = np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), -1 / len(b))])
    for columns in blocks(a.T, len(a) + len(b)):
        both = np.concatenate([a[:, columns], b[:, columns]])
        order = both.argsort(0, kind="stable")
        both = np.take_along_axis(both, order, 0)
        gaps = np.abs(np.cumsum(step[order], axis=0))
        last = np.ones(both.shape, bool)  # of a run of equal values: only there do the functions have both jumped
        last[:-1] = both[1:] != both[:-1]
        out[columns] = np.where(last, gaps, 0).max(0)
    return out


class _Reader(BaseEstimator):
    """Carries the feature names that scikit-learn reads from data frames."""


def _checked(source: Any, target: Any) -> Domains:
    return read_domains(_Reader(), source, target, np.zeros(0), labelled=False, needed=False)


def _sampled(domains: Domains, seed: int, what: str) -> Domains:
    """At most 2,000 rows of each domain."""
    parts = []
    for name, x in (("source", domains.source), ("target", domains.target)):
        if len(x) > MOST_ROWS:
            say(f"{what} is measured on {MOST_ROWS} random rows of the {len(x)} of the {name}.")
        parts.append(some(Domains(x, x[:0]), MOST_ROWS, seed))
    return Domains(parts[0], parts[1])
