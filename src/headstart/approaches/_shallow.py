"""Closed-form methods on features: rows are moved or weighed, then a linear classifier is fitted on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.approaches._rows import Linear, Pair, classifier, scaling
from headstart.errors import Incompatible
from headstart.tasks import Head
from headstart.training.run import Run

if TYPE_CHECKING:
    from headstart.shift import Adapter


def moved(adapter: Adapter, pair: Pair, run: Run) -> Head:
    """Fit the adapter, then a classifier on the moved source; the two become one linear head on raw target rows."""
    scaled = scaling(pair.source, pair.target)
    source, target = scaled(pair.source), scaled(pair.target)
    labels = pair.labels if adapter.uses_labels else None
    adapter.fit(source, target, labels)
    rows = np.asarray(adapter.transform(source, domain="source"), np.float32)
    after = scaling(rows)
    fitted = classifier(after(rows), pair.labels, pair.num_classes, penalty=pair.penalty, seed=run.seed).after(after)
    return through(adapter, fitted, target).after(scaled).head()


def through(adapter: Adapter, fitted: Linear, target: np.ndarray) -> Linear:
    """The classifier of moved rows as one of rows that the adapter, an affine map of target rows, has not moved yet.

    Raises:
        Incompatible: the map is not affine (an RBF kernel), so that no linear head does the same.
    """
    dim = target.shape[1]
    constant = _map(adapter, np.zeros((1, dim), np.float32))[0]
    weight = np.empty((len(fitted.bias), dim))
    for start in range(0, dim, 1024):  # the rows of the map's matrix, which need not fit in memory at once
        some = np.zeros((min(1024, dim - start), dim), np.float32)
        some[np.arange(len(some)), start + np.arange(len(some))] = 1
        weight[:, start : start + len(some)] = fitted.weight @ (_map(adapter, some) - constant).T
    whole = Linear(weight, fitted.logits(constant[None])[0], fitted.penalty)
    direct, folded = fitted.logits(_map(adapter, target[:32])), whole.logits(target[:32].astype(np.float64))
    if not np.allclose(direct, folded, atol=1e-2 * (1 + np.abs(direct).max())):
        raise Incompatible(
            f"{type(adapter).__name__} is no linear map with these settings, so it cannot become a head. Use a linear "
            "kernel here; hs.shift has the estimator for every kernel."
        )
    return whole


def _map(adapter: Adapter, rows: np.ndarray) -> np.ndarray:
    return np.asarray(adapter.transform(rows, domain="target"), np.float64)
