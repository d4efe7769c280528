"""JDA: components along which the domains agree, class by class, with pseudo labels for the target.

Long, Wang, Ding, Sun, Yu: Transfer Feature Learning with Joint Distribution Adaptation, ICCV 2013, equations 8-10 and
algorithm 1.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._components import Components, Kernel, apply
from headstart.shift._inputs import Domains, Rows
from headstart.shift._pseudo import rounds


class JDA(Adapter):
    """Leading components of ``X H X' A = (X (M_0 + sum M_c) X' + mu I) A values`` with ``A' X H X' A = I``.

    M_0 = e e' compares the means of the domains, M_c those of class c, where target rows have the class that a
    classifier, fitted on the projected source, gives them; the two steps alternate. Needs source labels.

    Args:
        num_components: columns of A.
        kernel: "primal" as in the equation; "linear" and "rbf" put K for X and weights on rows, see ``TCA``.
        regularisation: mu (lambda in the paper).
        num_rounds: at most; it stops where no label changes.
        classifier: of pseudo labels; None: the nearest neighbour, as in the paper.
        gamma: of the RBF kernel, which is approximated on 1,000 landmarks beyond 4,000 rows.
        seed: of the landmarks.
        whiten: whether the components are scaled as the constraint says, so that all vary alike; else each has length
            1 and the leading ones weigh more, as in the authors' Matlab code: better before the nearest neighbour.

    Attributes:
        components_, eigenvalues_: as in ``TCA``.
        classes_: (num_classes,) sorted labels.
        target_labels_: (num_target,) the last pseudo labels.
    """

    needs_labels: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = True

    def __init__(
        self,
        num_components: int = 50,
        kernel: Kernel = "primal",
        regularisation: float = 1.0,
        num_rounds: int = 10,
        classifier: Any = None,
        gamma: float | None = None,
        seed: int = 0,
        whiten: bool = True,
    ) -> None:
        self.num_components = num_components
        self.kernel = kernel
        self.regularisation = regularisation
        self.num_rounds = num_rounds
        self.classifier = classifier
        self.gamma = gamma
        self.seed = seed
        self.whiten = whiten

    def _shares(self) -> tuple[float, float]:
        """Weights of M_0 and of every M_c."""
        return 1.0, 1.0

    def _learn(self, domains: Domains) -> None:
        if self.num_rounds < 1:
            raise ConfigError(f"num_rounds is {self.num_rounds}; it must be at least 1.")
        shares = self._shares()
        sample = Components(domains, self.kernel, self.gamma, seed=self.seed)
        self.eigenvalues_, self.components_, guesses = rounds(
            sample,
            domains,
            self.classifier,
            self.num_rounds,
            shares,
            self.regularisation,
            self.num_components,
            self.whiten,
        )
        self._features, self.gamma_ = sample.features, sample.gamma
        assert domains.classes is not None
        self.classes_, self.target_labels_ = domains.classes, domains.classes[guesses]
        if (found := len(self.eigenvalues_)) < self.num_components:
            say(f"{type(self).__name__}: {found} components instead of {self.num_components}: the data have no more directions.")

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return apply(self._features, x, self.components_)
