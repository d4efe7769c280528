"""Every scorer against the formulae of its paper or its authors' code, written out naively here, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, spearmanr
from sklearn.covariance import LedoitWolf

from headstart import plugins
from headstart.features.table import FeatureTable, Origin
from headstart.ranking import scorers
from headstart.ranking.folds import folds
from headstart.ranking.scorers import _expected, _projection, knn, linear, logme, nleep

CLASSES = 4
SHAPES = [(90, 12), (40, 60)]  # more samples than features, and fewer


def table(n: int = 90, d: int = 12, seed: int = 0, apart: float = 1.0, source: int = 6) -> FeatureTable:
    rng = np.random.default_rng(seed)
    numbers = np.arange(n) % CLASSES
    centres = apart * rng.normal(size=(CLASSES, d))
    x = (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + centres[numbers] + 0.5).astype(np.float32)
    logits = rng.normal(size=(n, source)) + 2 * (np.arange(source) == numbers[:, None])
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = [f"class {c}" for c in numbers]
    return FeatureTable(x, labels, [str(i) for i in range(n)], n, "float32", 0.0,
                        Origin(1_000_000, 0.7, probabilities))  # fmt: skip


def parts(given: FeatureTable) -> tuple[np.ndarray, np.ndarray]:
    return given.vectors.astype(np.float64), np.unique(np.asarray(given.labels), return_inverse=True)[1]


def moved(given: FeatureTable, vectors: np.ndarray) -> FeatureTable:
    return FeatureTable(vectors, given.labels, given.names, 0, "float32", 0.0, given.origin)


def rotation(d: int, seed: int = 3) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def reference_logme(x: np.ndarray, numbers: np.ndarray) -> float:
    """The fixed-point iteration of the authors' LogME.py, one class after the other, from a full decomposition."""
    n = len(x)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    sigma, evidences = s**2, []
    for label in range(int(numbers.max()) + 1):
        y = (numbers == label).astype(float)
        coordinates = (u.T @ y) ** 2
        rest = y @ y - coordinates.sum()
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * coordinates / (t + sigma) ** 2).sum()
            res2 = (coordinates / (1 + sigma / t) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res2 + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        # the authors write D log(alpha), which with fewer samples than features counts directions that are not there
        evidence = len(sigma) * np.log(alpha) + n * np.log(beta) - np.log(alpha + beta * sigma).sum()
        evidences.append((evidence - beta * res2 - alpha * m2 - n * np.log(2 * np.pi)) / 2 / n)
    return float(np.mean(evidences))


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_authors_fixed_point(shape: tuple[int, int]) -> None:
    given = table(*shape)
    assert scorers.score("logme", given) == pytest.approx(reference_logme(*parts(given)), rel=1e-6)


def test_logme_is_the_largest_evidence_of_a_linear_model() -> None:
    """The density of the labels under N(0, X X' / alpha + I / beta), alpha and beta searched for: no formula is shared."""
    x, numbers = parts(table(60, 12, apart=0.3))
    found = logme.evidences(x, numbers, CLASSES)
    for label in range(CLASSES):
        y = (numbers == label).astype(float)

        def density(logs: np.ndarray, y: np.ndarray = y) -> float:
            return -multivariate_normal.logpdf(y, cov=x @ x.T / np.exp(logs[0]) + np.eye(len(x)) / np.exp(logs[1]))

        best = -minimize(density, [3.0, 2.0], method="Nelder-Mead").fun
        assert found[label] * len(x) == pytest.approx(best, abs=0.01)


def between(x: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.cov(np.stack([x[numbers == c].mean(0) for c in range(CLASSES)])[numbers], rowvar=False)


def test_hscore_from_explicit_covariances() -> None:
    given = table()
    x, numbers = parts(given)
    expected = np.trace(np.linalg.pinv(np.cov(x, rowvar=False), rcond=1e-15) @ between(x, numbers))
    assert scorers.score("hscore", given) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_shrunk_hscore_from_explicit_covariances(shape: tuple[int, int]) -> None:
    given = table(*shape)
    x, numbers = parts(given)
    fitted = LedoitWolf().fit(x)
    inverse = np.linalg.pinv(fitted.covariance_, rcond=1e-15)
    expected = np.trace(inverse @ ((1 - fitted.shrinkage_) * between(x, numbers)))
    assert scorers.score("hscore_shrunk", given) == pytest.approx(expected, rel=1e-5)


def test_leep_and_nce_by_loops() -> None:
    given = table()
    _, numbers = parts(given)
    source = given.origin.source_probs
    assert source is not None
    n, k = source.shape
    joint = np.zeros((CLASSES, k))
    for i in range(n):
        for z in range(k):
            joint[numbers[i], z] += source[i, z] / n
    leep = 0.0
    for i in range(n):
        leep += np.log(sum(joint[numbers[i], z] / joint[:, z].sum() * source[i, z] for z in range(k))) / n
    assert scorers.score("leep", given) == pytest.approx(leep)
    answers, nce = source.argmax(1), 0.0
    for z in range(k):
        for y in range(CLASSES):
            both = ((answers == z) & (numbers == y)).mean()
            if both:
                nce += both * np.log(both / (answers == z).mean())
    assert scorers.score("nce", given) == pytest.approx(nce)


@pytest.mark.parametrize("shape", SHAPES)
def test_transrate_from_determinants(shape: tuple[int, int]) -> None:
    given = table(*shape)
    x, numbers = parts(given)
    z = x - x.mean(0)

    def rate(rows: np.ndarray) -> float:
        return 0.5 * np.linalg.slogdet(np.eye(rows.shape[1]) + rows.T @ rows / (len(rows) * 1e-4))[1]

    expected = rate(z) - sum(rate(z[numbers == c]) for c in range(CLASSES)) / CLASSES
    assert scorers.score("transrate", given) == pytest.approx(expected, rel=1e-6)


def test_gbc_pair_by_pair() -> None:
    given = table()
    x, numbers = parts(given)
    centred = x - x.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    z = centred @ axes.T
    within = np.mean([(z[i] - z[numbers == numbers[i]].mean(0)) ** 2 for i in range(len(z))], axis=0)
    total, pairs = 0.0, 0
    gaussians = []
    for c in range(CLASSES):
        own = z[numbers == c]
        spread = ((own - own.mean(0)) ** 2).sum(0) + within + 1e-9 * z.var(0).sum()
        gaussians.append((own.mean(0), np.diag(spread / (len(own) + 1))))
    for a in range(CLASSES):
        for b in range(a + 1, CLASSES):
            (m1, s1), (m2, s2) = gaussians[a], gaussians[b]
            s = (s1 + s2) / 2
            distance = (m1 - m2) @ np.linalg.inv(s) @ (m1 - m2) / 8
            distance += 0.5 * np.log(np.linalg.det(s) / np.sqrt(np.linalg.det(s1) * np.linalg.det(s2)))
            total, pairs = total + np.exp(-distance), pairs + 1
    assert scorers.score("gbc", given) == pytest.approx(-total / pairs, rel=1e-6)


def test_parc_is_spearmans_correlation_of_two_distances() -> None:
    given = table()
    x, numbers = parts(given)
    upper = np.triu_indices(len(x), 1)
    features = (1 - np.corrcoef(x))[upper]
    labels = (1 - np.corrcoef(np.eye(CLASSES)[numbers]))[upper]
    assert scorers.score("parc", given) == pytest.approx(100 * spearmanr(features, labels.round(9))[0], rel=1e-6)


def test_nleep_is_leep_of_the_clusters() -> None:
    given = table(120, 8, apart=4.0)
    x, numbers = parts(given)
    z = _projection.components(given.vectors, nleep.MOST_COMPONENTS, nleep.ENERGY)
    clusters = nleep.mixture(z, 5 * CLASSES)
    assert np.allclose(clusters.sum(1), 1) and clusters.min() >= 0
    mass = clusters.sum(0)
    given_cluster = np.stack([clusters[numbers == c].sum(0) for c in range(CLASSES)]) / mass
    expected = np.mean([np.log((clusters[i] * given_cluster[numbers[i]]).sum()) for i in range(len(x))])
    assert scorers.score("nleep", given) == pytest.approx(expected)
    assert _expected.expected(clusters, numbers, CLASSES) == pytest.approx(expected)


def test_the_mixture_finds_planted_clusters() -> None:
    rng = np.random.default_rng(0)
    which = np.arange(90) % 3
    x = np.array([[0, 0], [30, 0], [0, 30]])[which] + rng.normal(size=(90, 2))
    clusters = nleep.mixture(x, 3)
    assert [len(set(clusters[which == w].argmax(1))) for w in range(3)] == [1, 1, 1]
    assert clusters.max(1).min() > 0.999


@pytest.mark.parametrize("shape", SHAPES)
def test_folds_of_the_linear_probe_equal_refitting(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ridge regression with a free intercept, fitted anew without each fold, gives the same answers."""
    x, numbers = parts(table(*shape))
    fold = folds(numbers)
    standard = (x - x.mean(0)) / x.std(0) / np.sqrt(x.shape[1])
    target = np.eye(CLASSES)[numbers]
    for penalty in (0.3, 0.01):
        monkeypatch.setattr(linear, "PENALTIES", (penalty,))
        [found] = linear.predictions(x, numbers, CLASSES, [fold])
        for number in np.unique(fold):
            kept, held = fold != number, fold == number
            mean, centre = standard[kept].mean(0), target[kept].mean(0)
            a = standard[kept] - mean
            w = np.linalg.solve(a.T @ a + penalty * len(x) * np.eye(x.shape[1]), a.T @ (target[kept] - centre))
            assert (((standard[held] - mean) @ w + centre).argmax(1) == found[held]).all()


def test_neighbours_by_loops() -> None:
    x, numbers = parts(table())
    fold = folds(numbers)
    found = knn.predictions(x, numbers, CLASSES, fold)
    standard = (x - x.mean(0)) / x.std(0)
    for i in range(len(x)):
        others = np.flatnonzero(fold != fold[i])
        cosines = [standard[i] @ standard[j] / np.linalg.norm(standard[i]) / np.linalg.norm(standard[j]) for j in others]
        near = np.argsort(cosines)[::-1][:5]
        votes = np.zeros(CLASSES)
        for place in near:
            votes[numbers[others[place]]] += 1 + cosines[place] / 100
        assert votes.argmax() == found[i]


ROTATION = ("logme", "hscore", "hscore_shrunk", "transrate", "gbc", "nleep")
TRANSLATION = ("hscore", "hscore_shrunk", "transrate", "gbc", "nleep", "knn", "linear")
SCALE = ("hscore", "hscore_shrunk", "gbc", "parc", "nleep", "knn", "linear")
EACH_FEATURE = ("hscore", "knn", "linear")  # each feature has a scale and an origin of its own


@pytest.mark.parametrize("name", ROTATION)
def test_rotation_changes_nothing(name: str) -> None:
    given = table()
    turned = moved(given, given.vectors.astype(np.float64) @ rotation(12))
    assert scorers.score(name, turned) == pytest.approx(scorers.score(name, given), rel=1e-4)


@pytest.mark.parametrize("name", TRANSLATION)
def test_translation_changes_nothing(name: str) -> None:
    given = table()
    assert scorers.score(name, moved(given, given.vectors + np.arange(12.0))) == pytest.approx(
        scorers.score(name, given), rel=1e-4
    )


@pytest.mark.parametrize("name", SCALE)
def test_scale_changes_nothing(name: str) -> None:
    given = table()
    assert scorers.score(name, moved(given, 7 * given.vectors)) == pytest.approx(scorers.score(name, given), rel=1e-4)


@pytest.mark.parametrize("name", EACH_FEATURE)
def test_a_scale_for_each_feature_changes_nothing(name: str) -> None:
    given = table()
    scaled = moved(given, given.vectors * np.geomspace(0.01, 100, 12) + 1)
    assert scorers.score(name, scaled) == pytest.approx(scorers.score(name, given), rel=1e-3)


@pytest.mark.parametrize("name", plugins.names("ranking.scorers"))
def test_names_of_classes_do_not_matter(name: str) -> None:
    given = table()
    other = dict(zip(sorted(set(given.labels or ())), ("d", "b", "c", "a"), strict=True))
    renamed = FeatureTable(given.vectors, [other[x] for x in given.labels or ()], given.names, 0, "", 0.0, given.origin)
    loose = {"rel": 0.1} if name in ("linear", "knn", "nleep") else {"rel": 1e-9}  # folds are drawn class by class
    assert scorers.score(name, renamed) == pytest.approx(scorers.score(name, given), **loose)
