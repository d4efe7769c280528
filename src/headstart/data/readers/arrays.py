"""Samples in memory: a pair ``(samples, labels)``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from headstart.data.dataset import Dataset, Item, Sound
from headstart.data.labels import joined
from headstart.data.modalities import nouns
from headstart.data.readers import ReadOptions, first_few, named
from headstart.errors import DataError


class Numbers(Mapping[str, "float | str | None"]):
    """One row of an array as a mapping from x0, x1, ... to numbers, without a copy; NaN is missing."""

    def __init__(self, row: np.ndarray) -> None:
        self._row = row

    def __getitem__(self, name: str) -> float | None:
        try:
            value = float(self._row[int(name.removeprefix("x"))])
        except (ValueError, IndexError):
            raise KeyError(name) from None
        return None if np.isnan(value) else value

    def __iter__(self) -> Iterator[str]:
        return (f"x{i}" for i in range(len(self._row)))

    def __len__(self) -> int:
        return len(self._row)


def accepts(source: object) -> bool:
    return isinstance(source, tuple) and len(source) == 2


def read(source: tuple[Any, Any], options: ReadOptions) -> Dataset:
    """n samples and n labels (or None).

    Pictures are an array of shape (n, height, width) or (n, height, width, 1, 3 or 4), of which views are taken;
    texts a list of ``str``; recordings a list of ``Sound``; rows of a table an array of shape (n, columns).

    Raises:
        DataError: none of these, pictures that are neither uint8 nor floats in [0, 1], or n labels do not fit.
    """
    samples, labels = source
    if options.group is not None:
        raise DataError("Arrays carry no groups; write a table with a group column instead")
    modality, items, origin = _samples(samples)
    if options.modality not in (None, modality):
        raise DataError(f"The {origin} are of modality {modality!r}; leave out {named('modality')}")
    what = nouns(modality)
    return Dataset(
        items=items,
        names=[f"{what[:-1]} {i}" for i in range(len(items))],
        labels=None if labels is None or options.label_column is None else _labels(labels, len(items), what),
        modality=modality,
        origin=origin,
    )


def _samples(samples: Any) -> tuple[str, list[Item], str]:
    """Modality, items and what messages call them."""
    if isinstance(samples, np.ndarray) and samples.dtype.kind not in "OU":
        if samples.ndim == 2:
            return "table", _rows(samples), f"arrays of shape {samples.shape}"
        _check_pictures(samples)
        return "image", list(samples), f"arrays of shape {samples.shape}"
    if not isinstance(samples, (list, tuple, np.ndarray)):
        samples = [samples]
    values = samples.tolist() if isinstance(samples, np.ndarray) else list(samples)
    if values and all(isinstance(value, str) for value in values):
        return "text", values, f"{len(values)} texts in memory"
    if values and all(isinstance(value, Sound) for value in values):
        return "audio", values, f"{len(values)} recordings in memory"
    kinds = sorted({type(value).__name__ for value in values}) or ["nothing"]
    raise DataError(
        f"The samples are of type {first_few(kinds)}; expected a numpy array of pictures or rows (numpy.asarray(...)), texts as a list of str, recordings as a list of hs.Sound(samples, rate)"
    )


def _rows(array: np.ndarray) -> list[Item]:
    if array.dtype.kind not in "fiub" or 0 in array.shape:
        raise DataError(
            f"The rows are {array.dtype} of shape {array.shape}; expected numbers, at least one row and one column"
        )
    if np.isinf(array).any():
        raise DataError("The rows hold infinite values; expected finite numbers, and NaN where one is missing")
    return [Numbers(row) for row in array]


def _check_pictures(pictures: np.ndarray) -> None:
    shape = pictures.shape
    if not (pictures.ndim == 3 or (pictures.ndim == 4 and shape[3] in (1, 3, 4))):
        turn = (
            "; channels stand last: numpy.moveaxis(pictures, 1, -1)" if len(shape) == 4 and shape[1] in (1, 3) else ""
        )
        raise DataError(
            f"The pictures have the shape {shape}; expected (n, height, width) or (n, height, width, 1, 3 or 4){turn}"
        )
    if 0 in shape:
        raise DataError(f"The pictures have the shape {shape}, so there are none")
    if pictures.dtype == np.uint8:
        return
    if pictures.dtype.kind != "f":
        raise DataError(f"The pictures are of type {pictures.dtype}; expected uint8 or floats in [0, 1]")
    low, high = pictures.min(), pictures.max()
    if not (low >= 0 and high <= 1):  # also where it is NaN
        raise DataError(
            f"The pictures hold floats in [{low:.4g}, {high:.4g}]; expected [0, 1]: divide by 255, or undo the mean "
            "and standard deviation, for headstart prepares pictures as each model needs them"
        )


def _labels(labels: Any, num_samples: int, what: str) -> list[str]:
    if isinstance(labels, Mapping) or (isinstance(labels, np.ndarray) and labels.ndim == 2):
        return _columns(labels, num_samples, what)
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(values) != num_samples:
        raise DataError(f"There are {num_samples} {what} and {len(values)} labels; expected as many of both")
    odd = [i for i, value in enumerate(values) if value is None or value != value or isinstance(value, (list, tuple))]
    if odd:
        raise DataError(f"The labels at {first_few(odd)} are missing or no single values; expected one class a sample")
    return [_text(value) for value in values]


def _columns(labels: Any, num_samples: int, what: str) -> list[str]:
    """Labels by name ({"fine": [...], "coarse": [...]}), or an array (n, k); None and NaN are missing."""
    by_name = dict(labels) if isinstance(labels, Mapping) else {f"y{i}": labels[:, i] for i in range(labels.shape[1])}
    columns = {str(name): value.tolist() if isinstance(value, np.ndarray) else list(value)
               for name, value in by_name.items()}  # fmt: skip
    for name, values in columns.items():
        if len(values) != num_samples:
            raise DataError(f"There are {num_samples} {what} and {len(values)} labels {name!r}; expected as many of both")
    texts = {name: [None if value is None or value != value else _text(value) for value in values]
             for name, values in columns.items()}  # fmt: skip
    rows = [{name: values[i] for name, values in texts.items()} for i in range(num_samples)]
    if bare := [i for i, row in enumerate(rows) if all(value is None for value in row.values())]:
        raise DataError(f"The samples at {first_few(bare)} have no label at all; leave them out")
    return [joined(row) for row in rows]


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
