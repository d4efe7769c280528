"""The cells of a comparison: one approach, one model, one number of labels, one seed. Each is kept as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from headstart import defaults
from headstart import models as zoo
from headstart.approaches import Approach
from headstart.config import dump_json, to_dict
from headstart.data import Dataset
from headstart.data.split import split as split_data
from headstart.data.split import with_validation
from headstart.errors import HeadstartError, RunError
from headstart.models.columns import REFERENCE, learned
from headstart.progress import hushed
from headstart.store import Store
from headstart.tasks.classification import Classification
from headstart.training.checkpoint import write_atomically
from headstart.training.run import Run, sow


@dataclass(frozen=True)
class Plan:
    """What one cell is to find out.

    Attributes:
        approach: as it was spelled, such as "finetune:epochs=4".
        model: reference of the model.
        shots: training samples a class; None for all.
    """

    approach: str
    model: str
    shots: int | None
    seed: int


@dataclass(frozen=True)
class Cell:
    """What it found.

    Attributes:
        right: for each test sample, in order of its name, 1 where the answer was right.
        names: a digest of the names of the test samples: equal digests can be paired.
        groups: for each test sample the number of its group; empty where the data have no groups.
        notes: what the user must know about how the samples were split and what the model cannot take of them.
        valid: accuracy on the validation samples, by which the best approach of a size is chosen.
        samples: training samples.
        seconds: that adapting took.
        problem: why there is no result; the others are then empty.
    """

    plan: Plan
    right: tuple[int, ...] = ()
    names: str = ""
    valid: float = 0.0
    samples: int = 0
    seconds: float = 0.0
    problem: str = ""
    groups: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def owners(self) -> np.ndarray | None:
        """The groups as the intervals take them; None where there are none."""
        return np.asarray(self.groups) if self.groups else None

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.right)) if self.right else float("nan")


def label_of(shots: int | None) -> str:
    return "all" if shots is None else str(shots)


def path_of(folder: Path, plan: Plan, identity: str) -> Path:
    """Of a cell's file: readable, and different for other data or settings, and where a cell holds something else."""
    holds = [entry.name for entry in fields(Cell)]
    digest = hashlib.blake2b(json.dumps([asdict(plan), identity, holds]).encode(), digest_size=6).hexdigest()
    words = [plan.approach, plan.model, label_of(plan.shots), str(plan.seed)]
    name = "-".join(re.sub(r"[^\w.]+", "_", word)[-24:] for word in words)
    return folder / f"{name}-{digest}.json"


def known(path: Path, plan: Plan) -> Cell | None:
    """The cell of an earlier start, if it was finished.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        facts = json.loads(path.read_text("utf-8"))
        return Cell(plan, tuple(facts["right"]), facts["names"], facts["valid"], facts["samples"], facts["seconds"],
                    groups=tuple(facts["groups"]), notes=tuple(facts["notes"]))  # fmt: skip
    except (ValueError, KeyError, TypeError) as problem:
        raise RunError(f"{path} is damaged ({problem!r}). Delete it, and the cell is computed again.") from problem


def find(plan: Plan, approach: Approach, dataset: Dataset, clusters: np.ndarray, store: Store, path: Path) -> Cell:
    """Adapt the model as the plan says and test it; a refusal of the approach or the model becomes the cell's problem."""
    try:
        split = with_validation(split_data(dataset, seed=plan.seed, shots=plan.shots, clusters=clusters))
        backbone = learned(split.train) if plan.model == REFERENCE else zoo.load(plan.model)
        defaults.suits(backbone, split.train)
        task = Classification.learn(split.train.labels or [])
        sow(plan.seed, 0)
        with hushed():
            notes = (*split.notes, *defaults.cut_notes(backbone, split))
            begun = time.perf_counter()
            made = approach.fit(backbone, task, split, Run(seed=plan.seed, store=store))
        seconds = time.perf_counter() - begun
        test = ordered(split.test)
        right = made.probabilities(test, store).argmax(1) == task.encode(test.labels or [])
        valid = made.probabilities(split.valid, store).argmax(1) == task.encode(split.valid.labels or [])
    except HeadstartError as problem:
        return Cell(plan, problem=str(problem))
    digest = hashlib.blake2b("\n".join(test.names).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    groups = () if test.groups is None else np.unique(np.asarray(test.groups), return_inverse=True)[1].tolist()
    cell = Cell(plan, tuple(int(r) for r in right), digest, float(valid.mean()), len(split.train), seconds,
                groups=tuple(groups), notes=notes)  # fmt: skip
    write_atomically(path, dump_json({**to_dict(plan), **to_dict(replace(cell, plan=plan))}).encode())
    return cell


def ordered(dataset: Dataset) -> Dataset:
    """By name, so that the same samples stand in the same order whatever the split did."""
    return dataset.subset(np.argsort(np.asarray(dataset.names, dtype=object), kind="stable"))


def table(cells: Sequence[Cell]) -> dict[tuple[str, str, int | None], list[Cell]]:
    """(model, approach, shots) -> the cells of all seeds, those without a result left out."""
    found: dict[tuple[str, str, int | None], list[Cell]] = {}
    for cell in cells:
        if not cell.problem:
            found.setdefault((cell.plan.model, cell.plan.approach, cell.plan.shots), []).append(cell)
    return found
