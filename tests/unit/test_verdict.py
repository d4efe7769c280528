import functools

import numpy as np
import pytest
from scipy.stats import binomtest

from headstart.evaluation.verdict import Gain, by_group, exact_interval, gain, paired_gain, verdict


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


@pytest.mark.parametrize("counts", [(30, 10, 50, 10), (5, 12, 60, 3), (60, 0, 0, 40), (90, 60, 100, 50)])
def test_interval_is_that_of_resampled_pairs(counts: tuple[int, int, int, int]) -> None:
    candidate, baseline = outcomes(*counts)
    found = gain(candidate, baseline)
    assert found.gain == pytest.approx((counts[0] - counts[1]) / sum(counts))
    assert found.interval == pytest.approx(brute_force(candidate, baseline), abs=2.01 / sum(counts))  # two samples


@pytest.mark.parametrize(
    ("wins", "losses", "p", "answer"),
    [  # p: 2 * (1/2)^d * the sum of binomial coefficients up to the smaller count, by hand
        (4, 0, 0.125, "no clear gain"),
        (5, 0, 0.0625, "no clear gain"),
        (6, 0, 0.03125, "helped"),
        (0, 6, 0.03125, "hurt"),
        (0, 5, 0.0625, "no clear gain"),
        (7, 1, 0.0703125, "no clear gain"),
        (8, 1, 0.0390625, "helped"),
        (10, 2, 158 / 4096, "helped"),
        (10, 3, 756 / 8192, "no clear gain"),
    ],
)
def test_few_differing_samples_need_the_exact_test(wins: int, losses: int, p: float, answer: str) -> None:
    assert binomtest(wins, wins + losses).pvalue == pytest.approx(p)
    found = gain(*outcomes(wins, losses, 250, 293 - 250 - wins - losses))
    assert found.answer == answer
    low, high = found.interval
    assert (low <= 0 <= high) == (answer == "no clear gain")  # the interval that is printed says the same
    assert low <= found.gain <= high


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_exact_interval_is_that_of_the_binomial(confidence: float) -> None:
    for wins in range(12):
        for losses in range(12):
            low, high = exact_interval(wins, losses, 50, confidence=confidence)
            if not wins + losses:
                # no difference in 50: such a share of differing samples would have shown none that seldom
                assert (1 - high) ** 50 == pytest.approx((1 - confidence) / 2) and low == -high
                continue
            test = binomtest(wins, wins + losses)
            share = test.proportion_ci(confidence, "exact")
            differing = (wins + losses) / 50
            assert (low, high) == pytest.approx((differing * (2 * share.low - 1), differing * (2 * share.high - 1)))
            assert (low > 0 or high < 0) == (test.pvalue < 1 - confidence)
            assert exact_interval(losses, wins, 50, confidence=confidence) == pytest.approx((-high, -low))


def simulated(num_samples: int, wins: float, losses: float) -> tuple[float, float]:
    """Over 1500 test sets: how often there is a clear answer, and how often the interval has the true gain."""
    seen = functools.cache(lambda w, l: gain(*outcomes(w, l, num_samples - w - l)))  # noqa: E741
    counts = np.random.default_rng(1).multinomial(num_samples, [wins, losses, 1 - wins - losses], 1500)
    found: list[Gain] = [seen(int(w), int(l)) for w, l, _ in counts]  # noqa: E741
    clear = np.mean([entry.answer != "no clear gain" for entry in found])
    covered = np.mean([entry.interval[0] - 1e-9 <= wins - losses <= entry.interval[1] + 1e-9 for entry in found])
    return float(clear), float(covered)


@pytest.mark.parametrize(("num_samples", "share"), [(30, 0.02), (30, 0.2), (100, 0.03), (100, 0.1), (300, 0.02)])
def test_where_there_is_no_gain_at_most_one_in_twenty_is_claimed(num_samples: int, share: float) -> None:
    clear, covered = simulated(num_samples, share / 2, share / 2)
    assert clear <= 0.05 and covered >= 0.95


@pytest.mark.parametrize(("num_samples", "wins", "losses"), [(30, 0.05, 0.0), (100, 0.02, 0.0), (300, 0.005, 0.0),
                                                             (30, 0.03, 0.01), (100, 0.1, 0.05)])  # fmt: skip
