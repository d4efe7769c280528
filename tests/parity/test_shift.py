"""The maths of ``headstart.shift`` against the equations of the papers and against independent computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.stats
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import kneighbors_graph

import headstart.shift as shift
from domain_pairs import labelled, two
from headstart.errors import DataError
from headstart.shift import _components, _kernels, _moments, coral, linear_transport, msda
from headstart.shift._inputs import Domains
from headstart.shift._pencil import leading, leading_dense

MU = 0.7


def stated(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """L and H of the TCA paper, written out."""
    n, m = len(source), len(target)
    corner = np.full((n, m), -1 / (n * m))
    l_matrix = np.block([[np.full((n, n), 1 / n**2), corner], [corner.T, np.full((m, m), 1 / m**2)]])
    return l_matrix, np.eye(n + m) - 1 / (n + m)


def residual(left: np.ndarray, right: np.ndarray, w: np.ndarray, values: np.ndarray) -> float:
    """|right^(-1) left W - W values| relative to |W values|: the equation as the papers have it, not symmetric."""
    product = np.linalg.solve(right, left)
    return float(np.linalg.norm(product @ w - w * values) / np.linalg.norm(w * values))


# TCA and its kin


@pytest.mark.parametrize("kind", ["tall", "wide", "sparse", "rbf", "many components"])
def test_tca_solves_the_equation_of_the_paper(kind: str) -> None:
    source, target = two(220, 210, dim=9) if kind == "tall" else two(30, 25, dim=9 if kind == "rbf" else 80)
    if kind == "sparse":  # a generic eigenproblem by Lanczos, not the dense solver
        source, target = (x * (np.random.default_rng(3).random(x.shape) < 0.05) for x in two(300, 250, dim=500))
    rows = np.vstack([source, target])
    method = shift.TCA(
        50 if kind == "many components" else 5, kernel="rbf" if kind == "rbf" else "linear", regularisation=MU
    )
    method.fit(source, target)
    k = rbf_kernel(rows, gamma=method.gamma_) if kind == "rbf" else rows @ rows.T
    projected = np.vstack([method.transform(source, domain="source"), method.transform(target)])
    w = (
        method.components_ if kind == "rbf" else np.linalg.pinv(k, hermitian=True) @ projected
    )  # x'X'W is what moves rows
    l_matrix, h = stated(source, target)
    right, left = k @ l_matrix @ k + MU * np.eye(len(k)), k @ h @ k
    assert np.allclose(k @ w, projected, atol=1e-8 * np.abs(projected).max())
    assert residual(left, right, w, method.eigenvalues_) < 1e-7
    assert np.allclose(w.T @ left @ w, np.eye(w.shape[1]), atol=1e-6), "equation 8: W' K H K W = I"
    every = np.sort(np.linalg.eigvals(np.linalg.solve(right, left)).real)[::-1]
    assert np.allclose(method.eigenvalues_, every[: len(method.eigenvalues_)], rtol=1e-6), (
        "the leading ones, all of them"
    )


def test_a_symmetric_solver_on_the_stated_matrix_would_be_wrong() -> None:
    """What some public implementations do; the test above can tell."""
    source, target = two()
    rows = np.vstack([source, target])
    k = rows @ rows.T
    l_matrix, h = stated(source, target)
    right, left = k @ l_matrix @ k + MU * np.eye(len(k)), k @ h @ k
    values, w = np.linalg.eigh(np.linalg.solve(right, left))
    assert residual(left, right, w[:, -5:], values[-5:]) > 0.1


@pytest.mark.parametrize("shape", [(60, 50, 9), (30, 25, 80)])
def test_tca_primal_solves_the_equation_on_features(shape: tuple[int, int, int]) -> None:
    source, target = two(*shape)
    method = shift.TCA(5, kernel="primal", regularisation=MU).fit(source, target)
    rows = np.vstack([source, target])
    l_matrix, h = stated(source, target)
    right, left = rows.T @ l_matrix @ rows + MU * np.eye(shape[2]), rows.T @ h @ rows
    a = method.components_
    assert residual(left, right, a, method.eigenvalues_) < 1e-8
    assert np.allclose(a.T @ left @ a, np.eye(5), atol=1e-8)
    assert np.allclose(method.transform(target), target @ a)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "primal"])
def test_components_of_length_one_are_the_same_directions(kernel: str) -> None:
    source, target = two(60, 50, dim=9)
    white = shift.TCA(4, kernel, MU).fit(source, target)
    plain = shift.TCA(4, kernel, MU, whiten=False).fit(source, target)
    lengths = np.linalg.norm(white.components_, axis=0)
    assert np.allclose(plain.components_ * lengths, white.components_)
    assert np.allclose(np.linalg.norm(plain.components_, axis=0), 1)
    every = np.vstack([white.transform(source), white.transform(target)])
    assert np.allclose(every.std(0), 1 / np.sqrt(110)), "whitened, all vary alike"


def test_landmarks_that_are_all_rows_give_the_exact_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = two()
    exact = shift.TCA(4, kernel="rbf", gamma=0.05).fit(source, target)
    monkeypatch.setattr(_components, "EXACT", 10)
    near = shift.TCA(4, kernel="rbf", gamma=0.05, num_landmarks=90).fit(source, target)
    assert near.components_.shape[0] <= 90
    assert np.allclose(near.eigenvalues_, exact.eigenvalues_, rtol=1e-5)
    assert np.allclose(
        near.transform(target), exact.transform(target), atol=1e-4 * np.abs(exact.transform(target)).max()
    )
    few = shift.TCA(4, kernel="rbf", gamma=0.05, num_landmarks=40).fit(source, target)
    assert abs(np.corrcoef(few.transform(target)[:, 0], exact.transform(target)[:, 0])[0, 1]) > 0.95


def test_tca_brings_the_domains_together() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(200, 10)), rng.normal(size=(150, 10)) + 5 * np.eye(10)[0]
    moved = shift.TCA(3, kernel="primal", regularisation=0.1).fit(source, target)
    after = shift.mmd(moved.transform(source), moved.transform(target), num_permutations=99)
    assert shift.mmd(source, target, num_permutations=99).p_value == pytest.approx(0.01)
    assert after.p_value > 0.05


@pytest.mark.parametrize("size", [30, 500])
def test_the_pencil_against_a_dense_solver(size: int) -> None:
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(size, size + 5)), rng.normal(size=(size, 3))
    scatter = x @ x.T
    right = MU * np.eye(size) + c @ c.T
    expected = scipy.linalg.eigh(scatter, right, eigvals_only=True)[::-1][:6]
    for values, w in (leading(scatter, c, MU, 6), leading_dense(lambda v: scatter @ v, right, 6)):
        assert np.allclose(values, expected)
        assert np.allclose(scatter @ w, right @ w * values, atol=1e-6 * np.abs(scatter @ w).max())
        assert np.allclose(w.T @ scatter @ w, np.eye(6), atol=1e-8)


def test_jda_solves_the_equation_with_its_last_pseudo_labels() -> None:
    source, target, labels, _ = labelled()
    method = shift.JDA(4, regularisation=MU).fit(source, target, labels)
    rows, guesses = np.vstack([source, target]), method.target_labels_
    total, h = stated(source, target)
    for c in range(3):
        e = np.concatenate([(labels == c) / (labels == c).sum(), -1.0 * (guesses == c) / (guesses == c).sum()])
        total = total + np.outer(e, e)
    right, left = rows.T @ total @ rows + MU * np.eye(5), rows.T @ h @ rows
    assert residual(left, right, method.components_, method.eigenvalues_) < 1e-9
    assert np.allclose(method.components_.T @ left @ method.components_, np.eye(4), atol=1e-9)


def test_what_the_fit_knows_of_its_rows_is_what_mapping_them_anew_gives() -> None:
    source, target = two()
    sample = _components.Components(Domains(source, target), "rbf")
    components = sample.solve(np.ones((len(source) + len(target), 1)), 1.0, 5)[1]
    for found, rows in zip(sample.project(components), (source, target), strict=True):
        assert np.allclose(found, _components.apply(sample.features, rows, components), atol=1e-10)


@pytest.mark.parametrize("kind", ["dense", "sparse", "dense float32", "few numbers other than 0"])
def test_rows_of_the_fit_are_recognised_by_what_they_are(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their kernel is not computed again; rows of which one number differs get one of their own."""
    source, target = two(40, 30, dim=500)
    if kind in ("sparse", "few numbers other than 0"):
        source, target = (x * (np.random.default_rng(3).random(x.shape) < 0.05) for x in (source, target))
    if kind == "dense float32":
        source, target = source.astype(np.float32), target.astype(np.float32)
    given = [scipy.sparse.csr_array(x) if kind == "sparse" else x.copy() for x in (source, target)]
    method = shift.TCA(5, kernel="rbf").fit(*given)
    anew = [rbf_kernel(x, np.vstack([source, target]), gamma=method.gamma_) @ method.components_ for x in (source, target)]
    computed = []
    monkeypatch.setattr(_components, "apply", lambda features, x, components: computed.append(x) or features(x) @ components)
    for x, expected, domain in zip(given, anew, ("source", "target"), strict=True):
        found = method.transform(x, domain=domain)
        assert np.allclose(found, expected, atol=1e-5 if kind == "dense float32" else 1e-9) and found.dtype == x.dtype
        found[:] = 0
        assert method.transform(x).any(), "what a caller does with the result is no matter"
    assert not computed
    if kind != "sparse":
        given[1][-1, 3] += 1  # in the very array that was fitted
        method.transform(given[1])
        assert len(computed) == 1
    method.transform(given[1][:-1])
    assert len(computed) == 2 - (kind == "sparse")


