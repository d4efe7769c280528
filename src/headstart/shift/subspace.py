"""Subspace alignment: the principal axes of the source are turned onto those of the target.

Fernando, Habrard, Sebban, Tuytelaars: Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV 2013,
equations 1-3 (algorithm 1).
"""

from __future__ import annotations

import numpy as np

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import affine, principal


class SubspaceAlignment(Adapter):
    """Source rows become (x - mean_s) P_s P_s' P_t, target rows (x - mean_t) P_t; M = P_s' P_t minimises |P_s M - P_t|.

    Args:
        num_components: columns of the bases P_s and P_t; fewer where a domain has fewer directions, which is said.

    Attributes:
        source_basis_, target_basis_: (dim, num_components) orthonormal columns, P_s and P_t.
        matrix_: (num_components, num_components) M.
        source_mean_, target_mean_: (dim,).
    """

    def __init__(self, num_components: int = 50) -> None:
        self.num_components = num_components

    def _learn(self, domains: Domains) -> None:
        if self.num_components < 1:
            raise ConfigError(f"num_components is {self.num_components}; it must be at least 1.")
        self.source_mean_, source = principal(domains.source, self.num_components)
        self.target_mean_, target = (
            (self.source_mean_, source) if domains.single else principal(domains.target, self.num_components)
        )
        found = min(source.shape[1], target.shape[1])
        if found < self.num_components:
            say(
                f"SubspaceAlignment: {found} components instead of {self.num_components}: the source has "
                f"{source.shape[1]} directions and the target {target.shape[1]}."
            )
        self.source_basis_, self.target_basis_ = source[:, :found], target[:, :found]
        self.matrix_ = self.source_basis_.T @ self.target_basis_

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        still = np.zeros(len(self.matrix_))
        if domain == "target":
            return affine(x, self.target_basis_, self.target_mean_, still)
        return affine(x, self.source_basis_ @ self.matrix_, self.source_mean_, still)
