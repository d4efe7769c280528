"""Linear support vector machine, one class against the rest (scikit-learn's LinearSVC). The setting is 1 / C."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from headstart.solvers import Solver, Table, linear_head
from headstart.tasks import Head


class LinearSVM(Solver):
    grid = (10000.0, 1000.0, 100.0, 10.0)

    def solve(self, table: Table, setting: float, seed: int) -> Head:
        return linear_head(table, *_weights(table, setting, seed))

    def logits(self, table: Table, held_out: np.ndarray, settings: tuple[float, ...], seed: int) -> list[np.ndarray]:
        solutions = [_weights(table, setting, seed) for setting in settings]
        return [held_out @ weight.T + bias for weight, bias in solutions]


def _weights(table: Table, setting: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    model = LinearSVC(C=1 / setting, random_state=seed, max_iter=2000, dual="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a loose optimum: the setting is chosen by accuracy
        model.fit(table.x, table.y)
    if len(model.classes_) == 2:  # one row that says "the second class"
        model.coef_ = np.vstack([-model.coef_[0], model.coef_[0]])
        model.intercept_ = np.array([-model.intercept_[0], model.intercept_[0]])
    weight = np.zeros((table.num_classes, table.x.shape[1]))
    bias = np.full(table.num_classes, -10.0)  # a class with no sample in this fold is not predicted
    weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias
