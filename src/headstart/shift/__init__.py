"""Shallow domain adaptation: closed-form maths on two samples of rows, as scikit-learn estimators.

    adapted = hs.shift.TCA().fit(source, target)
    classifier.fit(adapted.transform(source, domain="source"), labels).predict(adapted.transform(new))

One file is one method. Every method is fitted as ``fit(source, target, labels=None)`` on tables of numbers, dense or
scipy.sparse (which are never made dense as a whole), and is an ordinary scikit-learn estimator as well, whose arguments
are called ``X`` and ``y``. What ``y`` is decides:

- 2-D, or anything as wide as the source: the rows of the target domain. ``labels`` are those of the source.
- 1-D or None: there is no second domain. The source is its own target, ``y`` are its labels, and every method falls
  back to its natural limit (CORAL: the identity; subspace alignment: PCA). That makes pipelines and
  ``check_estimator`` work on the same classes.

There are three kinds: an ``Adapter`` moves rows, a ``Weighting`` weighs source rows, and a ``ShiftClassifier``
(BBSE, MLLS, TrAdaBoost, SelfTraining) predicts. ``AdaptedClassifier`` puts any of the first two in front of an ordinary
classifier. ``mmd``, ``proxy_a_distance``, ``coral_distance``, ``feature_contributions`` and
``class_contributions`` measure how far apart two samples are, and where. Names are resolved when first used.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from headstart.shift._inputs import Domains, Rows, checked_rows, read_domains

Domain = Literal["source", "target"]


class Adapter(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Moves rows of both domains to where a classifier of the source also works on the target.

    ``needs_labels``: whether ``fit`` refuses without source labels; ``uses_labels``: whether it looks at them.
    """

    needs_labels: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = False

    def fit(self, X: Any, y: Any = None, labels: Any = None) -> Self:
        """Learn from source rows (num_source, dim) and target rows (num_target, dim).

        Args:
            X: the source rows.
            y: the target rows; or, without a second domain, the labels of ``X`` or None.
            labels: (num_source,) labels of the source rows.

        Raises:
            DataError: rows that cannot be used: different widths, NaN, a single row, a single class.
        """
        domains = read_domains(self, X, y, labels, labelled=self.uses_labels, needed=self.needs_labels)
        self._learn(domains)
        self._n_features_out = self._map(domains.target[:1], "target").shape[1]
        return self

    def transform(self, X: Any, domain: Domain = "target") -> Rows:
        """Rows (num, dim) of one domain -> (num, dim_out); by default new rows of the target.

        Methods that move both domains alike (TCA, JDA, mSDA) give the same for either ``domain``.
        """
        check_is_fitted(self)
        return self._map(checked_rows(self, X), domain)

    def fit_transform(self, X: Any, y: Any = None, labels: Any = None) -> Rows:
        """Fit, and give back the source rows as a classifier should be trained on: (num_source, dim_out)."""
        return self.fit(X, y, labels).transform(X, domain="source")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.needs_labels
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _learn(self, domains: Domains) -> None:
        """Set the fitted attributes; ``domains`` are checked float arrays."""

    @abstractmethod
    def _map(self, x: Rows, domain: Domain) -> Rows:
        """Transform checked rows."""


class Weighting(BaseEstimator, ABC):
    """Weighs source rows so that their weighted sample looks like the target.

    Attributes:
        weights_: (num_source,) after ``fit``: not negative, mean 1, for ``sample_weight`` of any classifier.
    """

    weights_: np.ndarray

    def fit(self, X: Any, y: Any = None, labels: Any = None) -> Self:
        """Learn from source rows (num_source, dim) and target rows (num_target, dim).

        Args:
            X: the source rows.
            y: the target rows; or, without a second domain, labels (ignored) or None: all weights are 1.
            labels: ignored; there so that all methods are called alike.

        Raises:
            DataError: rows that cannot be used: different widths, NaN, a single row.
        """
        domains = read_domains(self, X, y, labels, labelled=False, needed=False)
        self.weights_ = self._weigh(domains)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _weigh(self, domains: Domains) -> np.ndarray:
        """(num_source,) weights."""


