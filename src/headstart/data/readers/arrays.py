"""Pictures in memory: a pair ``(pictures, labels)``."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.data.dataset import Dataset
from headstart.data.readers import ReadOptions, first_few
from headstart.errors import DataError


def accepts(source: object) -> bool:
    return isinstance(source, tuple) and len(source) == 2


def read(source: tuple[Any, Any], options: ReadOptions) -> Dataset:
    """Views of an array of n pictures, of shape (n, height, width) or (n, height, width, 1, 3 or 4).

    Raises:
        DataError: no such array, values that are neither uint8 nor floats in [0, 1], or n labels do not fit.
    """
    pictures, labels = source
    if not isinstance(pictures, np.ndarray):
        raise DataError(
            f"The pictures are of type {type(pictures).__name__}; expected a numpy array: numpy.asarray(...)"
        )
    _check(pictures)
    if options.group is not None:
        raise DataError("Arrays carry no groups; write a table with a group column instead")
    return Dataset(
        items=list(pictures),
        names=[f"picture {i}" for i in range(len(pictures))],
        labels=None if labels is None or options.label_column is None else _labels(labels, len(pictures)),
        modality="image",
        origin=f"arrays of shape {pictures.shape}",
    )


def _check(pictures: np.ndarray) -> None:
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
            f"The pictures hold floats in [{low:.4g}, {high:.4g}]; expected [0, 1]: divide by 255, or undo "
            "the mean "
            "and standard deviation, for headstart prepares pictures as each model needs them"
        )


def _labels(labels: Any, num_pictures: int) -> list[str]:
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(values) != num_pictures:
        raise DataError(f"There are {num_pictures} pictures and {len(values)} labels; expected as many of both")
    odd = [i for i, value in enumerate(values) if value is None or value != value or isinstance(value, (list, tuple))]
    if odd:
        raise DataError(f"The labels at {first_few(odd)} are missing or no single values; expected one class a picture")
    return [str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in values]
