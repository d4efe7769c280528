"""The measures of a shift against their definitions, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.stats

import headstart.shift as shift
from domain_pairs import labelled, two
from headstart.shift import _kernels, _measures


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("sparse", [False, True])
def test_mmd_is_the_unbiased_estimate_of_its_paper(kernel: str, sparse: bool) -> None:
    source, target = two(12, 9)
    k = (lambda a, b: np.exp(-0.3 * ((a - b) ** 2).sum())) if kernel == "rbf" else (lambda a, b: a @ b)
    expected = sum(k(source[i], source[j]) for i in range(12) for j in range(12) if i != j) / (12 * 11)
    expected += sum(k(target[i], target[j]) for i in range(9) for j in range(9) if i != j) / (9 * 8)
    expected -= 2 * sum(k(a, b) for a in source for b in target) / (12 * 9)
    parts = [scipy.sparse.csr_array(x) if sparse else x for x in (source, target)]
    found = shift.mmd(*parts, kernel=kernel, gamma=0.3, num_permutations=20)
    assert found.value == pytest.approx(expected)
    assert found.gamma == (0.3 if kernel == "rbf" else None)


def test_the_p_value_of_mmd_is_uniform_where_there_is_no_shift() -> None:
    rng = np.random.default_rng(0)
    p_values = [
        shift.mmd(rng.normal(size=(15, 3)), rng.normal(size=(20, 3)), num_permutations=99, seed=i).p_value
        for i in range(300)
    ]
    assert scipy.stats.kstest(np.array(p_values), "uniform").pvalue > 0.05
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert shift.mmd(rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 1, num_permutations=99).p_value == 0.01


def test_the_permutations_of_mmd_against_computing_each_anew() -> None:
    source, target = two(10, 8)
    found = shift.mmd(source, target, gamma=0.1, num_permutations=40, seed=3)
    rng, rows = np.random.default_rng(3), np.vstack([source, target])
    values = []
    for _ in range(40):
        order = rng.permutation(18)  # a row that is drawn below 10 goes to the source
        values.append(shift.mmd(rows[order < 10], rows[order >= 10], gamma=0.1, num_permutations=1).value)
    assert found.p_value == pytest.approx((1 + sum(value >= found.value for value in values)) / 41)


def test_the_proxy_a_distance_runs_from_nothing_to_two() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(200, 4))
    assert shift.proxy_a_distance(source, source + 10) == 2
    assert shift.proxy_a_distance(source, rng.normal(size=(150, 4))) < 0.3
    half = shift.proxy_a_distance(source, source + np.array([1.35, 0, 0, 0]))
    assert half == pytest.approx(2 * (1 - 2 * scipy.stats.norm.cdf(-1.35 / 2)), abs=0.15)  # the best rule's error


def test_the_coral_distance_is_its_formula() -> None:
    source, target = two()
    expected = np.square(np.cov(source.T) - np.cov(target.T)).sum() / (4 * 7**2)
    assert shift.coral_distance(source, target) == pytest.approx(expected)
    assert shift.coral_distance(scipy.sparse.csr_array(source), scipy.sparse.csr_array(target)) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_the_contribution_of_every_feature(sparse: bool) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 4, (60, 5)).astype(float), rng.integers(0, 4, (45, 5)).astype(float)
    target[:, 3] += 2
    parts = [scipy.sparse.csr_array(x) if sparse else x for x in (source, target)]
    rows = shift.feature_contributions(*parts)
    assert rows[0].feature == "3"
    for row in rows:
        a, b = source[:, int(row.feature)], target[:, int(row.feature)]
        assert row.distance == pytest.approx(scipy.stats.ks_2samp(a, b).statistic)
        assert row.mean_difference == pytest.approx((b.mean() - a.mean()) / np.sqrt((a.var() + b.var()) / 2))
        assert row.scale_ratio == pytest.approx(b.std() / a.std())
    assert rows[0].p_value < 0.001 and rows[-1].p_value > 0.5


def test_the_contribution_of_every_class() -> None:
    source, target, ys, yt = labelled()
    target = np.where((yt == 2)[:, None], target + 3, target)
    rows = shift.class_contributions(source, target, ys, yt)
    assert rows[0].label == 2
    assert not rows[0].guessed and rows[0].target_share == pytest.approx(1 / 3)
    assert shift.class_contributions(source, target, ys)[0].guessed
    sparse = shift.class_contributions(scipy.sparse.csr_array(source), scipy.sparse.csr_array(target), ys, yt)
    assert [row.distance for row in sparse] == pytest.approx([row.distance for row in rows])


@pytest.mark.parametrize("sparse", [False, True])
def test_rows_that_both_domains_have_are_found(sparse: bool) -> None:
    source, target = two()
    source[4, 2] = 0.0
    target[7] = source[4]
    target[7, 2] = -0.0
    parts = [scipy.sparse.csr_array(x) if sparse else x for x in (source, target)]
    assert list(np.flatnonzero(shift.shared_rows(*parts))) == [7]


def test_large_samples_are_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(_measures, "say", lines.append)
    monkeypatch.setattr(_measures, "MOST_ROWS", 20)
    shift.mmd(*two(50, 10), num_permutations=5)
    assert lines == ["MMD is measured on 20 random rows of the 50 of the source."]


def test_gamma_is_one_over_the_median_squared_distance() -> None:
    source, target = two(20, 15)
    rows = np.vstack([source, target])
    distances = [((a - b) ** 2).sum() for a, b in itertools.combinations(rows, 2)]
    domains = _kernels.Domains(source, target)
    assert _kernels.gamma_of(domains, None) == pytest.approx(1 / np.median(distances))


def test_constants_have_no_deviation_to_divide_by() -> None:
    source, target = two()
    source[:, 0], target[:, 0] = 1, 1
    source[:, 1], target[:, 1] = 1, 2
    source[:, 2] = 1
    rows = {row.feature: row for row in shift.feature_contributions(source, target)}
    assert (rows["0"].mean_difference, rows["0"].scale_ratio) == (0, 1)
    assert rows["1"].mean_difference == np.inf
    assert [rows[name].distance for name in "01"] == pytest.approx([0, 1])
    assert rows["2"].scale_ratio == np.inf
