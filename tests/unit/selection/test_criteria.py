"""Criteria against plain loops over the papers' formulas, and against cases whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from headstart import plugins
from headstart.errors import ConfigError
from headstart.selection import Criterion, Evidence, merits_of, scored

NAMES = ("agreement", "deep_embedded", "entropy", "importance", "neighbourhood", "reverse")
ON_TARGET = ("agreement", "entropy", "neighbourhood")
RNG = np.random.default_rng(0)


def criterion(name: str) -> Criterion:
    return plugins.variant("selection", name, Criterion)()


def evidence(num: int = 40, others: int = 30, classes: int = 3) -> Evidence:
    rng = np.random.default_rng(7)
    weights = rng.gamma(1.0, 1.0, num)
    logits = [rng.normal(size=(size, classes)) * 2 for size in (num, others, others, num)]
    labels = rng.integers(0, classes, num)
    return Evidence(labels, logits[0], weights / weights.mean(), logits[1], logits[2], logits[3])


def test_all_are_found() -> None:
    assert set(plugins.names("selection")) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_is_missing(name: str) -> None:
    empty = np.empty((0, 0))
    nothing = Evidence(np.empty(0, int), empty, np.empty(0), empty)
    with pytest.raises(ConfigError, match=f"{name} needs"):
        scored(criterion(name), nothing)


@pytest.mark.parametrize("name", NAMES)
def test_a_better_classifier_scores_at_least_as_well(name: str) -> None:
    """Sure and right everywhere, against guessing."""
    some = evidence()
    truth = np.arange(len(some.target)) % 3
    right = Evidence(
        some.labels, 20 * np.eye(3)[some.labels], some.weights,
        20 * np.eye(3)[truth], 20 * np.eye(3)[truth], 20 * np.eye(3)[some.labels],
    )  # fmt: skip
    assert scored(criterion(name), right) > scored(criterion(name), some)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_the_mean_of_a_merit_a_row(name: str) -> None:
    """The guard compares rows, so what it sees has to be what the scores tell; also where the weights' mean is not 1."""
    some = evidence()
    for weights in (some.weights, 1.3 * some.weights):
        one = replace(some, weights=weights)
        merits = merits_of(criterion(name), one)
        assert merits.shape == (len(some.target if name in ON_TARGET else some.labels),) and merits.dtype == np.float64
        assert merits.mean() == pytest.approx(scored(criterion(name), one), abs=1e-12)


def softmax(row: np.ndarray) -> list[float]:
    raised = [math.exp(value - max(row)) for value in row]
    return [value / sum(raised) for value in raised]


def test_importance_is_the_weighted_accuracy() -> None:
    some = evidence()
    total = 0.0
    for label, logits, weight in zip(some.labels, some.source, some.weights, strict=True):
        total += weight * (int(np.argmax(logits)) == label)
    assert scored(criterion("importance"), some) == pytest.approx(total / len(some.labels), abs=1e-12)


def test_deep_embedded_is_the_papers_algorithm() -> None:
    """get_dev_risk of thuml/Deep-Embedded-Validation, restated: eta = -cov(L, W) / var(W)."""
    some = evidence()
    some = replace(some, weights=1.2 * some.weights)  # of held-out rows the mean is not 1, and the correction counts
    w = some.weights[:, None]
    loss = np.array([[float(np.argmax(z) != y)] for z, y in zip(some.source, some.labels, strict=True)])
    weighted = loss * w
    covariance = np.cov(np.concatenate((weighted, w), axis=1), rowvar=False)[0][1]
    eta = -covariance / np.var(w, ddof=1)
    risk = np.mean(weighted) + eta * np.mean(w) - eta
    assert scored(criterion("deep_embedded"), some) == pytest.approx(1 - risk, abs=1e-12)
    assert abs(risk - np.mean(weighted)) > 0.01


def test_weights_that_are_all_too_large_do_not_change_the_score() -> None:
    """Weights that are 30 % too large and a loss that is 0.4 everywhere: neither criterion errs by that."""
    some = evidence(5000)
    labels = np.zeros(5000, int)
    source = np.zeros((5000, 2))
    source[: int(0.4 * 5000), 1] = 1
    off = Evidence(labels, source, 1.3 * some.weights, np.zeros((2, 2)))
    assert scored(criterion("deep_embedded"), off) == pytest.approx(0.6, abs=0.03)
    assert scored(criterion("importance"), off) == pytest.approx(0.6, abs=0.03)


def test_entropy_by_hand() -> None:
    some = evidence()
    total = sum(p * math.log(p) for row in some.target for p in softmax(row))
    assert scored(criterion("entropy"), some) == pytest.approx(total / len(some.target), abs=1e-12)


def test_neighbourhood_by_loops() -> None:
    """Equations 1-3 with loops: similarities of normalised predictions, softmax over all others, entropy."""
    some = evidence()
    rows = [np.array(softmax(row)) for row in some.target]
    rows = [row / math.sqrt(sum(row * row)) for row in rows]
    total = 0.0
    for i, one in enumerate(rows):
        similar = [float(one @ other) / 0.05 for j, other in enumerate(rows) if j != i]
        total -= sum(p * math.log(p) for p in softmax(np.array(similar)))
    assert scored(criterion("neighbourhood"), some) == pytest.approx(total / len(rows), abs=1e-9)


def test_neighbourhood_of_equal_groups_is_their_size() -> None:
    """Two groups of ten, far apart: everybody has nine equal neighbours, so the entropy is log 9."""
    logits = np.repeat(np.array([[60.0, 0.0], [0.0, 60.0]]), 10, axis=0)
    some = Evidence(np.empty(0, int), np.empty((0, 2)), np.empty(0), logits)
    assert scored(criterion("neighbourhood"), some) == pytest.approx(math.log(9), abs=1e-6)


def test_neighbourhood_goes_through_rows_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.selection import neighbourhood

    whole = scored(criterion("neighbourhood"), evidence())
    monkeypatch.setattr(neighbourhood, "BLOCK", 7)
    assert scored(criterion("neighbourhood"), evidence()) == pytest.approx(whole, abs=1e-12)


def test_reverse_and_agreement_count() -> None:
    some = evidence()
    back = sum(int(np.argmax(z)) == y for z, y in zip(some.back, some.labels, strict=True)) / len(some.labels)
    both = sum(
        int(np.argmax(a)) == int(np.argmax(b)) for a, b in zip(some.target, some.other, strict=True)
    ) / len(some.target)  # fmt: skip
    assert scored(criterion("reverse"), some) == pytest.approx(back)
    assert scored(criterion("agreement"), some) == pytest.approx(both)