@pytest.mark.parametrize("num", [1, 2, 9, 130, 1100])
def test_products_of_sparse_rows_with_themselves(num: int) -> None:
    rows = scipy.sparse.random_array((num, 50), density=0.1, format="csr", rng=np.random.default_rng(num))
    found = _kernels.products(rows, rows)
    assert np.allclose(found, rows.toarray() @ rows.toarray().T) and np.array_equal(found, found.T)


def test_bda_at_even_balance_is_jda_and_at_none_is_tca() -> None:
    source, target, labels, _ = labelled()
    jda = shift.JDA(4, regularisation=2 * MU).fit(source, target, labels)
    bda = shift.BDA(0.5, 4, regularisation=MU).fit(source, target, labels)
    assert np.allclose(bda.eigenvalues_, 2 * jda.eigenvalues_)
    assert np.allclose(bda.transform(target), jda.transform(target))
    tca = shift.TCA(4, kernel="primal", regularisation=MU).fit(source, target)
    assert np.allclose(
        shift.BDA(0.0, 4, regularisation=MU).fit(source, target, labels).transform(target), tca.transform(target)
    )


def test_tjm_reweighs_rows_by_the_round_before() -> None:
    source, target = two(30, 25)
    once = shift.TJM(4, "rbf", MU, num_rounds=1, gamma=0.1).fit(source, target)
    twice = shift.TJM(4, "rbf", MU, num_rounds=2, gamma=0.1).fit(source, target)
    k = rbf_kernel(np.vstack([source, target]), gamma=0.1)
    l_matrix, h = stated(source, target)
    m = l_matrix / np.linalg.norm(l_matrix)
    norms = np.linalg.norm(once.components_[:30], axis=1)
    for method, penalty in ((once, np.ones(55)), (twice, np.concatenate([1 / (2 * norms), np.ones(25)]))):
        left, right, a = k @ h @ k, k @ m @ k + MU * np.diag(penalty), method.components_
        assert residual(left, right, a, method.eigenvalues_) < 1e-7
        assert np.allclose(a.T @ left @ a, np.eye(4), atol=1e-7)


