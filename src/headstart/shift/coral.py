"""CORAL: the source is given the second moments of the target.

Sun, Feng, Saenko: Return of Frustratingly Easy Domain Adaptation, AAAI 2016, arXiv 1511.05547, algorithm 1.
"""

from __future__ import annotations

import numpy as np

from headstart.shift import Adapter, Domain
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import affine, mean_of, of_covariances, root


class CORAL(Adapter):
    """Whiten the source, then colour it with the covariance of the target; target rows stay as they are.

    With C = covariance + ``regularisation`` * identity, source rows x become

        (x - mean_source) C_source^(-1/2) C_target^(1/2) + mean,     equation (algorithm 1) of the paper

    where ``mean`` is that of the target if ``match_means`` (the paper has both domains standardised before, so that
    it makes no difference there), else that of the source.

    Args:
        regularisation: added to the diagonal of both covariances; the paper has 1, for features of variance 1. At 0
            the covariance of the moved source is exactly that of the target where the source has full rank.
        match_means: also move the mean.

    Attributes:
        matrix_: (dim, dim) C_source^(-1/2) C_target^(1/2).
        source_mean_, mean_: (dim,) what is subtracted, and what is added.
    """

    def __init__(self, regularisation: float = 1.0, match_means: bool = True) -> None:
        self.regularisation = regularisation
        self.match_means = match_means

    def _learn(self, domains: Domains) -> None:
        self.source_mean_ = mean_of(domains.source)
        self.mean_ = mean_of(domains.target) if self.match_means else self.source_mean_
        if domains.single:
            self.matrix_ = np.eye(len(self.mean_))
            return

        def recoloured(source: np.ndarray, target: np.ndarray) -> np.ndarray:
            ridge = self.regularisation * np.eye(len(source))
            return root(source + ridge, -0.5) @ root(target + ridge, 0.5)

        self.matrix_ = of_covariances(domains, recoloured, float(self.regularisation > 0))

    def _map(self, x: Rows, domain: Domain) -> Rows:
        if domain == "target":
            return x
        return affine(x, self.matrix_, self.source_mean_, self.mean_)
