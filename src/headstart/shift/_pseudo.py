"""Rounds of pseudo labels, shared by JDA and BDA: project, label the target there, align the classes, project again."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from headstart.shift._components import Components, apply
from headstart.shift._inputs import Domains
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
        projected = apply(sample.features, domains.source, components)
        fitted = clone(classifier).fit(projected, codes)
        found = fitted.predict(apply(sample.features, domains.target, components))
        if guesses is not None and (found == guesses).all():
            break
        guesses = found
        columns = np.concatenate([marginal, np.sqrt(shares[1]) * class_columns(codes, guesses, num_classes)], axis=1)
    assert guesses is not None, "num_rounds is checked by the caller"
    return values, components, guesses