class ShiftClassifier(ClassifierMixin, BaseEstimator, ABC):
    """Predicts the classes of target rows.

    Attributes:
        classes_: (num_classes,) sorted labels.
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any = None, labels: Any = None, target_labels: Any = None) -> Self:
        """Learn from labelled source rows (num_source, dim) and target rows (num_target, dim).

        Args:
            X: the source rows.
            y: the target rows; or, without a second domain, the labels of ``X``.
            labels: (num_source,) labels of the source rows.
            target_labels: (num_target,) labels of the target rows, for a method that uses them (TrAdaBoost).

        Raises:
            DataError: rows that cannot be used: different widths, NaN, a single row; labels that are missing or all
                alike.
        """
        domains = read_domains(self, X, y, labels, labelled=True, needed=True, target_labels=target_labels)
        assert domains.classes is not None, "read_domains refuses rows without labels"
        self.classes_ = domains.classes
        self._learn(domains)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Rows (num, dim) of the target -> probabilities (num, num_classes), columns as in ``classes_``."""
        check_is_fitted(self)
        return self._probabilities(checked_rows(self, X))

    def predict(self, X: Any) -> np.ndarray:
        """Rows (num, dim) of the target -> labels (num,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _learn(self, domains: Domains) -> None:
        """Set the fitted attributes; ``domains`` are checked and have labels."""

    @abstractmethod
    def _probabilities(self, x: Rows) -> np.ndarray:
        """(num, num_classes) for checked rows."""


# Where the public names live. A method is one file, found by its file name as well: ``load("tca")``.
_WHERE = {
    "TCA": "tca",
    "SSTCA": "sstca",
    "JDA": "jda",
    "BDA": "bda",
    "TJM": "tjm",
    "CORAL": "coral",
    "SubspaceAlignment": "subspace",
    "LinearTransport": "linear_transport",
    "MSDA": "msda",
    "KMM": "kmm",
    "DensityRatio": "density_ratio",
    "BBSE": "bbse",
    "MLLS": "mlls",
    "TrAdaBoost": "tradaboost",
    "SelfTraining": "self_training",
    "AdaptedClassifier": "adapted",
    "mmd": "_measures",
    "proxy_a_distance": "_measures",
    "coral_distance": "_measures",
    "feature_contributions": "_measures",
    "class_contributions": "_measures",
    "shared_rows": "_measures",
}
__all__ = ["Adapter", "Domain", "ShiftClassifier", "Weighting", "load", *_WHERE]

if TYPE_CHECKING:
    from headstart.shift._measures import class_contributions as class_contributions
    from headstart.shift._measures import coral_distance as coral_distance
    from headstart.shift._measures import feature_contributions as feature_contributions
    from headstart.shift._measures import mmd as mmd
    from headstart.shift._measures import proxy_a_distance as proxy_a_distance
    from headstart.shift._measures import shared_rows as shared_rows
    from headstart.shift.adapted import AdaptedClassifier as AdaptedClassifier
    from headstart.shift.bbse import BBSE as BBSE
    from headstart.shift.bda import BDA as BDA
    from headstart.shift.coral import CORAL as CORAL
    from headstart.shift.density_ratio import DensityRatio as DensityRatio
    from headstart.shift.jda import JDA as JDA
    from headstart.shift.kmm import KMM as KMM
    from headstart.shift.linear_transport import LinearTransport as LinearTransport
    from headstart.shift.mlls import MLLS as MLLS
    from headstart.shift.msda import MSDA as MSDA
    from headstart.shift.self_training import SelfTraining as SelfTraining
    from headstart.shift.sstca import SSTCA as SSTCA
    from headstart.shift.subspace import SubspaceAlignment as SubspaceAlignment
    from headstart.shift.tca import TCA as TCA
    from headstart.shift.tjm import TJM as TJM
    from headstart.shift.tradaboost import TrAdaBoost as TrAdaBoost


def load(name: str) -> type[BaseEstimator]:
    """The class of the method with this file name: ``load("subspace")`` is ``SubspaceAlignment``.

    Raises:
        ConfigError: no method has this name; the message lists those there are.
    """
    from headstart import plugins

    return plugins.variant("shift", name, BaseEstimator)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'headstart.shift' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"headstart.shift.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
