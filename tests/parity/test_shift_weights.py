"""The weights and label shares of ``headstart.shift`` against the equations of the papers and independent computations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.tree import DecisionTreeClassifier

import headstart.shift as shift
from domain_pairs import labelled, two
from headstart.shift import bbse, mlls

# Weights


def test_kmm_reaches_the_minimum_of_a_generic_solver() -> None:
    source, target = two(35, 50, dim=3)
    method = shift.KMM(largest=4.0, slack=0.1, gamma=0.2).fit(source, target)
    k = rbf_kernel(source, gamma=0.2)
    linear = 35 / 50 * rbf_kernel(source, target, gamma=0.2).sum(1)
    found = scipy.optimize.minimize(
        lambda b: b @ k @ b / 2 - linear @ b, np.ones(35), jac=lambda b: k @ b - linear, method="SLSQP",
        bounds=[(0, 4)] * 35, options={"maxiter": 2000, "ftol": 1e-13},
        constraints=[{"type": "ineq", "fun": lambda b: b.mean() - 0.9}, {"type": "ineq", "fun": lambda b: 1.1 - b.mean()}],
    )  # fmt: skip
    assert found.success
    assert np.allclose(method.weights_, found.x / found.x.mean(), atol=0.02)


def test_kmm_on_landmarks_that_are_all_rows_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = two(60, 50, dim=3)
    exact = shift.KMM(largest=5.0, gamma=0.3).fit(source, target).weights_
    monkeypatch.setattr("headstart.shift.kmm.EXACT", 10)
    near = shift.KMM(largest=5.0, gamma=0.3, num_landmarks=110).fit(source, target).weights_
    assert np.allclose(near, exact, atol=0.05)


@pytest.mark.parametrize(
    "make", [lambda: shift.KMM(largest=20.0), lambda: shift.DensityRatio(0.001)], ids=["kmm", "ratio"]
)
def test_weights_follow_the_true_ratio_of_densities(make) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(0, 1, (600, 1)), rng.normal(0.7, 0.8, (500, 1))
    weights = make().fit(source, target).weights_
    true = scipy.stats.norm(0.7, 0.8).pdf(source[:, 0]) / scipy.stats.norm(0, 1).pdf(source[:, 0])
    middle = np.abs(source[:, 0]) < 1.5
    assert np.corrcoef(weights[middle], true[middle])[0, 1] > 0.85
    assert abs(np.average(source[:, 0], weights=weights) - target.mean()) < 0.2 < abs(source.mean() - target.mean())


def test_the_density_ratio_weighs_new_rows_alike() -> None:
    source, target = two()
    method = shift.DensityRatio().fit(source, target)
    assert np.allclose(method.weigh(source), method.weights_)
    flat = shift.DensityRatio(exponent=0.0).fit(source, target)
    assert np.allclose(flat.weights_, 1)


# Labels


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three classes that overlap; the target has the same classes in other shares: 0.7, 0.2, 0.1."""
    rng = np.random.default_rng(seed)
    ys, yt = rng.choice(3, 900), rng.choice(3, 900, p=[0.7, 0.2, 0.1])
    centres = 1.5 * np.array([[0, 0], [1, 0.3], [0.2, 1]])
    return centres[ys] + rng.normal(size=(900, 2)), centres[yt] + rng.normal(size=(900, 2)), ys, yt


@pytest.mark.parametrize("method", [shift.BBSE, shift.MLLS])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_class_balance_is_found(method: type, seed: int) -> None:
    source, target, ys, yt = planted(seed)
    fitted = method().fit(source, target, ys)
    assert np.allclose(fitted.target_balance_, np.bincount(yt) / 900, atol=0.1 if method is shift.BBSE else 0.05)
    plain = LogisticRegression().fit(source, ys).score(target, yt)
    assert fitted.score(target, yt) > plain + 0.04
    assert np.allclose(fitted.ratio_ * np.bincount(ys) / 900, fitted.target_balance_)


