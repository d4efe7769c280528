"""TrAdaBoost: boosting in which source rows that contradict a few labelled target rows lose their weight.

Dai, Yang, Xue, Yu: Boosting for Transfer Learning, ICML 2007, algorithm 1. For more than two classes the vote is a
weighted plurality, which is the paper's rule where there are two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from headstart.errors import ConfigError, DataError
from headstart.progress import say
from headstart.shift import ShiftClassifier
from headstart.shift._inputs import Domains, Rows


class TrAdaBoost(ShiftClassifier):
    """Wrong target rows gain weight as in AdaBoost, wrong source rows lose it; the later half of the rounds votes.

    ``fit(source, target, labels, target_labels)``. In round t with error e_t on the target (below 1/2),
    b_t = e_t / (1 - e_t), a wrong target row is multiplied by 1 / b_t and a wrong source row by
    b = 1 / (1 + sqrt(2 ln(num_source) / num_rounds)). Without a second domain all rows are target rows: AdaBoost.

    Args:
        classifier: a weak one that takes ``sample_weight``; None: a tree of depth 3.
        num_rounds: at most; a round that is no better than chance on the target ends it.
    """

    def __init__(self, classifier: Any = None, num_rounds: int = 30) -> None:
        self.classifier = classifier
        self.num_rounds = num_rounds

    def _learn(self, domains: Domains) -> None:
        if self.num_rounds < 1:
            raise ConfigError(f"num_rounds is {self.num_rounds}; it must be at least 1.")
        codes, num_classes = domains.labels
        rows, num_source = domains.target, 0
        if not domains.single:
            if domains.target_codes is None:
                raise DataError(
                    "TrAdaBoost learns from labelled target rows: call fit(source, target, labels, target_labels). "
                    "Without target labels, TCA, CORAL or SelfTraining would work."
                )
            rows, num_source = domains.rows, len(codes)
            codes = np.concatenate([codes, domains.target_codes])
        self._boost(rows, codes, num_source, num_classes)

    def _boost(self, rows: Rows, codes: np.ndarray, num_source: int, num_classes: int) -> None:
        weak = DecisionTreeClassifier(max_depth=3, random_state=0) if self.classifier is None else self.classifier
        least = 1 / (1 + np.sqrt(2 * np.log(max(num_source, 2)) / self.num_rounds))
        weights = np.ones(len(codes))
        members: list[Any] = []
        powers: list[float] = []
        for _ in range(self.num_rounds):
            weights /= weights.sum()
            member = clone(weak).fit(rows, codes, sample_weight=weights * len(codes))
            wrong = member.predict(rows) != codes
            error = float(weights[num_source:] @ wrong[num_source:] / weights[num_source:].sum())
            if error >= 0.5 and members:
                say(f"TrAdaBoost: ended after {len(members)} of {self.num_rounds} rounds: no better than chance.")
                break
            share = np.clip(error, 1e-3, 0.499) / (1 - np.clip(error, 1e-3, 0.499))
            members.append(member)
            powers.append(-np.log(share))
            if error == 0 and num_source == 0:
                break  # nothing is left to learn
            weights[:num_source] *= np.where(wrong[:num_source], least, 1)
            weights[num_source:] *= np.where(wrong[num_source:], 1 / share, 1)
        later = len(members) // 2 if num_source else 0  # the early rounds follow the source
        self.members_, self.powers_ = members[later:], np.array(powers[later:])

    def _probabilities(self, x: Rows) -> np.ndarray:
        votes = np.zeros((x.shape[0], len(self.classes_)))
        for member, power in zip(self.members_, self.powers_, strict=True):
            votes[np.arange(len(votes)), member.predict(x)] += power
        return votes / votes.sum(1, keepdims=True)