def test_sstca_solves_the_equation_of_the_paper() -> None:
    source, target, labels, _ = labelled()
    rows, n = np.vstack([source, target]), 105
    method = shift.SSTCA(4, "rbf", MU, dependence=0.6, locality=2.0, num_neighbours=4, gamma=0.05).fit(
        source, target, labels
    )
    k = rbf_kernel(rows, gamma=0.05)
    l_matrix, h = stated(source, target)
    distances = kneighbors_graph(rows, 4, mode="distance").toarray()
    sigma = np.median(distances[distances > 0])
    near = np.where(distances > 0, np.exp(-(distances**2) / (2 * sigma**2)), 0)
    near = np.maximum(near, near.T)
    graph = np.diag(near.sum(1)) - near
    same = np.zeros((n, n))
    same[:60, :60] = labels[:, None] == labels
    y = 0.6 * same + 0.4 * np.eye(n)
    right, left = k @ (l_matrix + 2.0 / n**2 * graph) @ k + MU * np.eye(n), k @ h @ y @ h @ k
    assert residual(left, right, method.components_, method.eigenvalues_) < 1e-7
    assert np.allclose(method.components_.T @ left @ method.components_, np.eye(4), atol=1e-7)


def counts(num: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(1.0, (num, dim)) * (rng.random((num, dim)) < 0.04)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("num", "dim"), [(320, 450), (90, 450), (60, 7)])
def test_the_factor_of_a_kernel_is_no_larger_than_rows_by_features(num: int, dim: int) -> None:
    source, target = (counts(num, dim, seed).astype(float) for seed in (0, 1))
    sample = _components.Components(Domains(source, target), "linear")
    t, back = sample.factor()
    rows = np.vstack([source, target])
    k = rows @ rows.T
    assert np.allclose(t @ t.T, k @ k) and t.shape[1] <= min(2 * num, dim)
    u = np.random.default_rng(2).normal(size=(t.shape[1], 3))
    assert np.allclose(rows @ back(u), t @ u), "a row becomes what its kernel with all rows times W is"


