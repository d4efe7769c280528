"""SSTCA: TCA whose components also follow the labels of the source and keep neighbours together.

Pan, Tsang, Kwok, Yang: Domain Adaptation via Transfer Component Analysis, IEEE Trans. Neural Networks 22(2), 2011,
section IV, equations 13-16.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse
from sklearn.neighbors import kneighbors_graph

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._components import Components, Kernel
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import centred, difference
from headstart.shift._pencil import leading_dense


class SSTCA(Adapter):
    """Leading components of ``(K (L + locality / n^2 G) K + mu I)^(-1) K H Y H K`` with ``W' K H Y H K W = I``.

    L and H as in ``TCA``. Y = dependence * [same label] + (1 - dependence) I, where a target row shares its label with
    no other, measures how much the components depend on the labels (HSIC). G is the Laplacian of a graph of nearest
    neighbours over both domains. Needs source labels.

    The graph compares all pairs of rows: minutes beyond some 20,000 of them. A matrix of rows by rows or rows by
    features, whichever is smaller, is held, and more than 4 GB of it are refused; memory rises to three to five times its size.

    Args:
        num_components: columns of W.
        kernel: "linear" or "rbf" (beyond 4,000 rows on 1,000 landmarks).
        regularisation: mu.
        dependence: 0 ignores the labels, 1 looks at nothing else (gamma in the paper).
        locality: weight of the graph (lambda in the paper).
        num_neighbours: of a row in the graph.
        gamma: of the RBF kernel; None: 1 / the median squared distance.

    Attributes:
        components_, eigenvalues_: as in ``TCA``.
    """

    needs_labels: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = True

    def __init__(
        self,
        num_components: int = 50,
        kernel: Kernel = "linear",
        regularisation: float = 1.0,
        dependence: float = 0.5,
        locality: float = 1.0,
        num_neighbours: int = 5,
        gamma: float | None = None,
    ) -> None:
        self.num_components = num_components
        self.kernel = kernel
        self.regularisation = regularisation
        self.dependence = dependence
        self.locality = locality
        self.num_neighbours = num_neighbours
        self.gamma = gamma

    def _learn(self, domains: Domains) -> None:
        if self.kernel == "primal" or not 0 <= self.dependence <= 1 or self.locality < 0 or self.num_neighbours < 1:
            raise ConfigError(
                f"kernel is {self.kernel!r} ('linear' or 'rbf' is needed), dependence {self.dependence} (0 to 1), "
                f"locality {self.locality} (at least 0), num_neighbours {self.num_neighbours} (at least 1)."
            )
        sample = Components(domains, self.kernel, self.gamma)
        t, back = sample.factor()
        columns = centred(_indicator(domains))  # H times the labels of source rows, (n, num_classes)
        pull = t.T @ difference(domains)
        graph = laplacian(domains.rows, self.num_neighbours)
        right = np.outer(pull, pull) + self.locality / len(t) ** 2 * (t.T @ (graph @ t))
        right[np.diag_indices(len(right))] += self.regularisation

        def scatter(v: np.ndarray) -> np.ndarray:
            moved = centred(t @ v)
            own = self.dependence * (columns @ (columns.T @ moved)) + (1 - self.dependence) * moved
            return t.T @ centred(own)

        self.eigenvalues_, u = leading_dense(scatter, right, self.num_components)
        self.components_ = back(u)
        self._projection, self.gamma_ = sample.projection(self.components_), sample.gamma
        if (found := len(self.eigenvalues_)) < self.num_components:
            say(f"SSTCA: {found} components instead of {self.num_components}: the data have no more directions.")

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return self._projection(x)


def laplacian(rows: Rows, num_neighbours: int) -> scipy.sparse.csr_array:
    """(num, num) D - A of the graph of nearest neighbours, A = exp(-distance^2 / (2 sigma^2)), sigma their median."""
    graph = scipy.sparse.csr_array(kneighbors_graph(rows, min(num_neighbours, rows.shape[0] - 1), mode="distance"))
    sigma = float(np.median(graph.data)) or 1.0
    graph.data = np.exp(-np.square(graph.data) / (2 * sigma**2))
    graph = graph.maximum(graph.T)
    return scipy.sparse.csr_array(scipy.sparse.diags_array(graph.sum(0)) - graph)


def _indicator(domains: Domains) -> np.ndarray:
    """(num_source + num_target, num_classes) 1 where a source row has the class; target rows are 0."""
    codes, num_classes = domains.labels
    out = np.zeros((len(codes) + domains.num_target, num_classes))
    out[np.arange(len(codes)), codes] = 1
    return out
