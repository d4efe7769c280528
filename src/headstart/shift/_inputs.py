"""What every method checks before any work: two tables of finite numbers of one width, and labels that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, assert_all_finite, check_array, column_or_1d, validate_data

from headstart.errors import DataError

SHOWN = 5  # names in an error message
Rows = Any  # (num, dim) float32 or float64: np.ndarray, or scipy.sparse.csr_array, which is never made dense as a whole


@dataclass(frozen=True)
class Domains:
    """Two samples, checked.

    Attributes:
        source: (num_source, dim) float32 or float64, dense or sparse.
        target: (num_target, dim), of the same kind; the very array of the source where there is no second domain.
        classes: the sorted labels, or None.
        codes: (num_source,) class numbers of the source, or None.
        target_codes: (num_target,) class numbers of the target, or None where its labels are not known.
    """

    source: Rows
    target: Rows
    classes: np.ndarray | None = None
    codes: np.ndarray | None = None
    target_codes: np.ndarray | None = None

    @property
    def single(self) -> bool:
        """Whether there is no second domain."""
        return self.target is self.source

    @property
    def num_source(self) -> int:
        return int(self.source.shape[0])

    @property
    def num_target(self) -> int:
        return int(self.target.shape[0])

    @property
    def rows(self) -> Rows:
        """(num_source + num_target, dim), the source first."""
        return stacked([self.source, self.target])

    @property
    def labels(self) -> tuple[np.ndarray, int]:
        """Class numbers (num_source,) and how many classes there are, for a method that needs them."""
        assert self.codes is not None and self.classes is not None, "the method must say that it needs labels"
        return self.codes, len(self.classes)


def stacked(parts: list[Rows]) -> Rows:
    """Rows one below the other, sparse where they are sparse."""
    if scipy.sparse.issparse(parts[0]):
        return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))
    return np.concatenate(parts)


def sparse(x: np.ndarray) -> Rows:
    """Dense rows as sparse ones, in two passes over their memory."""
    filled = x != 0
    places = np.flatnonzero(filled)
    starts = np.concatenate([[0], np.cumsum(filled.sum(1))])
    return scipy.sparse.csr_array((x.reshape(-1)[places], places % x.shape[1], starts), shape=x.shape)


def dense(x: Rows) -> np.ndarray:
    """Rows or products of rows as an ordinary array."""
    return x.toarray() if scipy.sparse.issparse(x) else x


def double(x: Rows) -> Rows:
    """In float64, without a copy where they are so already."""
    return x.astype(np.float64, copy=False)


def read_domains(
    estimator: BaseEstimator, X: Any, y: Any, labels: Any, *, labelled: bool, needed: bool, target_labels: Any = None
) -> Domains:
    """Tell source, target and labels apart, and check them; see the contract of the package.

    Args:
        labelled: whether the method looks at labels at all.
        needed: whether it refuses to go on without.
        target_labels: (num_target,) where they are known.

    Raises:
        DataError: see ``Adapter.fit``.
    """
    source = _plain(validate_data(estimator, X, **{**_ACCEPT, "ensure_min_samples": 1}))
    if source.shape[0] < 2:
        raise DataError(
            "The source has a single row (n_samples = 1), from which nothing can be learned. Give at least 2 rows; a few "
            "dozen make a method worth while."
        )
    source = _finite(estimator, source, "source")
    if y is None or (labels is None and _is_labels(y, source)):
        target, labels = source, y if labels is None else labels
    else:
        target = _target(estimator, y, source)
    if not labelled:
        return Domains(source, target)
    classes, codes = _codes(estimator, labels, source.shape[0], needed)
    return Domains(source, target, classes, codes, _target_codes(target_labels, target.shape[0], classes))


def checked_rows(estimator: BaseEstimator, X: Any) -> Rows:
    """Rows (num, dim) to transform or predict, as wide as those of ``fit``.

    Raises:
        DataError: NaN or infinite values.
    """
    rows = validate_data(estimator, X, reset=False, **{**_ACCEPT, "ensure_min_samples": 1})
    return _finite(estimator, _plain(rows), "input")


_ACCEPT: dict[str, Any] = {
    "accept_sparse": "csr", "dtype": (np.float64, np.float32), "ensure_all_finite": False, "ensure_min_samples": 2,
}  # fmt: skip


def _plain(x: Any) -> Rows:
    """Sparse rows as an array, whose operators mean what they mean for numpy's, with every entry stored once."""
    if not scipy.sparse.issparse(x):
        return x
    x = scipy.sparse.csr_array(x)
    if x.has_canonical_format:
        return x
    x = x.copy()
    x.sum_duplicates()
    return x


