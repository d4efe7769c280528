"""Linear optimal transport: the affine map of least cost that gives the source the mean and covariance of the target.

Flamary, Lounici, Ferrari: Concentration bounds for linear Monge mapping estimation and optimal transport domain
adaptation, arXiv 1905.10155, equation 4. Between normal distributions it is the optimal (Monge) map; POT calls it
``ot.da.LinearTransport``.
"""

from __future__ import annotations

import numpy as np

from headstart.shift import Adapter, Domain
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import affine, mean_of, of_covariances, root


class LinearTransport(Adapter):
    """Source rows become ``mean_t + (x - mean_s) A``; target rows stay as they are.

    A = C_s^(-1/2) (C_s^(1/2) C_t C_s^(1/2))^(1/2) C_s^(-1/2) is the symmetric matrix with A C_s A = C_t. CORAL's
    matrix has that property too, but moves rows further.

    Args:
        regularisation: added to the diagonal of both covariances, as a share of the mean variance of the features. At 0
            the map is exact where the source has full rank.

    Attributes:
        matrix_: (dim, dim) A.
        source_mean_, target_mean_: (dim,).
    """

    def __init__(self, regularisation: float = 1e-3) -> None:
        self.regularisation = regularisation

    def _learn(self, domains: Domains) -> None:
        self.source_mean_, self.target_mean_ = mean_of(domains.source), mean_of(domains.target)
        dim = len(self.source_mean_)
        if domains.single:
            self.matrix_ = np.eye(dim)
            return

        def cheapest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
            ridge = self.regularisation * (np.trace(source) + np.trace(target)) / (2 * dim) * np.eye(len(source))
            half, inverse = root(source + ridge, 0.5), root(source + ridge, -0.5)
            return inverse @ root(half @ (target + ridge) @ half, 0.5) @ inverse

        self.matrix_ = of_covariances(domains, cheapest, float(self.regularisation > 0))

    def _map(self, x: Rows, domain: Domain) -> Rows:
        if domain == "target":
            return x
        return affine(x, self.matrix_, self.source_mean_, self.target_mean_)