def test_the_interval_covers_a_gain_that_few_samples_show(num_samples: int, wins: float, losses: float) -> None:
    # the bootstrap alone covers 0.77 to 0.88 of the first four
    assert simulated(num_samples, wins, losses)[1] >= 0.95


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


@pytest.mark.parametrize("num_groups", [6, 12, 40])
def test_groups_whose_samples_agree_are_one_piece_of_evidence_each(num_groups: int) -> None:
    """20 pictures of a patient, all better, all worse or all alike: drawn one by one, half of the verdicts are false."""
    rng, grouped, alone = np.random.default_rng(1), 0, 0
    for seed in range(200):
        each = np.repeat(rng.integers(-1, 2, num_groups), 20)
        names = np.repeat(np.arange(num_groups).astype(str), 20)
        grouped += gain(each >= 0, each <= 0, groups=names, seed=seed).answer != "no clear gain"
        alone += gain(each >= 0, each <= 0, seed=seed).answer != "no clear gain"
    assert grouped <= 16 and alone > 60  # 10 are due at 5 %


def test_the_interval_of_groups_is_the_wider_of_bootstrap_and_robust_t() -> None:
    rng = np.random.default_rng(0)
    owner = rng.integers(0, 9, 120)
    values = rng.normal(size=9)[owner] + rng.normal(size=120)
    found = by_group(values, owner)
    total, mean = 0.0, values.mean()
    for group in range(9):
        total += (values[owner == group] - mean).sum() ** 2
    half = 2.306004 * np.sqrt(9 / 8 * total) / 120  # Student's, 8 degrees of freedom
    means = []
    for _ in range(4000):
        drawn = np.concatenate([values[owner == group] for group in rng.integers(0, 9, 9)])
        means.append(drawn.mean())
    low, high = np.quantile(means, [0.025, 0.975])
    assert found == pytest.approx((min(low, mean - half), max(high, mean + half)), abs=0.03)


def test_groups_only_widen_and_too_few_claim_nothing() -> None:
    candidate, baseline = outcomes(60, 10, 100, 30)
    owner = np.arange(200) % 10
    low, high = gain(candidate, baseline).interval
    wide = gain(candidate, baseline, groups=owner).interval
    assert wide[0] <= low and wide[1] >= high
    assert gain(candidate, baseline).answer == "helped"
    assert gain(candidate, baseline, groups=np.arange(200) % 5).interval == (-1.0, 1.0)
    merits = np.where(candidate, 1.0, 0.0), np.where(baseline, 1.0, 0.0)
    assert paired_gain(*merits).answer == "helped"
    assert paired_gain(*merits, groups=np.arange(200) % 5).answer == "no clear gain"
    found = verdict(candidate.astype(int), {"b": baseline.astype(int)}, np.ones(200, int), titles={"b": "b"},
                    classes=["x", "y"], groups=[str(i % 5) for i in range(200)])  # fmt: skip
    assert found.answer == "no clear gain" and found.per_class["y"]["answer"] == "no clear gain"
    assert found.summary.endswith("over b [too few to say]")


def test_no_difference_has_an_interval_around_zero() -> None:
    found = gain(*outcomes(0, 0, 50, 10))
    assert found.gain == 0 and found.interval[0] < 0 < found.interval[1] and found.answer == "no clear gain"
    assert gain(*outcomes(12, 0)).answer == "helped"  # every sample differs the same way: not the same thing


def test_merits_that_are_right_or_wrong_are_compared_as_answers_are() -> None:
    """19 samples of which none differs leave room for a difference that was not seen; NaN is no label."""
    right = np.ones(20)
    right[3] = np.nan
    found = paired_gain(right, right)
    assert found == gain(np.ones(19, bool), np.ones(19, bool)) and found.interval[0] < -0.1 < 0.1 < found.interval[1]
    groups = np.arange(20) % 4
    assert paired_gain(right, 1 - right, groups=groups).interval == (-1.0, 1.0)
    softer = paired_gain(right - 0.25, right - 0.25)
    assert softer.interval == (0.0, 0.0), "merits on a scale of their own are left to the bootstrap"


def test_same_seed_same_interval() -> None:
    pair = outcomes(300, 200, 400)
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
