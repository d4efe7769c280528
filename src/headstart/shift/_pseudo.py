"""What JDA and BDA share: project, label the target there, align the classes, project again."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._components import Components, Kernel
from headstart.shift._inputs import Domains, Rows
from headstart.shift._moments import difference


def class_columns(codes: np.ndarray, guesses: np.ndarray, num_classes: int) -> np.ndarray:
    """Columns e_c (num_source + num_target, found) with M_c = e_c e_c': 1 / count on the source rows of class c,
    -1 / count on the target rows guessed as c. A class that either domain lacks has no column."""
    columns = []
    for c in range(num_classes):
        source, target = codes == c, guesses == c
        if source.any() and target.any():
            columns.append(np.concatenate([source / source.sum(), -1.0 * target / target.sum()]))
    return np.stack(columns, axis=1) if columns else np.zeros((len(codes) + len(guesses), 0))


def rounds(
    sample: Components, domains: Domains, classifier: Any, num_rounds: int, shares: tuple[float, float],
    mu: float, num_components: int, whiten: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Values (found,), components (dim_features, found) and the last guesses (num_target,), class numbers.

    Args:
        classifier: unfitted; None: the nearest neighbour.
        whiten: see ``TCA``.
        shares: weights of M_0, which compares the domains, and of every M_c.
    """
    codes, num_classes = domains.labels
    classifier = KNeighborsClassifier(1) if classifier is None else classifier
    marginal = np.sqrt(shares[0]) * difference(domains)[:, None]
    columns, guesses = marginal, None
    for _ in range(num_rounds):
        values, components = sample.solve(columns, mu, num_components, whiten)
        source, target = sample.project(components)
        found = clone(classifier).fit(source, codes).predict(target)
        if guesses is not None and (found == guesses).all():
            break
        guesses = found
        columns = np.concatenate([marginal, np.sqrt(shares[1]) * class_columns(codes, guesses, num_classes)], axis=1)
    assert guesses is not None, "num_rounds is checked by the caller"
    return values, components, guesses


class ClassByClass(Adapter):
    """Components along which the domains agree as a whole and class by class, found in rounds of pseudo labels."""

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
        """Weights of M_0, which compares the domains as a whole, and of every M_c, which compares a class."""
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
        self._projection, self.gamma_ = sample.projection(self.components_), sample.gamma
        assert domains.classes is not None
        self.classes_, self.target_labels_ = domains.classes, domains.classes[guesses]
        if (found := len(self.eigenvalues_)) < self.num_components:
            say(f"{type(self).__name__}: {found} components instead of {self.num_components}: the data have no more directions.")

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        return self._projection(x)
