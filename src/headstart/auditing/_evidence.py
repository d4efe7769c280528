"""What the checks read, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headstart.auditing._spelling import meant
from headstart.data.dataset import Dataset
from headstart.data.duplicates import Scan, clusters
from headstart.store import Store
from headstart.tasks._kinds import AUTO, stated

if TYPE_CHECKING:
    from headstart.models.backbone import Backbone

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Suspect:
    """One sample of a finding.

    Attributes:
        index: its place in the data set.
        why: what is odd about it, in words.
        beside: the place of the sample it is compared with, such as the other copy.
        change: what ``--clean`` does about it: "" is nothing.
        value: the label that "relabel" gives; for "edit", the new value of ``column``; else a hint for a person.
        column: of a table.
        score: how sure the finding is, 1 the surest; suspects are listed by it.
    """

    index: int
    why: str = ""
    beside: int | None = None
    change: Literal["", "remove", "relabel", "edit"] = ""
    value: str | None = None
    column: str = ""
    score: float = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        severity: "error" makes results wrong, "warning" makes them worse or doubtful, "info" is good to know.
        check: the name of the check, which is also what ``--waive`` takes.
        message: one sentence with the numbers.
        samples: whom it concerns, the surest first; empty where it concerns the data set as a whole.
        evidence: the measured facts behind it.
        fix: what to do.
    """

    severity: Severity
    check: str
    message: str
    samples: tuple[Suspect, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    fix: str = ""


@dataclass
class Evidence:
    """What the checks read; what is costly is computed when the first check asks for it.

    Attributes:
        dataset: n samples.
        scan: of all samples: what cannot be read, fingerprints.
        store: of what was computed before, or None.
        backbone: the model whose features and expectations are used, or None.
        seed: of the folds of cross-validation.
    """

    dataset: Dataset
    scan: Scan
    store: Store | None = None
    backbone: Backbone | None = None
    seed: int = 0

    @cached_property
    def clusters(self) -> np.ndarray:
        """int64 (n,): copies and near-copies share a number."""
        return clusters(self.scan)

    @cached_property
    def readable(self) -> np.ndarray:
        """int64 (m,): the places of the samples that can be decoded."""
        return np.array([i for i in range(len(self.dataset)) if i not in self.scan.unreadable], dtype=np.int64)

    @cached_property
    def labels(self) -> list[str] | None:
        """n labels as they are meant: spellings of one class are one, so that no check takes them for a conflict.

        None where there are none, and where they are no names of classes; ``no_classes`` says which.
        """
        return None if self.no_classes else meant(self.dataset.labels or ())

    @cached_property
    def no_classes(self) -> str:
        """Why there is nothing to say of classes: no labels, or labels of another kind of task; "" where there is."""
        if self.dataset.labels is None:
            return "the data has no labels"
        kind = stated(AUTO, self.dataset.labels)
        return "" if kind.task == "classification" else f"{kind.why}; there are no classes to check"

    @cached_property
    def measures(self) -> dict[str, np.ndarray]:
        """Measured quantities by name, float64 (n,), NaN where a sample cannot be read."""
        from headstart.auditing._measures import measures

        return measures(self.dataset, self.scan, self.store)

    @cached_property
    def vectors(self) -> np.ndarray | None:
        """Features of the readable samples, float32 (m, dim) in the order of ``readable``; None without a model."""
        if self.backbone is None or not len(self.readable):
            return None
        from headstart.features.extract import extract

        return extract(self.backbone, self.dataset.subset(self.readable), self.store).vectors

    def side(self, index: int) -> str:
        return self.dataset.declared[index] if self.dataset.declared else ""
