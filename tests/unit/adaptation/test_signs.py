"""The warnings of ``auto``: each where it is due, and none where the domains are alike."""

import numpy as np
import pytest

from headstart.adaptation import choosing, signs
from headstart.adaptation.gathering import gathered, importance_of
from headstart.adaptation.grid import BAR
from headstart.approaches._rows import Pair
from headstart.approaches.linear_transport import LinearTransport
from headstart.approaches.source_only import SourceOnly
from headstart.shift import proxy_a_distance
from headstart.training.run import Run

NAMES = ("ant", "bee", "cow")
PLACES = np.array([[4.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 4.0, 0]])


def rows(shares: tuple[float, ...], seed: int, num: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A cloud a class; the shares are met exactly."""
    labels = np.repeat(np.arange(len(shares)), [round(num * share) for share in shares])
    found = PLACES[labels] + np.random.default_rng(seed).normal(size=(len(labels), 4))
    return found.astype(np.float32), labels


def distance(pair: Pair) -> float:
    return proxy_a_distance(pair.source, pair.target)


def warned(source: np.ndarray, labels: np.ndarray, target: np.ndarray) -> str:
    pair, run = Pair(source, labels, target.astype(np.float32), len(NAMES)), Run(None, 0)
    evidence = gathered(SourceOnly(), pair, importance_of(pair), run)
    return " | ".join(signs.warnings(pair, evidence, evidence, distance(pair), NAMES))


def test_of_domains_that_are_alike_nothing_is_said() -> None:
    assert warned(*rows((1 / 3, 1 / 3, 1 / 3), 0), rows((1 / 3, 1 / 3, 1 / 3), 1)[0]) == ""


def test_other_shares_of_the_classes_are_told_with_their_estimates() -> None:
    found = warned(*rows((1 / 3, 1 / 3, 1 / 3), 0), rows((0.7, 0.15, 0.15), 1)[0])
    assert "label shift" in found and "lack" not in found
    assert any(f"ant 33 % -> {share} %" in found for share in range(65, 76))


@pytest.mark.parametrize("seed", range(4))
def test_from_few_rows_no_other_shares_are_read(seed: int) -> None:
    """Ten classes, six rows each, as many of each in the target: the estimate is off by a quarter and more by chance alone."""
    rng, labels = np.random.default_rng(seed), np.arange(60) % 10
    places = 0.3 * np.random.default_rng(99).normal(size=(10, 200))
    source, target = ((places[own] + rng.normal(size=(len(own), 200))).astype(np.float32) for own in (labels, np.arange(80) % 10))
    pair, run = Pair(source, labels, target, 10), Run(None, 0)
    evidence = gathered(SourceOnly(), pair, importance_of(pair), run)
    shares = np.abs(signs.balance(pair, evidence) - 0.1).sum() / 2
    assert signs.SHARE_MOVED < shares < signs.gap_by_chance(pair, evidence)
    assert not any("shares of the classes" in line for line in signs.warnings(pair, evidence, evidence, distance(pair), tuple("abcdefghij")))


def test_a_class_that_the_target_lacks_is_named() -> None:
    found = warned(*rows((1 / 3, 1 / 3, 1 / 3), 0), rows((0.5, 0.5, 0.0), 1)[0])
    assert "classes of the source that the target seems to lack (estimated): cow" in found


def test_target_samples_of_a_class_that_the_source_lacks_are_strangers() -> None:
    source, target = rows((1 / 3, 1 / 3, 1 / 3), 0), rows((1 / 3, 1 / 3, 1 / 3), 1)[0]
    new = np.array([0, 0, 0, 12]) + np.random.default_rng(2).normal(size=(150, 4))
    assert "% of the target samples lie farther from every source sample" in warned(*source, np.concatenate([target, new]))


def test_domains_far_apart_are_told_and_that_they_can_be_bridged() -> None:
    """Moved along an axis that says nothing of the classes: all is still known after the way there and back."""
    found = warned(*rows((1 / 3, 1 / 3, 1 / 3), 0), rows((1 / 3, 1 / 3, 1 / 3), 1)[0] + np.array([0, 0, 0, 8]))
    assert "the domains are far apart" in found and "too large to bridge" not in found


def test_a_shift_too_large_to_bridge_is_called_so() -> None:
    """Far away, and with nothing left of what tells the classes apart."""
    noise = np.array([0, 0, 0, 30]) + np.random.default_rng(3).normal(size=(300, 4)) * [0.1, 0.1, 0.1, 1]
    assert "this shift may be too large to bridge; label some target samples" in warned(
        *rows((1 / 3, 1 / 3, 1 / 3), 0), noise
    )


def test_whether_it_can_be_bridged_is_asked_of_what_was_kept_and_shares_are_not_read_across_a_gulf() -> None:
    """Moved so far along an axis that source-only takes every target row for one class; moving the domain as a whole brings them back."""
    source, labels = rows((1 / 3, 1 / 3, 1 / 3), 0)
    target = rows((1 / 3, 1 / 3, 1 / 3), 1)[0] + np.array([30, 0, 0, 0])
    pair, run = Pair(source, labels, target.astype(np.float32), len(NAMES)), Run(None, 0)
    weights = importance_of(pair)
    alone, moved = (gathered(approach, pair, weights, run) for approach in (SourceOnly(), LinearTransport()))
    assert np.abs(signs.balance(pair, alone) - 1 / 3).max() > 0.5, "the estimate is off: it takes the shift for other shares"
    found = {name: " | ".join(signs.warnings(pair, alone, kept, distance(pair), NAMES))
             for name, kept in (("alone", alone), ("moved", moved))}  # fmt: skip
    assert "shares of the classes" not in found["alone"] + found["moved"]
    assert "too large to bridge" in found["alone"] and "too large to bridge" not in found["moved"]


def test_auto_hands_the_warnings_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "grid", lambda pair: [BAR])
    source, labels = rows((1 / 3, 1 / 3, 1 / 3), 0)
    pair = Pair(source, labels, rows((0.5, 0.5, 0.0), 1)[0], len(NAMES))
    assert any("seems to lack (estimated): cow" in text for text in choosing.choose(pair, Run(None, 0), NAMES).warnings)
