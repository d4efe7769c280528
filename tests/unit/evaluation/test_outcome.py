"""Scores of samples that belong to groups, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.data.dataset import Dataset
from headstart.evaluation import outcome
from headstart.metrics.classification import wilson
from headstart.tasks.classification import Classification

LABELS = ["a", "b"] * 60


def samples(groups: list[str] | None) -> Dataset:
    return Dataset([{"x": 1.0}] * 120, [str(i) for i in range(120)], LABELS, "table", groups)


def answers(right: np.ndarray) -> np.ndarray:
    actual = np.arange(120) % 2
    return np.eye(2)[np.where(right, actual, 1 - actual)]


def test_the_interval_of_the_metric_counts_groups() -> None:
    task, owner = Classification.learn(LABELS), [str(i // 12) for i in range(120)]
    predicted = answers(np.arange(120) // 12 < 7)  # seven patients all right, three all wrong
    alone = outcome.scored(task, samples(None), predicted)["accuracy_interval"]
    grouped = outcome.scored(task, samples(owner), predicted)["accuracy_interval"]
    assert alone == list(wilson(84, 120)) and 0 <= grouped[0] < alone[0] - 0.1 and alone[1] + 0.1 < grouped[1] <= 1


@pytest.mark.parametrize(("groups", "words"), [(1, "1 group, too few"), (5, "5 groups, too few"), (10, "count groups")])
def test_what_is_said_of_groups(groups: int, words: str) -> None:
    found = samples([str(i % groups) for i in range(120)])
    (note,) = outcome.about_groups(found, verdict=True)
    assert words in note and "verdict" in note and "verdict" not in outcome.about_groups(found, verdict=False)[0]
    assert outcome.about_groups(replace(found, groups=None), verdict=True) == ()


@pytest.mark.parametrize("total", [5, 30, 293])
def test_a_share_lies_in_its_own_interval(total: int) -> None:
    for right in (0, 1, total):
        low, high = wilson(right, total)
        assert 0 <= low <= right / total <= high <= 1
