"""Rows of tables: numbers, categories and missing values by the name of their column."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np

from headstart.data.dataset import Item, Row, Value, content
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError

EXCERPT = 200  # characters of a preview
WIDTH = 64  # of a fingerprint


class Table(Modality):
    """Rows; there is no pretrained model for them, for every table has columns of its own."""

    noun = ("row", "rows")
    suffixes = frozenset()
    fingerprint_space = "fingerprint-table-1"
    # Random directions in 64 dimensions: the inner product of two has a standard deviation of 1/8.
    fingerprint_threshold = 0.999

    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> Row:
        """The row: every number as a float, and NaN as None.

        Raises:
            UnreadableError: it is no mapping, or it holds something that is no number, str or None.
        """
        name = name or "row"
        if not isinstance(item, Mapping):
            kind = type(item).__name__
            raise UnreadableError(f"{name} cannot be read as a row: it is a {kind}; expected a mapping", [name])
        return {str(column): _value(value, str(column), name) for column, value in item.items()}

    def preview(self, value: Value, side: int = 96) -> str:
        """``age=63, sex=m, chol=?``, at most 200 characters."""
        shown = ", ".join(f"{column}={_short(entry)}" for column, entry in self.decode(value).items())
        return shown if len(shown) <= EXCERPT else shown[: EXCERPT - 1] + "…"

    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """64 float32: a random direction drawn from the content, so that only equal rows match.

        A row without a single value is all 0.
        """
        row = self.decode(item, None, name)
        if all(value is None for value in row.values()):
            return np.zeros(WIDTH, dtype=np.float32)
        seed = int.from_bytes(hashlib.blake2b(content(row), digest_size=16).digest(), "little")
        vector = np.random.default_rng(seed).standard_normal(WIDTH)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def _value(value: object, column: str, name: str) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
        number = float(value)
        return None if math.isnan(number) else number
    kind = type(value).__name__
    raise UnreadableError(
        f"{name} cannot be read as a row: its {column!r} is a {kind}; expected a number, a str or None", [name]
    )


def _short(value: float | str | None) -> str:
    return "?" if value is None else value if isinstance(value, str) else f"{value:.6g}"
