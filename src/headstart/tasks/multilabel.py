"""Multi-label: any number of labels for each sample, from one column ("cat;dog") or from a column of 0 and 1 for each.

One logistic output a label; from which probability on a label is given is chosen on the validation samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.data import labels as texts
from headstart.errors import ConfigError, DataError
from headstart.metrics import multilabel as metrics
from headstart.tasks import Answer, Metric, Task
from headstart.tasks._linear import LabelsHead

COLUMNS = "columns"  # the delimiter where every label has a column
YES, NO = frozenset(("1", "1.0", "true", "yes")), frozenset(("0", "0.0", "false", "no"))
MISSING = frozenset(("", "?", "nan", "na", "null"))


@dataclass(frozen=True)
class Multilabel(Task):
    """The labels; what separates them in a cell, or ``COLUMNS``; and from which probability on each is given."""

    labels: tuple[str, ...]
    delimiter: str
    thresholds: tuple[float, ...]
    kind = "multilabel"
    needs = frozenset({"vector"})
    metric = Metric("f1_samples", "F1 of a sample's labels", "points of F1")
    linear = "one logistic regression a label"
    tunes = True

    @classmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> Multilabel:
        """
        Args:
            given: what separates the labels in a cell; found out (``;`` or ``|``, else ``,``) if empty.

        Raises:
            DataError: there are no labels, or a column of 0 and 1 holds something else.
            ConfigError: a delimiter was given for labels that have a column each.
        """
        columns = texts.columns(labels)
        if columns:
            if given:
                raise ConfigError(f"$.task: the labels stand in a column each, so nothing separates them; got {given!r}")
            task = cls(tuple(columns), COLUMNS, (0.5,) * len(columns))
            task.encode(labels)
            return task
        delimiter = given or next((mark for mark in ";|," if any(mark in label for label in labels)), ";")
        names = tuple(sorted({name for label in labels for name in split(label, delimiter)}))
        if not names:
            raise DataError("No training sample has any label, so there is nothing to learn from")
        return cls(names, delimiter, (0.5,) * len(names))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.labels

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """(n, k) float32 of 0 and 1, NaN where nobody knows.

        Raises:
            DataError: a label is not among those of training, or a column is missing or holds something else.
        """
        if self.delimiter == COLUMNS:
            return self._from_columns(labels)
        place = {name: i for i, name in enumerate(self.labels)}
        found = np.zeros((len(labels), len(place)), np.float32)
        unknown = set()
        for row, label in enumerate(labels):
            for name in split(label, self.delimiter):
                if name in place:
                    found[row, place[name]] = 1
                else:
                    unknown.add(name)
        if unknown:
            raise DataError(f"The labels {', '.join(map(repr, sorted(unknown)[:5]))} are none of the {len(place)} that the "
                            f"model was trained on ({', '.join(self.labels[:8])}{', ...' if len(place) > 8 else ''}). "
                            "Remove or rename them.")  # fmt: skip
        return found

    def _from_columns(self, labels: Sequence[str]) -> np.ndarray:
        columns = texts.columns(labels)
        if lacking := [name for name in self.labels if name not in columns]:
            raise DataError(f"The labels have no column {lacking[0]!r}; name all of them: --labels {','.join(self.labels)}")
        found = np.full((len(labels), len(self.labels)), np.nan, np.float32)
        for place, name in enumerate(self.labels):
            for row, text in enumerate(columns[name]):
                value = "" if text is None else text.strip().lower()
                if value in YES or value in NO:
                    found[row, place] = value in YES
                elif value not in MISSING:
                    raise DataError(f"The column {name!r} of labels holds {text!r}; expected 0 and 1 (yes and no, true and "
                                    "false), or nothing where it is not known")  # fmt: skip
        return found

    def head(self, dim: int) -> LabelsHead:
        return LabelsHead(dim, len(self.labels))

    def probabilities(self, output: Tensor) -> np.ndarray:
        return output.detach().double().sigmoid().cpu().numpy()

    def answer(self, row: np.ndarray) -> Answer:
        given = [name for name, share, cut in zip(self.labels, row, self.thresholds, strict=True) if share >= cut]
        mark = "; " if self.delimiter == COLUMNS else self.delimiter
        label = mark.join(given) or texts.NONE[1]
        return Answer(label, given, None, dict(zip(self.labels, row.tolist(), strict=True)))

    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return metrics.scores(probabilities, self.encode(labels), np.array(self.thresholds), self.labels)

    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        """At the thresholds that would be chosen on these samples, so that an epoch is judged as it would be used."""
        actual, probabilities = self.encode(labels), self.probabilities(torch.from_numpy(output))
        known = np.isfinite(actual)
        sure = np.where(actual == 1, probabilities, 1 - probabilities)
        loss = -float(np.log(np.maximum(sure[known], 1e-12)).mean())
        predicted = probabilities >= metrics.thresholds(probabilities, actual)
        micro, macro = metrics.f1s(predicted, actual)
        return {"f1_samples": float(np.nanmean(metrics.merits(predicted, actual))), "f1_micro": micro,
                "f1_macro": macro if np.isfinite(macro) else 0.0, "loss": loss}  # fmt: skip

    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return metrics.merits(probabilities >= np.array(self.thresholds), self.encode(labels))

    def strata(self, labels: Sequence[str]) -> list[str]:
        """The rarest label of each sample: what is rare is spread first (after Sechidis et al. 2011, ECML)."""
        actual = self.encode(labels) == 1
        counts = np.where(actual, actual.sum(0), len(labels) + 1)
        return [self.labels[int(row.argmin())] if has else texts.NONE[1]
                for row, has in zip(counts, actual.any(1), strict=True)]  # fmt: skip

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        return dict(zip(self.labels, (self.encode(labels) == 1).sum(0).tolist(), strict=True))

    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> Multilabel:
        return replace(self, thresholds=tuple(metrics.thresholds(probabilities, self.encode(labels)).tolist()))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "multilabel", "classes": list(self.labels), "delimiter": self.delimiter,
                "thresholds": list(self.thresholds)}  # fmt: skip


def split(label: str, delimiter: str) -> list[str]:
    """The labels in one cell; ``-`` and ``[]`` say that there are none."""
    if label.strip() in texts.NONE:
        return []
    return [name for part in label.split(delimiter) if (name := part.strip())]


def restore(facts: dict[str, Any]) -> Multilabel:
    """The task that ``to_dict`` described."""
    names = tuple(map(str, facts["classes"]))
    return Multilabel(names, str(facts["delimiter"]), tuple(map(float, facts["thresholds"])))