def test_a_factor_that_would_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_components, "HELD", 8 * 640 * 450 - 1)
    source, target = (counts(320, 450, seed).astype(float) for seed in (0, 1))
    with pytest.raises(DataError, match=r"640 rows: a matrix of 0.0 GB would be needed.*or use TCA"):
        shift.SSTCA(4).fit(source, target, np.arange(320) % 2)


# Moments


@pytest.mark.parametrize("seed", range(5))
def test_coral_gives_the_source_the_covariance_of_the_target(seed: int) -> None:
    source, target = two(seed=seed)
    moved = shift.CORAL(regularisation=0).fit(source, target).transform(source, domain="source")
    assert np.allclose(np.cov(moved.T), np.cov(target.T), atol=1e-8 * np.abs(np.cov(target.T)).max())
    assert np.allclose(moved.mean(0), target.mean(0))
    kept = shift.CORAL(regularisation=0, match_means=False).fit(source, target).transform(source, domain="source")
    assert np.allclose(kept.mean(0), source.mean(0))


def test_coral_is_the_formula_of_its_paper() -> None:
    source, target = two()
    source, target = source - source.mean(0), target - target.mean(0)
    identity = np.eye(7)
    whitening = scipy.linalg.fractional_matrix_power(np.cov(source.T) + identity, -0.5)
    colouring = scipy.linalg.fractional_matrix_power(np.cov(target.T) + identity, 0.5)
    found = shift.CORAL().fit(source, target).transform(source, domain="source")
    assert np.allclose(found, source @ whitening @ colouring)


def test_linear_transport_is_the_cheapest_map_between_normal_distributions() -> None:
    source, target = two(300, 200)
    method = shift.LinearTransport(regularisation=0).fit(source, target)
    moved, a = method.transform(source, domain="source"), method.matrix_
    assert np.allclose(np.cov(moved.T), np.cov(target.T))
    assert np.allclose(a, a.T) and np.linalg.eigvalsh(a)[0] > 0, "the gradient of a convex function"
    half = scipy.linalg.sqrtm(np.cov(source.T)).real
    bures = np.trace(np.cov(source.T) + np.cov(target.T) - 2 * scipy.linalg.sqrtm(half @ np.cov(target.T) @ half).real)
    shifted = source.mean(0) - target.mean(0)
    cost = np.square((source - moved) - (source - moved).mean(0)).sum() / (len(source) - 1)
    assert cost == pytest.approx(bures)
    assert np.square((source - moved).mean(0)).sum() == pytest.approx(shifted @ shifted)
    further = shift.CORAL(regularisation=0).fit(source, target).transform(source, domain="source")
    assert np.square(source - further).sum() > np.square(source - moved).sum()


