"""The guard: better beyond chance and contradicted by nobody, or source-only stays."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.adaptation import guard
from headstart.selection import Evidence

NUM, CLASSES = 200, 3
LABELS = np.arange(NUM) % CLASSES
NEAR, APART = 0.5, 1.95  # proxy A-distances


def logits(accuracy: float, seed: int, sure: float = 3.0) -> np.ndarray:
    """Right on the first rows; the order in which rows go wrong is the same for all."""
    rng = np.random.default_rng(seed)
    said = np.where(np.random.default_rng(0).permutation(NUM) < accuracy * NUM, LABELS, (LABELS + 1) % CLASSES)
    return sure * np.eye(CLASSES)[said] + 0.1 * rng.normal(size=(NUM, CLASSES))


def evidence(source: float, back: float, agree: float, sure: float = 3.0) -> Evidence:
    target = logits(1.0, 3, sure)
    return Evidence(LABELS, logits(source, 1), np.ones(NUM), target, logits(agree, 4, sure), logits(back, 2))


def test_better_by_all_is_kept() -> None:
    found = guard.decide({"source_only": evidence(0.8, 0.6, 0.7), "good": evidence(0.85, 0.75, 0.8, 3.5)}, NEAR)
    assert found.name == "good"
    assert "+15.0 points" in found.reasons[0]


def test_the_best_of_the_sound_ones_is_kept() -> None:
    found = guard.decide({
        "source_only": evidence(0.8, 0.6, 0.7),
        "good": evidence(0.85, 0.75, 0.8, 3.5),
        "better": evidence(0.85, 0.8, 0.8, 3.5),
        "contradicted": evidence(0.7, 0.95, 0.8, 3.5),
    }, NEAR)  # fmt: skip
    assert found.name == "better"
    assert "contradicted" in found.reasons[1] and "importance" in found.reasons[1]


@pytest.mark.parametrize(
    ("other", "speaks"),
    [
        (evidence(0.85, 0.605, 0.8, 3.5), "[0.0"),  # not better beyond chance
        (evidence(0.75, 0.75, 0.8, 3.5), "importance"),
        (evidence(0.85, 0.75, 0.6, 3.5), "agreement"),
    ],
)
def test_one_contradiction_keeps_source_only(other: Evidence, speaks: str) -> None:
    found = guard.decide({"source_only": evidence(0.8, 0.6, 0.7), "other": other}, NEAR)
    assert found.name == "source_only"
    assert speaks in found.reasons[0]


def test_a_contradiction_within_chance_is_none() -> None:
    """A row or two of 200 speak against it."""
    found = guard.decide({"source_only": evidence(0.8, 0.6, 0.7), "other": evidence(0.79, 0.75, 0.695, 3.5)}, NEAR)
    assert found.name == "other" and "do not contradict" in found.reasons[0]


def test_with_few_rows_nothing_is_beyond_chance() -> None:
    few = [Evidence(e.labels[:20], e.source[:20], e.weights[:20], e.target, e.other, e.back[:20])
           for e in (evidence(0.8, 0.6, 0.7), evidence(0.9, 0.9, 0.8, 3.5))]  # fmt: skip
    assert guard.decide({"source_only": few[0], "other": few[1]}, NEAR).name == "source_only"


def test_alone_the_bar_stays() -> None:
    assert guard.decide({"source_only": evidence(0.8, 0.6, 0.7)}, NEAR).name == "source_only"


def test_where_the_domains_do_not_overlap_the_weighted_criteria_have_no_vote_and_it_is_said() -> None:
    bar, moved, vague = evidence(0.8, 0.6, 0.7), evidence(0.4, 0.75, 0.8), evidence(0.4, 0.9, 0.5)
    assert guard.decide({"source_only": bar, "moved": moved}, NEAR).name == "source_only"
    found = guard.decide({"source_only": bar, "moved": moved, "vague": vague}, APART)
    assert found.name == "moved", "agreement still speaks against the other one"
    assert "agreement does not contradict" in found.reasons[0]
    assert "importance and deep_embedded have no vote" in found.reasons[1] and "1.95 of 2" in found.reasons[1]
    kept = guard.decide({"source_only": bar, "vague": vague}, APART)
    assert kept.name == "source_only" and "against it: agreement" in kept.reasons[0] and "have no vote" in kept.reasons[1]


def test_deep_embedded_has_no_vote_where_the_mean_of_the_weights_is_off_beyond_noise() -> None:
    """Its correction grows with how far the mean is off, and then speaks against what all others call better."""
    bar, other = evidence(0.8, 0.6, 0.7), evidence(0.85, 0.75, 0.8)
    wrong, still = (one.source.argmax(1) != LABELS for one in (bar, other))
    weights = np.where(still, 6.0, np.where(wrong, 0.2, 0.8)) * np.random.default_rng(5).uniform(0.9, 1.1, NUM)

    def weighing(mean: float) -> dict[str, Evidence]:
        return {name: replace(one, weights=weights * mean / weights.mean()) for name, one in (("source_only", bar), ("other", other))}

    off = weighing(0.1)
    assert guard._worse("deep_embedded", off["source_only"], off["other"], 0)
    even, found = guard.decide(weighing(1.0), NEAR), guard.decide(off, NEAR)
    assert even.name == found.name == "other"
    assert not any("no vote" in reason for reason in even.reasons)
    assert "importance and agreement do not contradict" in found.reasons[0]
    assert "deep_embedded has no vote" in found.reasons[1] and "and it is 0.100" in found.reasons[1]


def test_it_compares_by_the_merits_of_the_criteria() -> None:
    """Each vote's paired difference is that of the two scores, also where the weights' mean is not 1."""
    rng = np.random.default_rng(5)
    weights = 1.3 * rng.gamma(2.0, 0.5, NUM)
    bar, other = (replace(evidence(*shares), weights=weights) for shares in ((0.8, 0.6, 0.7), (0.85, 0.75, 0.8)))
    one, two = guard.scores(bar), guard.scores(other)
    for rule in guard.VOTES:
        assert guard._gains(rule, bar, other).mean() == pytest.approx(two[rule] - one[rule], abs=1e-12), rule
