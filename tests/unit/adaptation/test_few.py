"""Labelled target rows decide: by fits that did not see them, and beyond chance for all candidates together."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.adaptation import few
from headstart.adaptation.choosing import choose
from headstart.adaptation.grid import BAR, Entry
from headstart.approaches._adaptation import Adaptation, logits_of
from headstart.approaches._rows import Pair
from headstart.approaches.anchored import Anchored
from headstart.approaches.coral import Coral
from headstart.approaches.source_only import SourceOnly
from headstart.approaches.tradaboost import Tradaboost
from headstart.errors import Incompatible
from headstart.training.run import Run

RUN = Run(None, 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the candidates that use no labels, one."""
    monkeypatch.setattr(few, "grid", lambda pair: [BAR, Entry("coral", Coral())])


def turned(num: int = 40, turn: float = 2.4, seed: int = 0) -> tuple[Pair, np.ndarray, np.ndarray]:
    """In the target the two classes lie along a direction turned by an angle; ``num`` of its rows are labelled."""
    rng = np.random.default_rng(seed)

    def cloud(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 2, size)
        along = (2 * labels - 1)[:, None] * 2 * np.array([np.cos(angle), np.sin(angle), 0, 0])
        return (along + rng.normal(size=(size, 4))).astype(np.float32), labels

    source, labels = cloud(300, 0.0)
    known, known_labels = cloud(num, turn)
    target, truth = cloud(600, turn)
    return Pair(source, labels, target, 2, known=known, known_labels=known_labels), target, truth


def accuracy(approach: Adaptation, pair: Pair, rows: np.ndarray, truth: np.ndarray) -> float:
    return float((logits_of(approach.learn(pair, RUN), rows).argmax(1) == truth).mean())


@pytest.mark.parametrize(("approach", "turn"), [(Anchored(), 2.4), (Anchored(), 1.2), (Tradaboost(), 1.2)])
def test_few_labels_correct_the_source(approach: Adaptation, turn: float) -> None:
    """TrAdaBoost has to begin better than chance on the target."""
    pair, rows, truth = turned(turn=turn)
    assert accuracy(SourceOnly(), pair, rows, truth) < 0.8
    assert accuracy(approach, pair, rows, truth) > 0.85


def test_where_the_source_is_right_its_classifier_is_hardly_moved() -> None:
    pair, rows, truth = turned(num=6, turn=0.0)
    assert accuracy(Anchored(), pair, rows, truth) > accuracy(SourceOnly(), pair, rows, truth) - 0.02


def test_the_stronger_the_anchor_the_nearer_to_the_source() -> None:
    pair, rows, _ = turned()
    plain = logits_of(SourceOnly().learn(pair, RUN), rows)
    gaps = [np.abs(logits_of(Anchored(p).learn(pair, RUN), rows) - plain).mean() for p in (1e4, 1.0, 0.01)]
    assert gaps[0] < gaps[1] < gaps[2]


@pytest.mark.parametrize("approach", [Anchored(), Tradaboost()])
def test_without_labelled_rows_they_refuse(approach: Adaptation) -> None:
    pair, *_ = turned()
    with pytest.raises(Incompatible, match="--target-labels learn"):
        approach.learn(replace(pair, known=None, known_labels=None), RUN)


def test_auto_keeps_what_the_labels_prefer() -> None:
    pair, rows, truth = turned()
    found = choose(pair, RUN)
    assert found.name in ("anchored", "tradaboost") and "by the target's labels" in found.reasons[0]
    assert (logits_of(found.head, rows).argmax(1) == truth).mean() > 0.85


def test_auto_keeps_the_source_where_nothing_is_better() -> None:
    pair, *_ = turned(turn=0.0)
    assert choose(pair, RUN).name == "source_only"


def test_the_rows_that_judge_were_not_fitted_on() -> None:
    """Labels by the toss of a coin: nobody knows them."""
    pair, *_ = turned(num=200)
    pair = replace(pair, known_labels=np.random.default_rng(1).integers(0, 2, 200))
    for approach in (Anchored(0.001), Tradaboost()):
        found = few.held_out(approach, pair, RUN)
        assert 0.35 < (found.argmax(1) == pair.known_labels).mean() < 0.65