def _is_labels(y: Any, source: Rows) -> bool:
    """1-D, or a column of labels beside a wider table; a 1-D row as wide as the source is a mistake worth naming."""
    shape = _shape(y)
    if len(shape) == 1 and shape[0] == source.shape[1] != source.shape[0]:
        raise _bare_row(shape[0])
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1 != source.shape[1] and shape[0] == source.shape[0])


def _shape(y: Any) -> tuple[int, ...]:
    return y.shape if isinstance(getattr(y, "shape", None), tuple) else np.asarray(y).shape


def _bare_row(size: int) -> DataError:
    return DataError(
        f"The target is one-dimensional with {size} numbers, as many as the source has features: a single row? One row "
        "says nothing about a distribution. Give a table of at least 2 target rows."
    )


def _target(estimator: BaseEstimator, y: Any, source: Rows) -> Rows:
    if _shape(y) == (source.shape[1],):
        raise _bare_row(source.shape[1])
    target = _plain(check_array(y, input_name="target", **{**_ACCEPT, "ensure_min_samples": 1}))
    if target.shape[1] != source.shape[1]:
        raise DataError(
            f"The source has {source.shape[1]} features and the target {target.shape[1]}; the same features are needed "
            "in the same order. Is a label column still in one of them?"
        )
    if target.shape[0] < 2:
        raise DataError(
            "The target has a single row (n_samples = 1), which says nothing about a distribution. Give at least 2 "
            "rows; a few dozen make a method worth while."
        )
    _check_feature_names(estimator, y, reset=False)
    if scipy.sparse.issparse(source) != scipy.sparse.issparse(target):
        target = scipy.sparse.csr_array(target) if scipy.sparse.issparse(source) else target.toarray()
    return _finite(estimator, target.astype(source.dtype, copy=False), "target")


def _finite(estimator: BaseEstimator, x: Rows, which: str) -> Rows:
    """Refuse NaN and infinity by the name of the feature; a sum is the fast way to see that there are none."""
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum(dtype=np.float64)):
            return x
    if scipy.sparse.issparse(x):
        kept = ~np.isfinite(x.data)
        rows, bad_columns = x.tocoo().row[kept], x.indices[kept]
    else:
        rows, bad_columns = np.nonzero(~np.isfinite(x))
    if not len(rows):
        return x
    names = getattr(estimator, "feature_names_in_", np.arange(x.shape[1]))
    columns = np.unique(bad_columns)
    listed = ", ".join(str(names[c]) for c in columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
    raise DataError(
        f"The {which} contains NaN or infinity in {len(np.unique(rows))} of {x.shape[0]} rows, in {len(columns)} features: "
        f"{listed}. Fill them first, for example with sklearn.impute.SimpleImputer, in both domains alike."
    )


def _codes(
    estimator: BaseEstimator, labels: Any, num_source: int, needed: bool
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    name = type(estimator).__name__
    if labels is None:
        if needed:
            raise DataError(
                f"{name} requires y to be passed, but the target y is None: it learns from the labels of the source. "
                f"Call {name}().fit(source, target, labels=labels)."
            )
        return None, None
    if (given := np.asarray(labels)).dtype.kind == "f":
        assert_all_finite(given, input_name="y")
    check_classification_targets(labels)
    labels = column_or_1d(labels, warn=True)
    if len(labels) != num_source:
        raise DataError(f"There are {num_source} source rows and {len(labels)} labels; give one label a source row.")
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"The source has one class only, {classes[0]!r} (1 class): there is nothing to tell apart. Give source rows "
            "of at least two classes."
        )
    return classes, codes.reshape(-1)


def _target_codes(labels: Any, num_target: int, classes: np.ndarray | None) -> np.ndarray | None:
    if labels is None or classes is None:
        return None
    labels = column_or_1d(labels, warn=True)
    if len(labels) != num_target:
        raise DataError(f"There are {num_target} target rows and {len(labels)} labels for them; give one a row.")
    if unknown := sorted(set(labels.tolist()) - set(classes.tolist()), key=str):
        raise DataError(
            f"The target has labels that the source lacks: {', '.join(map(str, unknown[:SHOWN]))}. Leave those rows out, "
            "or check the spelling of the labels in both domains."
        )
    return np.searchsorted(classes, labels)
