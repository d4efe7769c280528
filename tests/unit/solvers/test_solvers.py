"""Parity with scikit-learn, and the odd tables that real data bring."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as ReferenceRidge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from headstart import plugins, progress, solvers
from headstart.metrics.classification import log_loss
from headstart.models.backbone import Features
from headstart.solvers.knn import Nearest
from headstart.solvers.logistic import Logistic
from headstart.solvers.ridge import SHARPNESS, Ridge
from headstart.solvers.svm import LinearSVM
from headstart.tasks import Head

NAMES = ["knn", "logistic", "ridge", "svm"]


def table(
    n: int = 90, dim: int = 12, classes: int = 3, seed: int = 0, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes; features on scales from 0.01 to 100 and far from 0."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, dim)) * spread
    scales = 10.0 ** rng.uniform(-2, 2, dim)
    return ((centres[labels] + rng.normal(size=(n, dim)) + 3) * scales).astype(np.float32), labels


def logits(head: Head, vectors: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return head(Features(torch.from_numpy(vectors))).double().numpy()


def softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values - values.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


@pytest.mark.parametrize("setting", Logistic.grid)
@pytest.mark.parametrize(("classes", "dim"), [(2, 12), (3, 12), (3, 200)], ids=["two", "three", "wider-than-long"])
def test_logistic_against_scikit_learn(setting: float, classes: int, dim: int) -> None:
    vectors, labels = table(classes=classes, dim=dim)
    fresh, _ = table(seed=0, n=300, classes=classes, dim=dim)
    made = solvers.standardised(vectors, labels, classes)
    reference = LogisticRegression(C=1 / (len(labels) * setting), tol=1e-8, max_iter=5000).fit(made.x, labels)
    found = softmax(logits(Logistic().solve(made, setting, 0), fresh))
    wanted = reference.predict_proba((fresh - made.mean) / made.scale)
    if classes == 2:  # scikit-learn fits one row of weights there, of twice the penalty for the same difference
        both = LogisticRegression(C=2 / (len(labels) * setting), tol=1e-8, max_iter=5000).fit(made.x, labels)
        wanted = both.predict_proba((fresh - made.mean) / made.scale)
    assert np.abs(found - wanted).max() < 5e-3
    sure = np.abs(np.sort(wanted)[:, -1] - np.sort(wanted)[:, -2]) > 0.01
    assert np.array_equal(found.argmax(1)[sure], wanted.argmax(1)[sure])


def test_logistic_settings_solved_together_are_those_solved_alone() -> None:
    made = solvers.standardised(*table(), 3)
    together = Logistic().logits(made, made.x, Logistic.grid, 0)
    for setting, found in zip(Logistic.grid, together, strict=True):
        alone = logits(Logistic().solve(made, setting, 0), table()[0])
        assert np.abs(softmax(found) - softmax(alone)).max() < 0.02


@pytest.mark.parametrize("setting", Ridge.grid)
@pytest.mark.parametrize("n", [90, 9])  # more samples than features, and fewer
def test_ridge_against_scikit_learn(setting: float, n: int) -> None:
    vectors, labels = table(n)
    made = solvers.standardised(vectors, labels, 3)
    reference = ReferenceRidge(alpha=setting * n, solver="svd").fit(made.x, np.eye(3)[labels])
    fresh, _ = table(seed=0, n=200)
    wanted = reference.predict((fresh - made.mean) / made.scale)
    assert np.allclose(logits(Ridge().solve(made, setting, 0), fresh) / SHARPNESS, wanted, atol=2e-3)


@pytest.mark.parametrize("k", [1, 5])
def test_knn_against_scikit_learn(k: int) -> None:
    vectors, labels = table(spread=0.5)
    made = solvers.standardised(vectors, labels, 3)
    fresh = (table(seed=0, n=200, spread=0.5)[0] + np.float32(0)).copy()
    raw = (fresh - made.mean) / made.scale
    head = Nearest().solve(made, float(k), 0)

    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp(10 * (1 - distance))

    reference = KNeighborsClassifier(k, metric="cosine", weights=weights).fit(made.x, labels)
    found = softmax(logits(head, fresh))
    assert np.abs(found - reference.predict_proba(raw)).max() < 5e-3
    assert np.array_equal(found.argmax(1), reference.predict(raw))


def test_svm_against_scikit_learn() -> None:
    for classes in (2, 3):
        vectors, labels = table(classes=classes)
        made = solvers.standardised(vectors, labels, classes)
        reference = LinearSVC(C=0.01, random_state=0).fit(made.x, labels)
        found = logits(LinearSVM().solve(made, 100.0, 0), vectors)
        wanted = reference.decision_function(made.x)
        assert np.allclose(found[:, 1] if classes == 2 else found, wanted, atol=1e-2)
        assert np.array_equal(found.argmax(1), reference.predict(made.x))


def test_the_setting_is_chosen_by_cross_validation() -> None:
    vectors, labels = table(n=60, dim=200, spread=0.25)
    found = solvers.fit("ridge", vectors, labels, 3)
    assert set(found.tried) == set(Ridge.grid)
    assert found.accuracy == max(found.tried.values()) == found.tried[found.setting]
    assert found.setting == next(s for s in Ridge.grid if found.tried[s] == found.accuracy)  # the strongest on a tie
    assert found.accuracy < 0.99  # held out: on its own samples a ridge of 200 features is perfect


def test_folds_are_stratified_and_seeded() -> None:
    labels = np.array([0] * 40 + [1] * 8 + [2] * 5)
    folds = solvers.fold_numbers(labels, 0)
    assert folds is not None and set(folds) == {0, 1, 2, 3}
    for label in range(3):
        counts = np.bincount(folds[labels == label], minlength=4)
        assert counts.max() - counts.min() <= 1
    assert np.array_equal(folds, solvers.fold_numbers(labels, 0))  # type: ignore[arg-type]
    assert not np.array_equal(folds, solvers.fold_numbers(labels, 1))  # type: ignore[arg-type]
    assert set(solvers.fold_numbers(np.array([0, 0, 0, 1, 1]), 0)) == {0, 1}  # type: ignore[arg-type]
    assert solvers.fold_numbers(np.array([0, 0, 0, 1]), 0) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_class_with_one_sample(name: str) -> None:
    vectors, labels = table(n=30, spread=4)
    keep = np.flatnonzero((labels != 2) | (np.arange(30) == 2))
    found = solvers.fit(name, vectors[keep], labels[keep], 3)
    assert np.isnan(found.accuracy) and found.tried == {}
    assert found.setting == plugins_grid(name)[len(plugins_grid(name)) // 2]
    assert np.isfinite(logits(found.head, vectors)).all()


def plugins_grid(name: str) -> tuple[float, ...]:
    return {"knn": Nearest, "logistic": Logistic, "ridge": Ridge, "svm": LinearSVM}[name].grid


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_samples_is_never_predicted(name: str) -> None:
    vectors, labels = table(classes=2, spread=3)
    found = solvers.fit(name, vectors, labels * 2, 3)
    predicted = logits(found.head, vectors).argmax(1)
    assert set(predicted) == {0, 2} and (predicted == labels * 2).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_constant_features_have_no_say(name: str) -> None:
    vectors, labels = table(spread=2)
    constant = np.concatenate([vectors, np.full((90, 2), [1e6, 0.0], np.float32)], 1)
    plain, padded = solvers.fit(name, vectors, labels, 3), solvers.fit(name, constant, labels, 3)
    strange = constant.copy()
    strange[:, -2:] = 1e9, -1e9  # a feature that never varied says nothing, whatever it is later
    assert np.allclose(logits(padded.head, strange), logits(plain.head, vectors), atol=2e-2)
    nothing = solvers.fit(name, np.ones((30, 4), np.float32), np.arange(30) % 3, 3)
    assert np.isfinite(logits(nothing.head, np.ones((2, 4), np.float32))).all()


@pytest.mark.parametrize("name", NAMES)
def test_temperature_improves_held_out_log_loss(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels = table(n=600, dim=30, spread=0.3)
    kind = plugins.variant("solvers", name, solvers.Solver)
    monkeypatch.setattr(kind, "grid", kind.grid[-1:])  # the weakest regularisation: far too sure of itself
    warm = solvers.fit(name, vectors[:200], labels[:200], 3)
    monkeypatch.setattr(solvers, "_cool", lambda head, divisor: None)
    plain = solvers.fit(name, vectors[:200], labels[:200], 3)
    losses = [log_loss(logits(found.head, vectors[200:]), labels[200:]) for found in (warm, plain)]
    assert losses[0] < losses[1] - 0.002  # nats
    assert np.array_equal(logits(warm.head, vectors).argmax(1), logits(plain.head, vectors).argmax(1))


def test_temperature_finds_the_minimum() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5000, 3))
    labels = (rng.random(5000)[:, None] > softmax(true).cumsum(1)).sum(1)
    for factor in (0.3, 1.0, 8.0):
        assert solvers.temperature(true * factor, labels) == pytest.approx(factor, rel=0.1)
    assert 0.04 < solvers.temperature(np.eye(3)[labels], labels) < 0.06  # never wrong: stops at its bound


def test_a_feature_that_varies_by_its_rounding_alone_gets_no_weight() -> None:
    vectors, labels = table(n=90, dim=20, spread=1.0)
    noise = 0.5 + 1e-6 * np.random.default_rng(1).normal(size=(len(vectors), 1))
    head = solvers.fit("logistic", np.hstack([vectors, noise]).astype(np.float32), labels, 3).head
    weight = head.state_dict()["linear.weight"]
    assert weight[:, -1].abs().max() < 10 * weight[:, :-1].abs().max()  # it was a hundred thousand times as large


def test_logistic_regression_is_chosen_by_its_own_loss() -> None:
    """Not by the loss at the best temperature, where a head that is far too timid looks as good as any."""
    rng = np.random.default_rng(3)
    labels = np.arange(160) % 4
    vectors = (np.eye(4)[labels] @ rng.normal(size=(4, 40)) + 1.5 * rng.normal(size=(160, 40))).astype(np.float32)
    labels = np.where(rng.random(160) < 0.25, rng.integers(0, 4, 160), labels)  # a quarter of the labels is noise
    found = solvers.fit("logistic", vectors, labels, 4)
    table, folds = solvers.standardised(vectors, labels, 4), solvers.fold_numbers(labels, 0)
    losses = {}
    for setting in Logistic.grid:
        held_out = np.empty((160, 4))
        for fold in range(4):
            (held_out[folds == fold],) = Logistic().logits(
                table.rows(folds != fold), table.x[folds == fold], (setting,), 0
            )
        losses[setting] = (
            log_loss(held_out, labels),
            log_loss(held_out / solvers.temperature(held_out, labels), labels),
        )
    own, cooled = (min(losses, key=lambda setting, i=i: losses[setting][i]) for i in (0, 1))
    assert found.setting == own != cooled


def test_groups_are_not_split_by_cross_validation() -> None:
    """Each speaker is a blob of its own with a label: only folds that split speakers can recognise them."""
    rng = np.random.default_rng(0)
    groups, labels = np.repeat(np.arange(40), 6), np.repeat(rng.permutation(np.arange(40) % 2), 6)
    vectors = (rng.normal(size=(40, 60))[groups] + 0.05 * rng.normal(size=(240, 60))).astype(np.float32)
    apart = solvers.fit("logistic", vectors, labels, 2, groups=[str(group) for group in groups])
    assert solvers.fit("logistic", vectors, labels, 2).accuracy > 0.95
    assert apart.accuracy < 0.7
    folds = solvers.fold_numbers(labels, 0, [str(group) for group in groups])
    assert all(len(set(folds[groups == group])) == 1 for group in range(40))
    assert np.ptp(np.bincount(folds)) <= 12 and len(set(folds)) == solvers.FOLDS


def test_groups_are_split_where_a_class_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    labels, groups = np.arange(40) // 20, ["a"] * 20 + ["b"] * 20
    with progress.speaking():
        folds = solvers.fold_numbers(labels, 0, groups)
    assert len(set(folds)) == solvers.FOLDS
    assert "splits groups" in "".join(capsys.readouterr())
