"""BDA: JDA with a balance between the domains as a whole and their classes.

Wang, Chen, Hao, Feng, Shen: Balanced Distribution Adaptation for Transfer Learning, ICDM 2017, arXiv 1807.00516,
equations 5-7.
"""

from __future__ import annotations

from typing import Any

from headstart.errors import ConfigError
from headstart.shift._components import Kernel
from headstart.shift._pseudo import ClassByClass


class BDA(ClassByClass):
    """Leading components of ``X H X' A = (X ((1 - balance) M_0 + balance sum M_c) X' + mu I) A values``.

    M_0 and M_c as in ``JDA``, which is this at equal shares; ``A' X H X' A = I``. Needs source labels.

    Args:
        balance: 0 compares the domains as a whole (TCA), 1 only class by class.
        num_components, kernel, regularisation, num_rounds, classifier, gamma, seed, whiten: as in ``JDA``.

    Attributes:
        components_, eigenvalues_, classes_, target_labels_: as in ``JDA``.
    """

    def __init__(
        self,
        balance: float = 0.5,
        num_components: int = 50,
        kernel: Kernel = "primal",
        regularisation: float = 1.0,
        num_rounds: int = 10,
        classifier: Any = None,
        gamma: float | None = None,
        seed: int = 0,
        whiten: bool = True,
    ) -> None:
        super().__init__(num_components, kernel, regularisation, num_rounds, classifier, gamma, seed, whiten)
        self.balance = balance

    def _shares(self) -> tuple[float, float]:
        if not 0 <= self.balance <= 1:
            raise ConfigError(f"balance is {self.balance}; it must be between 0 and 1.")
        return 1 - self.balance, self.balance
