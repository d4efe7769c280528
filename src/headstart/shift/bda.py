"""BDA: JDA with a balance between the domains as a whole and their classes.

Wang, Chen, Hao, Feng, Shen: Balanced Distribution Adaptation for Transfer Learning, ICDM 2017, arXiv 1807.00516,
equations 5-7.
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


class BDA(Adapter):
    """Leading components of ``X H X' A = (X ((1 - balance) M_0 + balance sum M_c) X' + mu I) A values``.

    M_0 and M_c as in ``JDA``, which is this at equal shares; ``A' X H X' A = I``. Needs source labels.

    Args:
        balance: 0 compares the domains as a whole (TCA), 1 only class by class.
        num_components: columns of A.
        kernel: "primal" as in the equation; "linear" and "rbf" put K for X and weights on rows, see ``TCA``.
        regularisation: mu (lambda in the paper).
        num_rounds: at most; it stops where no label changes.
        classifier: of pseudo labels; None: the nearest neighbour, as in the paper.
        gamma: of the RBF kernel, which is approximated on 1,000 landmarks beyond 4,000 rows.
        whiten: as in ``TCA``.

    Attributes:
        components_, eigenvalues_: as in ``TCA``.
        classes_: (num_classes,) sorted labels.
        target_labels_: (num_target,) the last pseudo labels.
    """

    needs_labels: ClassVar[bool] = True
    uses_labels: ClassVar[bool] = True

    def __init__(
        self,
        balance: float = 0.5,
        num_components: int = 50,
        kernel: Kernel = "primal",
        regularisation: float = 1.0,
        num_rounds: int = 10,
        classifier: Any = None,
        gamma: float | None = None,
        whiten: bool = True,
    ) -> None:
        self.balance = balance
        self.num_components = num_components
        self.kernel = kernel
        self.regularisation = regularisation
        self.num_rounds = num_rounds
        self.classifier = classifier
        self.gamma = gamma
        self.whiten = whiten

    def _learn(self, domains: Domains) -> None:
        if self.num_rounds < 1 or not 0 <= self.balance <= 1:
            raise ConfigError(
                f"num_rounds is {self.num_rounds} and balance {self.balance}; the first must be at least 1, the second "
                "between 0 and 1."
            )
        sample = Components(domains, self.kernel, self.gamma)
        shares = 1 - self.balance, self.balance
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
            say(f"BDA: {found} components instead of {self.num_components}: the data have no more directions.")

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return apply(self._features, x, self.components_)
