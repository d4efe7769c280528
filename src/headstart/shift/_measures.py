"""How far apart are two samples, and where: pure functions on two tables of rows.

MMD: Gretton, Borgwardt, Rasch, Schoelkopf, Smola: A Kernel Two-Sample Test, JMLR 13, 2012, equation 3. Proxy
A-distance: Ben-David, Blitzer, Crammer, Pereira: Analysis of Representations for Domain Adaptation, NIPS 2006. CORAL
distance: Sun, Saenko: Deep CORAL, ECCV 2016 workshops, arXiv 1607.01719, equation 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse
from scipy.special import kolmogorov
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.sparsefuncs import mean_variance_axis

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift._inputs import Domains, Rows, dense, read_domains
from headstart.shift._kernels import gamma_of, products, rbf, some
from headstart.shift._label_shift import balance, default_classifier
from headstart.shift._moments import BLOCK, blocks, covariance

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
        scale_ratio: standard deviation in the target / in the source; infinite where it is a constant in the source.
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
    rows = domains.rows
    used = gamma_of(domains, gamma, seed) if kernel == "rbf" else None
    k = rbf(rows, rows, used) if used else products(rows, rows)
    np.fill_diagonal(k, 0)  # the unbiased estimate leaves pairs of a row with itself out
    num_source, num = domains.num_source, rows.shape[0]
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
    rows, side = domains.rows, np.repeat([0, 1], (domains.num_source, domains.num_target))
    wrong = np.zeros(len(side), bool)
    folds = StratifiedKFold(min(5, domains.num_source, domains.num_target), shuffle=True, random_state=seed)
    for inside, outside in folds.split(side, side):
        scaler = _scaler(rows[inside])
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
    names = getattr(reader, "feature_names_in_", np.arange(domains.source.shape[1]))
    means, variances = zip(*(_moments(x) for x in (domains.source, domains.target)), strict=True)
    deviations = [np.sqrt(variance) for variance in variances]
    pooled = np.sqrt((variances[0] + variances[1]) / 2)
    distances = kolmogorov_smirnov(domains.source, domains.target)
    effective = np.sqrt(domains.num_source * domains.num_target / (domains.num_source + domains.num_target))
    p_values = np.minimum(kolmogorov(effective * distances) * len(distances), 1.0)
    differences = np.divide(means[1] - means[0], pooled, out=np.zeros(len(pooled)), where=pooled > 0)
    apart = (pooled == 0) & (means[0] != means[1])  # two different constants
    differences[apart] = np.where(means[1] > means[0], np.inf, -np.inf)[apart]
    still = [deviation <= 1e-7 * np.maximum(*deviations) for deviation in deviations]  # a constant, but for rounding
    ratios = np.divide(deviations[1], deviations[0], out=np.full(len(pooled), np.inf), where=~still[0])
    ratios[still[1]] = 0
    ratios[np.maximum(*deviations) == 0] = 1
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
    scaler = _scaler(domains.source)
    a, b = scaler.transform(domains.source), scaler.transform(domains.target)
    guesses = domains.target_codes if target_labels is not None else default_classifier().fit(a, codes).predict(b)
    assert guesses is not None and domains.classes is not None, "read_domains refuses rows without labels"
    shares = balance(codes, num_classes), balance(guesses, num_classes)
    found = []
    for c in range(num_classes):
        distance = float("nan")
        if (guesses == c).any():
            (mine, ours), (theirs, other) = _moments(a[codes == c]), _moments(b[guesses == c])
            pooled = np.sqrt((ours + other) / 2)
            gap = np.divide(theirs - mine, pooled, out=np.zeros(len(pooled)), where=pooled > 1e-9)
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
    known = set(_row_bytes(domains.source))
    return np.array([row in known for row in _row_bytes(domains.target)])


def _row_bytes(x: Rows) -> Iterator[bytes]:
    """Equal rows have equal bytes; + 0.0 makes -0.0 and 0.0 alike."""
    if not scipy.sparse.issparse(x):
        yield from (row.tobytes() for rows in blocks(x) for row in x[rows] + 0.0)
        return
    x = x.copy()
    x.eliminate_zeros()
    x.sort_indices()
    for start, end in itertools.pairwise(x.indptr):
        yield x.indices[start:end].astype(np.int64).tobytes() + x.data[start:end].tobytes()


def _moments(x: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (dim,) of every feature, in float64."""
    if scipy.sparse.issparse(x):
        mean, variance = mean_variance_axis(scipy.sparse.csr_matrix(x), axis=0)
        return mean.astype(np.float64), variance.astype(np.float64)
    return x.mean(0, dtype=np.float64), x.var(0, dtype=np.float64)


def _scaler(x: Rows) -> StandardScaler:
    """Sparse rows are not centred, which would fill them; what follows does not depend on where the zero lies."""
    return StandardScaler(with_mean=not scipy.sparse.issparse(x)).fit(x)


def kolmogorov_smirnov(a: Rows, b: Rows) -> np.ndarray:
    """(dim,) the greatest difference of the distribution functions of every column of (num_a, dim) and (num_b, dim)."""
    out = np.empty(a.shape[1])
    num_a, num_b = a.shape[0], b.shape[0]
    step = np.concatenate([np.full(num_a, 1 / num_a), np.full(num_b, -1 / num_b)])
    if scipy.sparse.issparse(a):
        a, b = a.tocsc(), b.tocsc()
    width = max(1, BLOCK // (4 * (num_a + num_b)))
    for start in range(0, a.shape[1], width):
        columns = slice(start, start + width)
        both = np.concatenate([dense(a[:, columns]), dense(b[:, columns])])
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
        if (num := x.shape[0]) > MOST_ROWS:
            say(f"{what} is measured on {MOST_ROWS} random rows of the {num} of the {name}.")
        parts.append(some(Domains(x, x[:0]), MOST_ROWS, seed))
    return Domains(parts[0], parts[1])
