"""Fitted heads are as good as scikit-learn's linear models on the same features."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from headstart import probing
from headstart.data.labels import joined
from headstart.errors import ConfigError, Incompatible
from headstart.models.backbone import Features
from headstart.probing.multilabel import minimum
from headstart.probing.ordinal import minima
from headstart.probing.regression import NARROW
from headstart.tasks import Task
from headstart.tasks._heads import build
from headstart.tasks.classification import Classification
from headstart.tasks.multilabel import Multilabel
from headstart.tasks.ordinal import Ordinal
from headstart.tasks.regression import Regression


def said(head: torch.nn.Module, task: Task, vectors: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return task.probabilities(head(Features(torch.from_numpy(vectors))))


def diabetes() -> tuple[np.ndarray, list[str]]:
    found = load_diabetes()
    return (found.data * 100 + 7).astype(np.float32), [str(value) for value in found.target]


def test_regression_is_ridge_regression() -> None:
    vectors, labels = diabetes()
    task = Regression.learn(labels[:300])
    fitted = probing.fit(task, vectors[:300], task.encode(labels[:300]), head="ridge")
    setting = float(fitted.said.rpartition(" at ")[2])
    mean, scale = vectors[:300].mean(0), vectors[:300].std(0)
    actual = np.array(labels, float)
    wanted = Ridge(alpha=setting * 300).fit((vectors[:300] - mean) / scale, actual[:300])
    assert said(fitted.head, task, vectors[300:])[:, 0] == pytest.approx(
        wanted.predict((vectors[300:] - mean) / scale), rel=2e-3
    )
    again = build("RegressionHead", fitted.head.state_dict())
    assert np.array_equal(said(again, task, vectors), said(fitted.head, task, vectors))


def test_the_lasso_is_the_lasso() -> None:
    vectors, labels = diabetes()
    task = Regression.learn(labels[:300])
    fitted = probing.fit(task, vectors[:300], task.encode(labels[:300]), head="lasso")
    setting = float(fitted.said.rpartition(" at ")[2])
    actual = np.array(labels, float)
    table, target = StandardScaler().fit(vectors[:300]), actual[:300]
    wanted = Lasso(alpha=setting).fit(table.transform(vectors[:300]), (target - target.mean()) / target.std())
    predicted = wanted.predict(table.transform(vectors[300:])) * target.std() + target.mean()
    assert said(fitted.head, task, vectors[300:])[:, 0] == pytest.approx(predicted, rel=1e-2)  # the setting is told rounded


def test_where_few_columns_matter_the_lasso_is_kept_and_ridge_regression_where_all_do() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(120, 60)).astype(np.float32)
    few, all_ = vectors[:, :2].sum(1), vectors @ rng.normal(size=60) / 8
    rows = [joined({"few": str(a + e), "all": str(b + e)}) for a, b, e in zip(few, all_, rng.normal(size=120), strict=True)]
    task = Regression.learn(rows)
    labels = task.encode(rows)
    found = {head: probing.fit(task, vectors, labels, head=head) for head in ("linear", "ridge", "lasso")}
    weights = {head: one.head.linear.weight.detach() for head, one in found.items()}  # type: ignore[union-attr]
    assert found["linear"].name == "lasso and ridge" and found["lasso"].name == "lasso"
    assert re.search(r"R2 0\.\d+ at lasso [\d.e-]+; ridge [\d.e-]+$", found["linear"].said), found["linear"].said
    assert torch.equal(weights["linear"][0], weights["lasso"][0]) and torch.equal(weights["linear"][1], weights["ridge"][1])
    assert (weights["lasso"][0] == 0).sum() > 20, "columns that do not matter have no weight"


def test_what_cannot_be_cross_validated_is_said_to_be_so() -> None:
    vectors = np.eye(3, dtype=np.float32)
    task = Regression.learn(["1", "2", "4"])
    assert probing.fit(task, vectors, task.encode(["1", "2", "4"])).said == "ridge head at 0.01, the middle of its grid: too few samples for cross-validation"
    rng = np.random.default_rng(0)
    rows = [joined({"a": str(i), "b": str(i) if i < 2 else None}) for i in range(20)]
    task = Regression.learn(rows)
    vectors = np.stack([np.arange(20), rng.normal(size=20)], 1).astype(np.float32)
    said_ = probing.fit(task, vectors, task.encode(rows)).said
    assert "R2 1.000" in said_ or "R2 0.99" in said_, said_
    assert said_.endswith("of some outputs there are too few samples for cross-validation")


def test_a_wide_table_of_features_has_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, NARROW + 1)).astype(np.float32)
    labels = [str(value) for value in vectors[:, 0]]
    task = Regression.learn(labels)
    assert probing.fit(task, vectors, task.encode(labels)).name == "ridge"
    assert probing.fit(task, vectors[:, :NARROW], task.encode(labels)).name == "lasso"


def test_outputs_with_gaps_are_fitted_on_what_is_known() -> None:
    vectors, labels = diabetes()
    rows = [joined({"a": label, "b": None if i % 3 else label}) for i, label in enumerate(labels)]
    task = Regression.learn(rows)
    both = probing.fit(task, vectors, task.encode(rows)).head
    known = [i for i in range(len(rows)) if i % 3 == 0]
    single = Regression.learn([labels[i] for i in known])
    alone = probing.fit(single, vectors[known], single.encode([labels[i] for i in known])).head
    assert said(both, task, vectors)[:, 1] == pytest.approx(said(alone, single, vectors)[:, 0], rel=1e-4)


def test_every_label_is_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6)).astype(np.float32)
    y = (x @ rng.normal(size=(6, 3)) + rng.normal(size=(150, 3)) > [0, 1, -1]).astype(np.float32)
    known = y.copy()
    known[:50, 1] = np.nan
    weight, bias = minimum(x, known, (0.01,), tolerance=1e-5)
    for place, rows in ((0, slice(0, 150)), (1, slice(50, 150))):
        number = len(y[rows])
        wanted = LogisticRegression(C=1 / (0.01 * number), tol=1e-8, max_iter=1000).fit(x[rows], y[rows, place])
        assert weight[0, place] == pytest.approx(wanted.coef_[0], abs=5e-3)
        assert bias[0, place] == pytest.approx(wanted.intercept_[0], abs=5e-3)


def test_two_grades_are_a_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    y = (x[:, 0] - x[:, 1] + rng.normal(size=200) > 0.3).astype(np.int64)
    weight, first, _ = minima(x, y, 2, (0.01,), tolerance=1e-5)[0]
    wanted = LogisticRegression(C=1 / (0.01 * 200), tol=1e-8, max_iter=1000).fit(x, y)
    assert weight[0].numpy() == pytest.approx(wanted.coef_[0], abs=5e-3)
    assert -first.item() == pytest.approx(wanted.intercept_[0], abs=5e-3)


def test_grades_from_a_latent_score_are_found_again() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 4)).astype(np.float32)
    truth, cuts = np.array([2.0, -1.0, 0.5, 0.0]), np.array([-2.0, 0.0, 1.0])
    y = np.searchsorted(cuts, x @ truth + rng.logistic(size=3000))
    weight, first, gaps = minima(x, y, 4, (1e-5,), tolerance=1e-5)[0]
    assert weight[0].numpy() == pytest.approx(truth, abs=0.2)
    assert torch.cat([first, first + gaps.exp().cumsum(0)]).numpy() == pytest.approx(cuts, abs=0.2)


def test_an_ordinal_head_beats_classes_without_order_in_absolute_error() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(700, 20)).astype(np.float32)
    y = np.digitize(x[:, :5].sum(1) + rng.normal(size=700), [-3, -1.5, 0, 1.5, 3])
    labels = [str(grade) for grade in y]
    errors = {}
    for kind in (Ordinal, Classification):
        task = kind.learn(labels[:200])
        head = probing.fit(task, x[:200], task.encode(labels[:200])).head
        answers = [int(task.answer(row).label) for row in said(head, task, x[200:])]
        errors[kind.__name__] = float(np.abs(np.array(answers) - y[200:]).mean())
    assert errors["Ordinal"] < errors["Classification"]


def test_labels_that_always_or_never_occur_are_no_crash() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    labels = ["a"] * 18 + ["a;b", "a"]
    task = Multilabel.learn(labels)
    found = said(probing.fit(task, vectors, task.encode(labels)).head, task, vectors)
    assert np.isfinite(found).all() and (found[:, 0] > 0.9).all()


def test_heads_of_another_task_are_refused() -> None:
    task = Regression.learn(["1", "2", "3"])
    with pytest.raises(Incompatible, match="head svm is not for the task regression; there are: linear, ridge, lasso"):
        probing.check(task, "svm")
    with pytest.raises(ConfigError, match="no head 'rigde' for the task regression"):
        probing.check(task, "rigde")
    assert probing.check(task, "auto") == "linear" and probing.check(Classification(("a", "b")), "auto") == "logistic"
    assert probing.distinct(task) == ("ridge", "lasso"), "a search does not try the choice between the two beside them"
