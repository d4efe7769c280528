"""TCA: components along which the domains agree and the data still vary.

Pan, Tsang, Kwok, Yang: Domain Adaptation via Transfer Component Analysis, IEEE Trans. Neural Networks 22(2), 2011.
The primal form is that of Long et al., Transfer Feature Learning with Joint Distribution Adaptation, ICCV 2013.
"""

from __future__ import annotations

import numpy as np

from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._components import Components, Kernel
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import difference


class TCA(Adapter):
    """Leading components of ``(K L K + mu I)^(-1) K H K`` (equation 9), with ``W' K H K W = I`` (equation 8).

    K (n, n) is the kernel of all n = num_source + num_target rows, H = I - 11'/n centres, and L = e e' with
    e = 1/num_source on source rows and -1/num_target on target rows, so that tr(W' K L K W) is the squared maximum
    mean discrepancy of the domains after projection. A row x becomes k(x, rows) W.

    Args:
        num_components: columns of W; fewer where the data have fewer directions, which is said.
        kernel: "linear", k(x, y) = x'y; "rbf", exp(-gamma |x - y|^2); "primal": weights on features rather than on
            rows, that is components A of ``(X' L X + mu I)^(-1) X' H X`` with ``A' X' H X A = I``, x becomes A'x.
            "linear" penalises the weights of rows, "primal" those of features.
        regularisation: mu, above 0.
        gamma: of the RBF kernel; None: 1 / the median squared distance.
        num_landmarks: RBF beyond 4,000 rows uses this many rows drawn at random (Nystroem), which is said.
        seed: of that draw.
        whiten: whether the components are scaled as the constraint says, so that all vary alike; else each has length
            1 and the leading ones weigh more, as in the authors' Matlab code: better before the nearest neighbour.

    No n x n matrix is built for "linear" and "primal" where there are more rows than features, nor for "rbf" beyond
    4,000 rows; memory then does not grow with the number of rows.

    Attributes:
        components_: (dim_features, num_components) what rows, or their kernel features, are multiplied by.
        eigenvalues_: (num_components,) descending.
    """

    def __init__(
        self,
        num_components: int = 50,
        kernel: Kernel = "linear",
        regularisation: float = 1.0,
        gamma: float | None = None,
        num_landmarks: int = 1000,
        seed: int = 0,
        whiten: bool = True,
    ) -> None:
        self.num_components = num_components
        self.kernel = kernel
        self.regularisation = regularisation
        self.gamma = gamma
        self.num_landmarks = num_landmarks
        self.seed = seed
        self.whiten = whiten

    def _learn(self, domains: Domains) -> None:
        sample = Components(domains, self.kernel, self.gamma, self.num_landmarks, self.seed)
        self.eigenvalues_, self.components_ = sample.solve(
            difference(domains)[:, None], self.regularisation, self.num_components, self.whiten
        )
        self._projection, self.gamma_ = sample.projection(self.components_), sample.gamma
        if (found := len(self.eigenvalues_)) < self.num_components:
            say(f"TCA: {found} components instead of {self.num_components}: the data have no more directions.")

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return self._projection(x)