def test_bbse_inverts_the_confusion_and_mlls_is_the_maximum_likelihood() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], [500, 500])
    source = np.where(rng.random((1000, 1)) < 0.8, np.eye(2)[codes], np.eye(2)[1 - codes])
    target = np.eye(2)[(rng.random(1000) < 0.35).astype(int)]
    joint = np.array([[((source.argmax(1) == i) & (codes == j)).mean() for j in range(2)] for i in range(2)])
    expected = np.linalg.solve(joint, target.mean(0))
    assert np.allclose(bbse.bbse_ratio(source, codes, target), expected)
    probabilities = rng.dirichlet([1, 1], 400)
    shares = np.array([0.3, 0.7])
    found = scipy.optimize.minimize_scalar(
        lambda p: -np.log((probabilities / shares) @ [p, 1 - p]).sum(), bounds=(1e-6, 1 - 1e-6), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    assert mlls.mlls_balance(probabilities, shares)[0] == pytest.approx(found.x, abs=1e-5)


def test_calibration_undoes_a_known_temperature() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 3))
    p = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    codes = (rng.random((4000, 1)) > p.cumsum(1)).sum(1)
    sharp = p**3 / (p**3).sum(1, keepdims=True)
    temperature, bias = mlls.calibration(sharp, codes)
    assert temperature == pytest.approx(3, abs=0.25)
    assert np.ptp(bias) < 0.2


def test_tradaboost_follows_the_target_where_the_source_contradicts_it() -> None:
    rng = np.random.default_rng(0)
    source, target, new = (rng.uniform(-1, 1, (n, 2)) for n in (600, 60, 1000))
    rule = lambda x: (x[:, 0] > 0).astype(int)  # noqa: E731
    ys = (source[:, 0] + source[:, 1] > 0).astype(int)  # a quarter of the source says the opposite
    weak = DecisionTreeClassifier(max_depth=3, random_state=0)
    boosted = shift.TrAdaBoost(weak).fit(source, target, ys, rule(target)).score(new, rule(new))
    both = weak.fit(np.vstack([source, target]), np.append(ys, rule(target))).score(new, rule(new))
    assert boosted > both + 0.05
    assert boosted > 0.9


def test_tradaboost_weights_rows_as_its_paper_says() -> None:
    """One round by hand: the second member is fitted with the weights of algorithm 1."""
    seen: list[np.ndarray] = []

    class Spy(DecisionTreeClassifier):
        def fit(self, X, y, sample_weight=None):
            seen.append(sample_weight / sample_weight.sum())
            return super().fit(X, y, sample_weight=sample_weight)

    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(30, 2)), rng.normal(size=(20, 2))
    ys, yt = rng.integers(0, 2, 30), rng.integers(0, 2, 20)
    shift.TrAdaBoost(Spy(max_depth=1, random_state=0), num_rounds=2).fit(source, target, ys, yt)
    first = DecisionTreeClassifier(max_depth=1, random_state=0).fit(np.vstack([source, target]), np.append(ys, yt))
    wrong_source, wrong_target = first.predict(source) != ys, first.predict(target) != yt
    error = wrong_target.mean()
    weights = np.concatenate([
        np.where(wrong_source, 1 / (1 + np.sqrt(2 * np.log(30) / 2)), 1),
        np.where(wrong_target, (1 - error) / error, 1),
    ])  # fmt: skip
    assert np.allclose(seen[0], 1 / 50)
    assert np.allclose(seen[1], weights / weights.sum())


def test_self_training_trusts_the_surest_of_every_class() -> None:
    from headstart.shift.self_training import most_confident

    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55]])
    assert list(most_confident(p, 0.5)) == [0, 2, 3]
    assert list(most_confident(p, 1.0)) == [0, 1, 2, 3, 4]
    source, target, ys, yt = labelled()
    assert shift.SelfTraining().fit(source, target, ys).score(target, yt) >= LogisticRegression().fit(source, ys).score(
        target, yt
    )
