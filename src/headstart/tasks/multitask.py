"""Multi-task: several tasks on one model, a head each. Every label of a sample may be missing.

Caruana 1997, Multitask Learning, Machine Learning 28.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from headstart import plugins, tasks
from headstart.data import labels as texts
from headstart.data.dataset import Dataset
from headstart.errors import ConfigError, DataError
from headstart.tasks import Answer, Metric, Task
from headstart.tasks._nesting import Nesting, nestings
from headstart.tasks._several import SeveralHead

CLASSES = ("classification", "ordinal")


@dataclass(frozen=True)
class MultiTask(Task):
    """Names and tasks, in the order of their outputs, and whose classes lie within those of another."""

    names: tuple[str, ...]
    tasks: tuple[Task, ...]
    nested: tuple[Nesting, ...] = ()
    kind = "multitask"
    needs = frozenset({"vector"})
    metric = Metric("average", "average of the tasks", "points on average of the tasks")
    linear = "a linear model a task"
    tunes = True

    @classmethod
    def learn(cls, labels: Sequence[str], given: str = "") -> MultiTask:
        """
        Args:
            given: ``fine=classification,size=regression``.

        Raises:
            ConfigError: no kinds are given, or two tasks have one name.
            DataError: a task has no label among these samples, or a single class.
        """
        stated = [entry.partition("=")[::2] for entry in given.split(",") if entry]
        names = [name for name, _ in stated]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"$.task: multitask needs NAME=KIND for each task, every name once; got {given!r}")
        columns = texts.columns(labels)
        found = []
        for name, kind in stated:
            present = [value for value in columns.get(name, ()) if value is not None]
            if not present:
                raise DataError(f"The task {name!r} has no label in the training part, so it cannot be learned. Leave it out, "
                                "or give it training labels")  # fmt: skip
            try:
                task = tasks.learn(kind, present)
            except DataError as problem:
                raise DataError(f"The task {name!r}: {problem}") from None
            if kind == "classification" and len(task.outputs) < 2:
                raise DataError(
                    f"The task {name!r} has the single class {task.outputs[0]!r} in training; expected at least two"
                )
            found.append(task)
        outputs = {name: task.outputs for name, task in zip(names, found, strict=True) if task.kind == "classification"}
        return cls(tuple(names), tuple(found), nestings(columns, outputs))

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"{name}: {output}" for name, task in self for output in task.outputs)

    def __iter__(self) -> Iterator[tuple[str, Task]]:
        return zip(self.names, self.tasks, strict=True)

    def columns(self, labels: Sequence[str]) -> dict[str, list[str | None]]:
        """The labels of each task.

        Raises:
            DataError: a task has none here.
        """
        found = texts.columns(labels)
        if lacking := [name for name in self.names if name not in found]:
            raise DataError(
                f"The labels have no column {lacking[0]!r}; name all of them: --labels {','.join(self.names)}"
            )
        return {name: found[name] for name in self.names}

    def known(self, labels: Sequence[str]) -> dict[str, tuple[np.ndarray, list[str]]]:
        """For each task the places of the samples that have its label, and these labels."""
        return {
            name: (np.array([i for i, value in enumerate(values) if value is not None], dtype=int),
                   [value for value in values if value is not None])
            for name, values in self.columns(labels).items()
        }  # fmt: skip

    def only(self, names: Sequence[str]) -> Task:
        """The tasks of these names; of one name, that task itself."""
        some = {name: task for name, task in self if name in names}
        if len(some) == 1:
            return next(iter(some.values()))
        nested = tuple(one for one in self.nested if one.inner in some and one.outer in some)
        return MultiTask(tuple(some), tuple(some.values()), nested)

    def samples(self, dataset: Dataset, names: Sequence[str]) -> tuple[Dataset, np.ndarray]:
        """The samples that have a label of one of these tasks, and their places; labelled as ``only`` reads them."""
        known = self.known(dataset.labels or [])
        if len(names) == 1:
            rows, present = known[names[0]]
            return replace(dataset.subset(rows), labels=present), rows
        rows = np.unique(np.concatenate([known[name][0] for name in names]))
        return dataset.subset(rows), rows

    def parts(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of each task."""
        ends = np.cumsum([len(task.outputs) for task in self.tasks])
        return dict(zip(self.names, np.split(probabilities, ends[:-1], axis=1), strict=True))

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """(n, columns) float64; NaN where a label is missing."""
        blocks = []
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            try:
                values = np.asarray(task.encode(present), dtype=np.float64)
            except DataError as problem:
                raise DataError(f"The task {name!r}: {problem}") from None
            block = np.full((len(labels), self._width(task)), np.nan)
            block[rows] = values.reshape(len(present), self._width(task))
            blocks.append(block)
        return np.concatenate(blocks, 1)

    @staticmethod
    def _width(task: Task) -> int:
        return 1 if task.kind in CLASSES else len(task.outputs)

    def head(self, dim: int) -> SeveralHead:
        return self.joined({name: task.head(dim) for name, task in self})

    def joined(self, heads: dict[str, Any]) -> SeveralHead:
        """One head of those of the tasks."""
        return SeveralHead(
            heads, [self._width(task) for task in self.tasks], [task.kind in CLASSES for task in self.tasks]
        )

    def probabilities(self, output: Tensor) -> np.ndarray:
        widths = [len(task.outputs) for task in self.tasks]
        parts = output.split(widths, 1)
        return np.concatenate([task.probabilities(part) for task, part in zip(self.tasks, parts, strict=True)], 1)

    def answer(self, row: np.ndarray) -> Answer:
        found = {name: task.answer(part[0]) for (name, task), part in
                 zip(self, self.parts(row[None]).values(), strict=True)}  # fmt: skip
        shares = {
            f"{name}: {label}": share for name, one in found.items() for label, share in one.probabilities.items()
        }
        label = ", ".join(f"{name} {one.label}" for name, one in found.items())
        return Answer(label, {name: one.value for name, one in found.items()}, None, shares)

    def score(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        """``average`` of what each task is judged by, the scores of each, and where two of them contradict each other."""
        parts, found = self.parts(probabilities), {}
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            if len(rows):
                found[name] = task.score(parts[name][rows], present)
        worths = [found[name][task.metric.name] for name, task in self if name in found]
        known = [worth for worth in worths if worth is not None]
        said = self.contradictions(parts) if len(labels) else []
        return {"average": float(np.mean(known)) if known else None, "tasks": found,
                **({"contradictions": said} if said else {})}  # fmt: skip

    def contradictions(self, parts: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        """Of each pair of nested tasks, the share of samples whose answers cannot both be right.

        Args:
            parts: (n, k) probabilities of each task.
        """
        return [
            {"inner": one.inner, "outer": one.outer,
             "share": float(one.contradicted(parts[one.inner], parts[one.outer]).mean())}
            for one in self.nested
        ]  # fmt: skip

    def judged(self, output: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        parts, worths, loss = self.parts(output), {}, 0.0
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            if len(rows):
                one = task.judged(parts[name][rows], present)
                worths[name], loss = one[task.metric.name], loss + one["loss"]
        return {"average": float(np.mean(list(worths.values()))), **worths, "loss": loss}

    def merits(self, probabilities: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """(n,) the mean over the tasks that a sample has labels of; weighted so that every task counts alike."""
        found = self.merits_of_each(probabilities, labels)
        table = np.stack(list(found.values()), 1)
        known = np.isfinite(table)
        weight = known * (len(table) / np.maximum(1, known.sum(0))) / max(1, known.any(0).sum())
        total = np.where(known, table, 0) * weight
        return np.where(known.any(1), total.sum(1), np.nan)

    def merits_of_each(self, probabilities: np.ndarray, labels: Sequence[str]) -> dict[str, np.ndarray]:
        """(n,) merits of each task, NaN where a sample lacks its label."""
        parts, found = self.parts(probabilities), {}
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            merits = np.full(len(labels), np.nan)
            if len(rows):
                merits[rows] = task.merits(parts[name][rows], present)
            found[name] = merits
        return found

    def strata(self, labels: Sequence[str]) -> list[str]:
        """Of each sample the rarest stratum of its tasks, so that rare classes are spread first."""
        own: list[list[str]] = [[] for _ in labels]
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            for row, stratum in zip(rows, task.strata(present) if present else (), strict=True):
                own[row].append(f"{name} {stratum}")
        counts = Counter(stratum for some in own for stratum in some)
        return [min(some, key=lambda stratum: (counts[stratum], stratum)) for some in own]

    def counts(self, labels: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for (name, task), (_, present) in zip(self, self.known(labels).values(), strict=True):
            if task.kind != "regression":
                found |= {f"{name}: {label}": count for label, count in task.counts(present).items()}
            else:
                found[name] = len(present)
        return found

    def tuned(self, probabilities: np.ndarray, labels: Sequence[str]) -> MultiTask:
        parts, found = self.parts(probabilities), []
        for (name, task), (rows, present) in zip(self, self.known(labels).values(), strict=True):
            found.append(task.tuned(parts[name][rows], present) if present else task)
        return replace(self, tasks=tuple(found))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "multitask", "classes": list(self.outputs), "tasks": {name: task.to_dict() for name, task in self},
                "nested": [asdict(one) for one in self.nested]}  # fmt: skip


def restore(facts: dict[str, Any]) -> MultiTask:
    """The task that ``to_dict`` described."""
    found = {str(name): plugins.load("tasks", str(one["kind"])).restore(one) for name, one in facts["tasks"].items()}
    nested = [Nesting(one["inner"], one["outer"], tuple(one["parents"])) for one in facts.get("nested", ())]
    return MultiTask(tuple(found), tuple(found.values()), tuple(nested))
