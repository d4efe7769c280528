import numpy as np
import pytest

from headstart.evaluation.verdict import gain, verdict


def outcomes(wins: int, losses: int, both: int = 0, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which samples candidate and baseline got right."""
    pairs = [(1, 0)] * wins + [(0, 1)] * losses + [(1, 1)] * both + [(0, 0)] * neither
    candidate, baseline = np.array(pairs, bool).T
    return candidate, baseline


def brute_force(candidate: np.ndarray, baseline: np.ndarray, draws: int = 20000) -> tuple[float, float]:
    rng = np.random.default_rng(99)
    rows = rng.integers(0, len(candidate), (draws, len(candidate)))
    means = candidate[rows].mean(1) - baseline[rows].mean(1)
    return tuple(np.percentile(means, [2.5, 97.5]))


@pytest.mark.parametrize("counts", [(30, 10, 50, 10), (5, 12, 60, 3), (3, 1, 40, 40), (60, 0, 0, 40)])
def test_interval_is_that_of_resampled_pairs(counts: tuple[int, int, int, int]) -> None:
    candidate, baseline = outcomes(*counts)
    found = gain(candidate, baseline)
    assert found.gain == pytest.approx((counts[0] - counts[1]) / sum(counts))
    assert found.interval == pytest.approx(brute_force(candidate, baseline), abs=1.01 / sum(counts))  # one sample


def test_pairing_matters() -> None:
    """The same two accuracies: certain where the same samples are right, open where they are not."""
    assert gain(*outcomes(8, 0, 80, 12)).answer == "helped"
    assert gain(*outcomes(20, 12, 68, 0)).answer == "no clear gain"
    assert gain(*outcomes(0, 8, 80, 12)).answer == "hurt"


def test_claims_nothing_where_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    helped = hurt = 0
    for seed in range(200):
        n, share = rng.choice([15, 40, 200]), rng.choice([0.1, 0.3])
        differs, first = rng.random(n) < share, rng.random(n) < 0.5
        answer = gain(np.where(differs, first, True), np.where(differs, ~first, True), seed=seed).answer
        helped += answer == "helped"
        hurt += answer == "hurt"
    assert helped <= 10 and hurt <= 10  # 2.5 % each are due: 5 of 200


def test_finds_what_is_there() -> None:
    rng = np.random.default_rng(0)
    found = [gain(rng.random(300) < 0.85, rng.random(300) < 0.7, seed=seed).answer for seed in range(50)]
    assert found.count("helped") >= 45


@pytest.mark.parametrize("n", range(1, 10))
def test_few_samples_claim_nothing(n: int) -> None:
    for wins in (0, n):
        found = gain(*outcomes(wins, n - wins))
        assert found.answer == "no clear gain"
        assert found.interval[0] <= found.gain <= found.interval[1]


def test_no_difference_has_an_interval_around_zero() -> None:
    found = gain(*outcomes(0, 0, 50, 10))
    assert found.gain == 0 and found.interval[0] < 0 < found.interval[1] and found.answer == "no clear gain"
    assert gain(*outcomes(12, 0)).answer == "helped"  # every sample differs the same way: not the same thing


def test_same_seed_same_interval() -> None:
    pair = outcomes(30, 20, 40)
    assert gain(*pair, seed=1) == gain(*pair, seed=1)
    assert gain(*pair, seed=1) != gain(*pair, seed=2)
    wide, narrow = gain(*pair, confidence=0.99).interval, gain(*pair, confidence=0.8).interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def judged(**accuracies: float):  # type: ignore[no-untyped-def]
    """The verdict on a candidate that is right in 80 of 100 samples."""
    actual = np.tile([0, 1], 50)

    def predictions(accuracy: float) -> np.ndarray:
        return np.where(np.arange(100) < round(100 * accuracy), actual, 1 - actual)

    rivals = {name: predictions(accuracy) for name, accuracy in accuracies.items()}
    titles = {name: f"the {name} model" for name in rivals}
    return verdict(predictions(0.8), rivals, actual, titles=titles, classes=["a", "b", "never"])


def test_every_baseline_has_to_be_beaten() -> None:
    assert judged(scratch=0.6, pixels=0.5).answer == "helped"
    assert judged(scratch=0.6, pixels=0.79).answer == "no clear gain"
    assert judged(scratch=0.6, pixels=0.95).answer == "hurt"


def test_the_words_are_about_the_stronger_baseline() -> None:
    found = judged(scratch=0.6, pixels=0.5)
    assert found.summary.startswith("helped: +20.0 points over the scratch model [")
    assert str(found) == found.summary
    assert {c.baseline: pytest.approx(c.gain) for c in found.comparisons} == {"scratch": 0.2, "pixels": 0.3}
    assert set(found.per_class) == {"a", "b"}  # no test sample is of the third class
    assert found.per_class["a"]["support"] == 50 and found.per_class["a"]["gain"] == pytest.approx(0.2)
