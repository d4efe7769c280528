"""What ``auto`` does where the source is too small to be halved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.adaptation.choosing import choose
from headstart.adaptation.gathering import halved
from headstart.approaches._adaptation import logits_of
from headstart.approaches._rows import Pair
from headstart.training.run import Run

RUN = Run(None, 0)


def pair(*labels: int) -> Pair:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(len(labels), 4)) + 5 * np.eye(4)[list(labels)]
    return Pair(source.astype(np.float32), np.array(labels), rng.normal(size=(30, 4)).astype(np.float32), max(labels) + 1)


@pytest.mark.parametrize("labels", [(0, 1), (0, 1, 0), (0, 1, 2, 3)])
def test_with_a_sample_a_class_source_only_is_kept_and_why_is_said(labels: tuple[int, ...]) -> None:
    few = pair(*labels)
    assert not halved(few)
    found = choose(few, RUN)
    assert found.name == "source_only" and "cannot be halved" in found.reasons[0]
    assert (logits_of(found.head, few.source).argmax(1) == few.labels).all()


@pytest.mark.parametrize("labels", [(0, 1, 0, 1), (0, 1, 0, 1, 2, 3)])
def test_with_two_samples_of_two_classes_candidates_are_tried(labels: tuple[int, ...]) -> None:
    assert len(choose(pair(*labels), RUN).table) > 5


def test_labels_of_the_target_decide_without_halves() -> None:
    known = replace(pair(0, 1, 0), known=np.eye(4, dtype=np.float32)[[0, 1] * 6], known_labels=np.array([0, 1] * 6))
    assert "labelled target samples" in choose(known, RUN).reasons[-1]
