import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as reference

from headstart.metrics import paired
from headstart.metrics.classification import calibration_error, log_loss, scores, wilson


def test_scores_by_hand() -> None:
    # predicted 0 0 1 1 2 against actual 0 1 1 1 0; class 3 never occurs
    probabilities = np.eye(4)[[0, 0, 1, 1, 2]] * 0.6 + 0.1
    found = scores(probabilities, np.array([0, 1, 1, 1, 0]), ("a", "b", "c", "d"))
    assert found["accuracy"] == 3 / 5
    assert found["confusion"] == [[1, 0, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert found["per_class"]["a"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert found["per_class"]["b"] == pytest.approx({"precision": 1, "recall": 2 / 3, "f1": 0.8, "support": 3})
    assert found["per_class"]["c"]["support"] == 0
    # the macro averages are over the classes that occur, a and b
    assert found["precision"] == pytest.approx(0.75)
    assert found["recall"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["f1"] == pytest.approx(0.65)
    assert found["calibration_error"] == pytest.approx(0.1)  # confidence 0.7 everywhere, accuracy 0.6


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(right: int, total: int, low: float, high: float) -> None:
    assert wilson(right, total) == pytest.approx((low, high), abs=6e-5)
    assert wilson(total - right, total) == pytest.approx((1 - high, 1 - low), abs=6e-5)


@given(
    arrays.arrays(float, st.tuples(st.integers(1, 30), st.just(4)), elements=st.floats(-50, 50)),
    st.integers(0, 2**31),
)
def test_against_scikit_learn(logits: np.ndarray, seed: int) -> None:
    actual = np.random.default_rng(seed).integers(0, 4, len(logits))
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    assert log_loss(logits, actual) == pytest.approx(
        -np.log(np.maximum(probabilities[np.arange(len(actual)), actual], 1e-300)).mean(), rel=1e-6, abs=1e-9
    )
    found = scores(probabilities, actual, ("a", "b", "c", "d"))
    predicted = probabilities.argmax(1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(actual, predicted))
    present = sorted(set(actual.tolist()))
    for name, function in (("recall", reference.recall_score), ("f1", reference.f1_score)):
        wanted = function(actual, predicted, labels=present, average="macro", zero_division=0)
        assert found[name] == pytest.approx(wanted)


def test_calibration_error_by_hand() -> None:
    assert calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])) == 0
    assert calibration_error(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 0])) == 1
    # two bins: confidence 0.95 with accuracy 1/2, confidence 0.55 with accuracy 1; weights 2/3 and 1/3
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55]])
    assert calibration_error(probabilities, np.array([0, 1, 1])) == pytest.approx(2 / 3 * 0.45 + 1 / 3 * 0.45)


def test_calibrated_predictions_have_a_small_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 20000)
    actual = (rng.random(20000)[:, None] > probabilities.cumsum(1)).sum(1)
    assert calibration_error(probabilities, actual) < 0.02  # noise
    assert calibration_error(np.eye(3)[probabilities.argmax(1)], actual) > 0.2


@pytest.mark.parametrize("number", [25, 100, 251, 2003])
def test_a_paired_interval_is_that_of_one_draw_after_the_other(number: int) -> None:
    """Samples are drawn in chunks; sizes whose chunks do not divide the draws are among these."""
    differences = np.random.default_rng(1).choice([-1, 0, 1 / 3, 1.0], size=number)
    rng = np.random.default_rng(7)
    means = [differences[rng.integers(number, size=number)].mean() for _ in range(paired.DRAWS)]
    assert paired.interval(differences, seed=7) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-12)
