"""Any adapter or weighting in front of any classifier: one estimator from source rows, target rows and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from headstart.shift import ShiftClassifier, Weighting
from headstart.shift._inputs import Domains, Rows
from headstart.shift._label_shift import default_classifier


class AdaptedClassifier(ShiftClassifier):
    """The classifier is fitted on the moved (or weighted) source rows and predicts moved target rows.

    Args:
        method: an ``Adapter`` or a ``Weighting``, unfitted; None: the source as it is.
        classifier: with ``predict_proba``, and ``sample_weight`` for a weighting; None: logistic regression.

    Attributes:
        method_, classifier_: fitted.
    """

    def __init__(self, method: Any = None, classifier: Any = None) -> None:
        self.method = method
        self.classifier = classifier

    def _learn(self, domains: Domains) -> None:
        codes, _ = domains.labels
        classifier = clone(default_classifier() if self.classifier is None else self.classifier)
        self.method_ = None if self.method is None else clone(self.method)
        if self.method_ is not None and domains.single:
            self.method_.fit(domains.source, codes)
        elif self.method_ is not None:
            self.method_.fit(domains.source, domains.target, codes)
        if self.method_ is None:
            self.classifier_ = classifier.fit(domains.source, codes)
        elif isinstance(self.method_, Weighting):
            self.classifier_ = classifier.fit(domains.source, codes, sample_weight=self.method_.weights_)
        else:
            self.classifier_ = classifier.fit(self.method_.transform(domains.source, domain="source"), codes)

    def _moved(self, x: Rows) -> Rows:
        return x if self.method_ is None or isinstance(self.method_, Weighting) else self.method_.transform(x)

    def _probabilities(self, x: Rows) -> np.ndarray:
        return self.classifier_.predict_proba(self._moved(x))
