"""Where the classes of one task lie within those of another (fine in coarse), and how often two heads contradict that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

LEAST = 2.0  # samples a class on average; where most are seen once, anything nests in anything


@dataclass(frozen=True)
class Nesting:
    """
    Attributes:
        inner, outer: names of tasks.
        parents: of each output of the inner task, the place of the output of the outer one that it lies in.
    """

    inner: str
    outer: str
    parents: tuple[int, ...]

    def contradicted(self, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
        """(n,) whether the likeliest class of the inner task lies outside the likeliest of the outer one.

        Args:
            inner, outer: (n, k) probabilities of both tasks.
        """
        contradicted: np.ndarray = np.array(self.parents)[inner.argmax(1)] != outer.argmax(1)
        return contradicted


def nestings(columns: Mapping[str, Sequence[str | None]], outputs: Mapping[str, Sequence[str]]) -> tuple[Nesting, ...]:
    """Every pair of tasks of which one has more classes, and each of these comes with one class of the other only.

    Args:
        columns: the labels of each task, n entries each, None where one is missing.
        outputs: the classes of the tasks that have some.
    """
    found = []
    for inner, outer in permutations(outputs, 2):
        both = {(a, b) for a, b in zip(columns[inner], columns[outer], strict=True) if a is not None and b is not None}
        number = sum(a is not None and b is not None for a, b in zip(columns[inner], columns[outer], strict=True))
        parent = dict(both)
        whole = len(parent) == len(both) and set(parent) == set(outputs[inner])
        if whole and len(parent) > len(outputs[outer]) > 1 and number >= LEAST * len(parent):
            places = {label: place for place, label in enumerate(outputs[outer])}
            found.append(Nesting(inner, outer, tuple(places[parent[label]] for label in outputs[inner])))
    return tuple(found)
