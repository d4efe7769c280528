"""A table's columns as features. Nothing here is pretrained: what is learned (typical values) is learned from the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import DataError, ModelError
from headstart.models.backbone import Backbone, Features, FeatureSpec, Inputs
from headstart.models.card import ModelCard

if TYPE_CHECKING:
    from headstart.data.dataset import Dataset, Row

REFERENCE = "tables:columns"
MOST = 64  # categories of one column that get a feature of their own; the rest share one


class Columns(Backbone):
    """Numbers standardised, categories one-hot, and a mark where a value is missing.

    ``card.arguments["columns"]`` holds what was learned from the training rows, one entry a column: ``name``, and
    ``mean`` and ``std`` of a column of numbers, or ``categories`` of another.
    """

    def __init__(self, card: ModelCard, reference: str) -> None:
        super().__init__()
        self.card = card
        self.reference = reference
        self.columns: list[dict[str, Any]] = list(card.arguments.get("columns", ()))
        if not self.columns:
            raise ModelError(f"{reference} names no columns; they are learned from data: headstart fit TABLE.csv")
        self.network = nn.Identity()
        self.precision = torch.float32
        self.stages = []
        # numbers: value and mark; categories: one each, one for unseen or rare ones, and the mark
        self.spec = FeatureSpec(sum(2 + len(c["categories"]) if "categories" in c else 2 for c in self.columns))
        self.provides = frozenset({"vector"})
        self.register_buffer("place", torch.zeros(1), persistent=False)  # where the computation stands

    @property
    def names(self) -> list[str]:
        """What each of the features stands for."""
        found: list[str] = []
        for column in self.columns:
            name, kinds = column["name"], column.get("categories")
            found += [name] if kinds is None else [*(f"{name} = {kind}" for kind in kinds), f"{name}: another category"]
            found.append(f"{name} is missing")
        return found

    def shape(self, value: Row, *, whole: bool = False) -> np.ndarray:
        """A row -> (dim,) float32; a missing number is the mean, a category never seen has its own feature."""
        parts: list[float] = []
        for column in self.columns:
            entry = value.get(column["name"])
            missing = entry is None or (isinstance(entry, float) and math.isnan(entry))
            if "categories" in column:
                known = [float(str(entry) == category) for category in column["categories"]]
                parts += [*([0.0] * len(known) if missing else known), float(not missing and not any(known))]
            else:
                parts.append(0.0 if missing else self._standardised(entry, column))
            parts.append(float(missing))
        return np.array(parts, np.float32)

    def _standardised(self, entry: Any, column: dict[str, Any]) -> float:
        try:
            # far beyond what was seen, a linear model says nothing sensible
            return max(-10.0, min(10.0, (float(entry) - column["mean"]) / column["std"]))
        except ValueError as problem:
            raise ModelError(
                f"The column {column['name']!r} held numbers in training and holds {entry!r} here. Correct such values, or empty "
                "them: a value that is missing counts as that."
            ) from problem

    def batch(self, shaped: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(shaped)).to(self.place.device)  # type: ignore[arg-type]

    def forward(self, batch: Inputs) -> Features:
        assert isinstance(batch, Tensor)
        return Features(vector=batch)


def learned(dataset: Dataset) -> Columns:
    """Learn means, deviations and categories from the (training) rows of a data set.

    Raises:
        DataError: no column differs between rows.
    """
    rows: list[Any] = list(dataset.items)
    columns: list[dict[str, Any]] = []
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows if row.get(name) is not None]
        if not values:
            continue
        if all(isinstance(value, (int, float)) for value in values):
            numbers = np.array(values, float)
            numbers = numbers[np.isfinite(numbers)]
            if len(numbers) and numbers.std() > 0:
                columns.append({"name": name, "mean": float(numbers.mean()), "std": float(numbers.std())})
            continue
        kinds, counts = np.unique([str(value) for value in values], return_counts=True)
        kept = sorted(str(kind) for kind in kinds[np.argsort(-counts, kind="stable")][:MOST])
        columns.append({"name": name, "categories": kept})
    if not columns:
        raise DataError(
            f"No column of the table {dataset.origin} says anything about its rows: all are empty or hold one number throughout. "
            "Give at least one column that differs between rows."
        )
    card = ModelCard("tables/columns", "table", {"columns": columns})
    return Columns(card, REFERENCE)
