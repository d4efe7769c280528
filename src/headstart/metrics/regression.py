"""Metrics of predicted numbers. Missing ones (NaN) of several outputs do not count."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.metrics.resampled import intervals


def scores(predicted: np.ndarray, actual: np.ndarray, columns: tuple[str, ...]) -> dict[str, Any]:
    """R2, mean absolute error and root mean square error, each with its 95 % interval.

    With several outputs R2 is the mean of theirs, and the errors, which are in units of their own, stand in
    ``per_output`` alone.

    Args:
        predicted, actual: (n, k), in the units of the labels.
    """
    found: dict[str, Any] = {"r2": _or_none(r2(predicted, actual))}
    found |= _bracketed(intervals(lambda rows: {"r2": r2(predicted[rows], actual[rows])}, len(actual)))
    per_output = {name: _single(predicted[:, i], actual[:, i]) for i, name in enumerate(columns)}
    if len(columns) == 1:
        return per_output[columns[0]]
    return {**found, "per_output": per_output}


def r2(predicted: np.ndarray, actual: np.ndarray) -> float:
    """The mean over outputs of 1 - squared error / variance, less those without variance; NaN where none is left."""
    found = [_basic(predicted[:, i], actual[:, i])["r2"] for i in range(actual.shape[1])]
    known = [value for value in found if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def merits(predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(n,) 1 - squared error / variance of each sample, a mean over its outputs: without gaps their mean is R2.

    An output without variance among these samples says nothing and is left out; a sample without any label is NaN.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.nanmean(np.square(actual - np.nanmean(actual, 0)), 0)
        each = 1 - np.square(predicted - actual) / np.where(spread > 0, spread, np.nan)
    present = np.isfinite(each)
    total = np.where(present, each, 0).sum(1)
    return np.divide(total, present.sum(1), out=np.full(len(actual), np.nan), where=present.any(1))


def _single(predicted: np.ndarray, actual: np.ndarray) -> dict[str, Any]:
    present = np.isfinite(actual)
    predicted, actual = predicted[present], actual[present]
    found = intervals(lambda rows: _basic(predicted[rows], actual[rows]), len(actual))
    basic = {name: _or_none(value) for name, value in _basic(predicted, actual).items()}
    return {**basic, **_bracketed(found), "support": len(actual)}


def _basic(predicted: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    present = np.isfinite(actual)
    error = predicted[present] - actual[present]
    if not len(error):
        return {"r2": float("nan"), "mae": float("nan"), "rmse": float("nan")}
    square, spread = float(np.square(error).mean()), float(actual[present].var())
    return {"r2": 1 - square / spread if spread > 0 else float("nan"), "mae": float(np.abs(error).mean()),
            "rmse": square**0.5}  # fmt: skip


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None  # JSON has no NaN


def _bracketed(found: dict[str, list[float]]) -> dict[str, Any]:
    return {f"{name}_interval": pair for name, pair in found.items()}
