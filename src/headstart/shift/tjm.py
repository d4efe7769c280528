"""TJM: components along which the domains agree, while source rows that do not fit lose their weight.

Long, Wang, Ding, Sun, Yu: Transfer Joint Matching for Unsupervised Domain Adaptation, CVPR 2014, equations 7-9 and
algorithm 1.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import ConfigError, DataError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._components import Features, Kernel, apply
from headstart.shift._inputs import Domains, Rows, double
from headstart.shift._kernels import EXACT, gamma_of, products, rbf, rbf_features
from headstart.shift._moments import centred, difference
from headstart.shift._pencil import leading


class TJM(Adapter):
    """Components A (rows, num_components) of ``K H K A = (K M K + mu G) A values`` with ``A' K H K A = I``.

    M = e e' / |e e'| compares the means. G is diagonal: 1 on target rows and 1 / (2 |a_i|) on source rows, from the
    round before, so that the penalty on a source row is |a_i| and whole rows fall to 0 (the l2,1 norm).

    It weighs every row, so it needs the kernel matrix of all rows: at most 4,000 of them.

    Args:
        num_components: columns of A.
        kernel: "linear" or "rbf".
        regularisation: mu (lambda in the paper).
        num_rounds: how often G is computed anew.
        gamma: of the RBF kernel; None: 1 / the median squared distance.

    Attributes:
        components_, eigenvalues_: as in ``TCA``.
        weights_: (num_source,) norms |a_i|, divided by their mean.
    """

    def __init__(
        self,
        num_components: int = 50,
        kernel: Kernel = "linear",
        regularisation: float = 1.0,
        num_rounds: int = 10,
        gamma: float | None = None,
    ) -> None:
        self.num_components = num_components
        self.kernel = kernel
        self.regularisation = regularisation
        self.num_rounds = num_rounds
        self.gamma = gamma

    def _learn(self, domains: Domains) -> None:
        self._check(domains)
        rows = double(domains.rows)
        self.gamma_ = gamma_of(domains, self.gamma)
        self._features: Features | None = rbf_features(rows, self.gamma_) if self.kernel == "rbf" else None
        k = rbf(rows, rows, self.gamma_) if self.kernel == "rbf" else products(rows, rows)
        e = difference(domains)
        num_source, penalty = domains.num_source, np.ones(rows.shape[0])
        column = k @ e / np.linalg.norm(e)  # |e e'| is |e|^2
        for _ in range(self.num_rounds):
            scale = 1 / np.sqrt(penalty)  # A = scale * B turns the penalty on A into one on B, alike in all rows
            self.eigenvalues_, b = leading(
                lambda v, s=scale: _times(s, k @ centred(k @ _times(s, v))),  # type: ignore[misc]
                (scale * column)[:, None], self.regularisation, self.num_components,
            )  # fmt: skip
            a = _times(scale, b)
            norms = np.linalg.norm(a[:num_source], axis=1)
            penalty[:num_source] = 1 / (2 * np.maximum(norms, 1e-8 * norms.max()))
        self.weights_ = norms / norms.mean()
        self.components_ = a if self.kernel == "rbf" else rows.T @ a
        if (found := len(self.eigenvalues_)) < self.num_components:
            say(f"TJM: {found} components instead of {self.num_components}: the data have no more directions.")

    def _check(self, domains: Domains) -> None:
        if self.kernel not in ("linear", "rbf") or self.num_rounds < 1:
            raise ConfigError(
                f"kernel is {self.kernel!r} and num_rounds {self.num_rounds}; the kernel can be 'linear' or 'rbf', and "
                "at least 1 round is needed."
            )
        if not self.regularisation > 0 or self.num_components < 1:
            raise ConfigError(
                f"regularisation is {self.regularisation} and num_components {self.num_components}; the first must be "
                "above 0, the second at least 1."
            )
        if (num := domains.num_source + domains.num_target) > EXACT:
            raise DataError(
                f"TJM weighs every row and needs their kernel matrix: {num} rows of both domains are more than {EXACT}. "
                "Give it a sample of the rows, or use TCA or JDA, whose memory does not grow with rows."
            )

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return apply(self._features, x, self.components_)


def _times(scale: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows of a vector or matrix times their scale."""
    return scale * x if x.ndim == 1 else scale[:, None] * x