@pytest.mark.parametrize("regularisation", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("sparse", [False, True])
def test_few_rows_of_many_features_need_small_matrices_only(
    regularisation: float, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, root = np.random.default_rng(0), _moments.root
    source, target = rng.normal(size=(9, 40)), 2 * rng.normal(size=(6, 40)) + 1
    ours, theirs = (np.cov(x.T) for x in (source, target))
    sizes: list[int] = []
    for module in (coral, linear_transport):
        monkeypatch.setattr(module, "root", lambda matrix, power: sizes.append(len(matrix)) or root(matrix, power))
    given = [scipy.sparse.csr_array(x) if sparse else x for x in (source, target)]
    first, second = (make(regularisation=regularisation).fit(*given) for make in (shift.CORAL, shift.LinearTransport))
    assert set(sizes) == {15}, "as large as there are rows"
    ridge = regularisation * np.eye(40)
    assert np.allclose(first.matrix_, root(ours + ridge, -0.5) @ root(theirs + ridge, 0.5))
    ridge *= (np.trace(ours) + np.trace(theirs)) / 80
    half, inverse = root(ours + ridge, 0.5), root(ours + ridge, -0.5)
    assert np.allclose(second.matrix_, inverse @ root(half @ (theirs + ridge) @ half, 0.5) @ inverse)


def test_subspace_alignment_is_two_pcas_and_a_turn() -> None:
    source, target = two(dim=12)
    method = shift.SubspaceAlignment(4).fit(source, target)
    ours, theirs = (PCA(4).fit(x).components_.T for x in (source, target))
    assert np.allclose(method.source_basis_ @ method.source_basis_.T, ours @ ours.T)
    assert np.allclose(method.target_basis_ @ method.target_basis_.T, theirs @ theirs.T)
    best = np.linalg.lstsq(method.source_basis_, method.target_basis_, rcond=None)[0]
    assert np.allclose(method.matrix_, best)
    moved = method.transform(source, domain="source")
    assert np.allclose(moved, (source - source.mean(0)) @ method.source_basis_ @ best)


@pytest.mark.parametrize("noise", [0.3, 0.7])
def test_msda_is_the_expectation_over_all_ways_to_drop_features(noise: float) -> None:
    source, target = np.abs(two(6, 5, dim=4)[0]), np.abs(two(6, 5, dim=4)[1])
    rows = np.vstack([source, target])
    q, p = np.zeros((5, 5)), np.zeros((5, 4))
    for kept in itertools.product([0, 1], repeat=4):  # all 16 masks with their probabilities: no sampling
        share = np.prod([1 - noise if k else noise for k in kept])
        corrupted = np.hstack([rows * kept, np.ones((11, 1))])
        q += share * corrupted.T @ corrupted
        p += share * corrupted.T @ rows
    expected = np.linalg.solve(q, p)
    weights, bias = msda.denoiser([source, target], noise, np.arange(4), 0.0)
    assert np.allclose(weights, expected[:4])
    assert np.allclose(bias, expected[4])
    method = shift.MSDA(2, noise, ridge=0.0).fit(source, target)
    first = np.tanh(target @ expected[:4] + expected[4])
    again = msda.denoiser([np.tanh(source @ expected[:4] + expected[4]), first], noise, np.arange(4), 0.0)
    assert np.allclose(method.transform(target), np.hstack([target, first, np.tanh(first @ again[0] + again[1])]))


def test_msda_restores_the_most_frequent_features() -> None:
    source, target = two(40, 30)
    source[:, [0, 3]] = 0
    target[:, [0, 3]] = 0
    method = shift.MSDA(1, num_features=5, keep_input=False).fit(source, target)
    assert list(method.restored_) == [1, 2, 4, 5, 6]
    whole = shift.MSDA(1, keep_input=False).fit(source, target)
    assert np.allclose(method.transform(target), whole.transform(target)[:, method.restored_], atol=1e-3)
