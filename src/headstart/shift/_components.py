"""The sample as TCA and its kin see it: a scatter, and columns that hold the domains apart, whatever the kernel.

The papers write the problem for weights W (num, found) on all rows, with a kernel matrix K (num, num):

    K H K W = (mu I + K E E' K) W values,      W' K H K W = I,      a row x becomes k(x, rows) W

Here E (num, few) are the columns that separate the domains: L = E E'. With features F, K = F F', only the moments of
F are needed where it has more rows than columns: with F = Q R (Q orthonormal) and W = Q u,

    R S R' u = value (mu I + R D D' R') u,     S = F' H F,  D = F' E,      f(x)' F' W = f(x)' R' u

"primal" puts the penalty on the weights of features instead: S a = value (mu I + D D') a.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy.sparse

from headstart.errors import ConfigError, DataError
from headstart.progress import say
from headstart.shift._inputs import Domains, Rows, dense, double, sparse
from headstart.shift._kernels import EXACT, gamma_of, landmarks, products, rbf_features, rbf_of_all
from headstart.shift._moments import blocks, centred, moments, upper_root
from headstart.shift._pencil import DENSE, Product, leading, symmetric

Features = Callable[[Rows], np.ndarray]
Kernel = Literal["linear", "rbf", "primal"]
HELD = 4e9  # bytes of a matrix of all rows that may be held; what is done with it takes three to five times as much
SPARSE = 0.1  # share of numbers other than 0 below which products are sparse


class Components:
    """Both domains under a kernel, ready to be solved for any columns E, more than once where labels change.

    Args:
        domains: source and target.
        kernel: "linear", "rbf" or "primal", see ``TCA``.
        gamma, num_landmarks, seed: of the RBF kernel, see ``TCA``.

    Raises:
        ConfigError: there is no such kernel.
    """

    def __init__(
        self, domains: Domains, kernel: Kernel, gamma: float | None = None, num_landmarks: int = 1000, seed: int = 0
    ) -> None:
        if kernel not in ("linear", "rbf", "primal"):
            raise ConfigError(f"kernel is {kernel!r}; it can be 'linear', 'rbf' or 'primal'.")
        domains, thin = _thinned(domains)
        self.domains, self.primal = domains, kernel == "primal"
        self.num, dim = domains.num_source + domains.num_target, domains.source.shape[1]
        self.features: Features | None = None
        self.gamma, self.width = 1.0, dim
        self.kernel: np.ndarray | None = None
        self.rows: Rows = None  # that an exact RBF kernel is between
        self.stacked: Any = None
        if kernel == "rbf":
            self._rbf(gamma, num_landmarks, seed)
        elif thin or self.num <= dim:
            self.stacked = _stack(domains, thin)  # the products with rows are cheaper than a dim x dim matrix
            if not self.primal and not thin and self.num <= EXACT:
                self.kernel = products(self.stacked, self.stacked)
        self.moments = moments(domains, self.features, self.width) if self._by_moments else None
        self.root = upper_root(self.moments.gram) if self.moments and not self.primal else None

    @property
    def _by_moments(self) -> bool:
        return self.kernel is None and self.stacked is None

    def _rbf(self, gamma: float | None, num_landmarks: int, seed: int) -> None:
        if self.num <= EXACT:
            self.rows, self.kernel, self.gamma = rbf_of_all(self.domains, gamma, seed)
            self.features = rbf_features(self.rows, self.gamma)
            return
        self.gamma = gamma_of(self.domains, gamma, seed)
        say(f"{self.num} rows: the RBF kernel is approximated on {num_landmarks} landmarks (Nystroem).")
        self.width = num_landmarks
        self.features = landmarks(self.domains, self.gamma, num_landmarks, seed)

    def solve(
        self, columns: np.ndarray, mu: float, num_components: int, whiten: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (found,), descending, and what (features of) rows are multiplied by: (dim_features, found).

        Args:
            whiten: the constraint of the papers; else columns of length 1.
        """
        values, components = self._solve(columns, mu, num_components)
        return values, components if whiten else components / np.linalg.norm(components, axis=0)

    def _solve(self, columns: np.ndarray, mu: float, num_components: int) -> tuple[np.ndarray, np.ndarray]:
        _checked(mu, num_components)
        pencil: Callable[[Product, np.ndarray], tuple[np.ndarray, np.ndarray]] = partial(
            leading, mu=mu, num_components=num_components
        )
        if self.moments is not None:
            s, d = self.moments.scatter, self._projected(columns)
            if self.root is None:
                return pencil(lambda v: s @ v, d)
            r = self.root
            values, u = pencil(lambda v: r @ (s @ (r.T @ v)), r @ d)
            return values, r.T @ u
        if self.kernel is not None:
            k = symmetric(self.kernel)
            values, w = pencil(lambda v: k(centred(k(v))), self.kernel @ columns)
            return values, w if self.stacked is None else self.stacked.T @ w
        x: Any = self.stacked
        if self.primal:
            return pencil(lambda v: x.T @ centred(x @ v), x.T @ columns)
        values, w = pencil(lambda v: x @ (x.T @ centred(x @ (x.T @ v))), x @ (x.T @ columns))
        return values, x.T @ w

    def project(self, components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the source (num_source, found) and of the target (num_target, found) under the components."""
        border = self.domains.num_source
        if self.features and self.kernel is not None:  # what ``apply`` would compute anew
            projected = self.kernel @ components
            return projected[:border], projected[border:]
        source, target = (apply(self.features, x, components) for x in (self.domains.source, self.domains.target))
        return source, target

    def projection(self, components: np.ndarray) -> Projection:
        """What any rows are moved with."""
        if self.rows is None or self.kernel is None:
            return Projection(self.features, components)
        return Projection(self.features, components, self.domains.num_source, self.rows, self.kernel @ components)

    def factor(self) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """T (num, size) with ``K W = T u`` and |W| = |u|, and what turns u (size, found) into components.

        T is K itself, or F R' where features F have fewer columns than rows; not for "primal".

        Raises:
            DataError: T would not fit into ``HELD`` bytes.
        """
        if (needed := 8 * self.num * min(self.num, self.width)) > HELD:
            raise DataError(
                f"{self.num} rows: a matrix of {needed / 1e9:.1f} GB would be needed, and several times that on the way; "
                f"{HELD / 1e9:.1f} GB are the limit. Give a random part of the rows, or use TCA, which needs no such matrix."
            )
        root, rows = self.root, self.stacked
        if rows is not None and self.num > self.width:  # sparse rows, whose moments nothing else needs
            root = upper_root(dense(rows.T @ rows))
        if root is not None:
            parts = [self.features(x) if self.features else x for x in (self.domains.source, self.domains.target)]
            return np.concatenate([double(x) @ root.T for x in parts]), lambda u: root.T @ u
        if self.kernel is not None:
            return self.kernel, lambda u: u if self.stacked is None else self.stacked.T @ u
        return products(self.stacked, self.stacked), lambda u: self.stacked.T @ u

    def _projected(self, columns: np.ndarray) -> np.ndarray:
        """F' E (width, few), in blocks of rows."""
        parts = np.split(columns, [self.domains.num_source])
        total: Any = 0.0
        for x, e in zip((self.domains.source, self.domains.target), parts, strict=True):
            for rows in blocks(x, self.width):
                total = total + double(self.features(x[rows]) if self.features else x[rows]).T @ e[rows]
        return total


@dataclass(frozen=True)
class Projection:
    """x (num, dim) -> (num, found), features of rows times components.

    An RBF kernel of the rows of the fit took most of its time, and these rows are nearly always transformed next: they
    are recognised, and what they become is looked up.

    Attributes:
        num_source: where the target begins among the rows of the fit.
        rows, projected: all rows of the fit, and what they become.
    """

    features: Features | None
    components: np.ndarray
    num_source: int = 0
    rows: Rows = None
    projected: np.ndarray | None = None

    def __call__(self, x: Rows) -> np.ndarray:
        if self.projected is not None:
            for part in (slice(self.num_source), slice(self.num_source, None)):
                if _equal(x, self.rows[part]):
                    return self.projected[part].astype(x.dtype)  # a copy, which the caller may change
        return apply(self.features, x, self.components)


def _equal(x: Rows, rows: Rows) -> bool:
    """Whether these are the same rows, dense or sparse."""
    if x.shape != rows.shape or not np.array_equal(dense(x[:1]), dense(rows[:1])):
        return False
    if not scipy.sparse.issparse(rows):
        return np.array_equal(dense(x), rows)
    if scipy.sparse.issparse(x):
        return (x != rows).nnz == 0
    filled = rows.tocoo()
    return np.count_nonzero(x) == np.count_nonzero(filled.data) and np.array_equal(x[filled.row, filled.col], filled.data)


def apply(features: Features | None, x: Rows, components: np.ndarray) -> np.ndarray:
    """Rows (num, dim) -> (num, found), in blocks, so that float32 rows are never all held in float64."""
    out = np.empty((x.shape[0], components.shape[1]), x.dtype)
    for rows in blocks(x, EXACT if features else None):
        out[rows] = (features(x[rows]) if features else x[rows]) @ components
    return out


def _checked(mu: float, num_components: int) -> None:
    if not mu > 0 or num_components < 1:
        raise ConfigError(
            f"regularisation is {mu} and num_components {num_components}; the first must be above 0, the second at "
            "least 1."
        )


def _thinned(domains: Domains) -> tuple[Domains, bool]:
    """Wide rows of few numbers other than 0 as sparse ones, and whether they are."""
    if domains.source.shape[1] <= DENSE or _density(domains) >= SPARSE:
        return domains, False
    if scipy.sparse.issparse(domains.source):
        return domains, True
    source = sparse(domains.source)
    target = source if domains.single else sparse(domains.target)
    return replace(domains, source=source, target=target), True


def _density(domains: Domains) -> float:
    """The share of numbers that are not 0, in some 1,000 rows of each domain."""
    parts = [x[:: max(1, x.shape[0] // 1000)] for x in (domains.source, domains.target)]
    filled = sum(x.nnz if scipy.sparse.issparse(x) else np.count_nonzero(x) for x in parts)
    return float(filled / sum(x.shape[0] * x.shape[1] for x in parts))


def _stack(domains: Domains, thin: bool) -> Rows:
    """All rows in float64, dense or sparse."""
    return double(domains.rows if thin else dense(domains.rows))
