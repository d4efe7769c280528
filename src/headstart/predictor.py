"""Predictor: backbone + head + task. It predicts, and travels as a folder of safetensors and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

from headstart.data import read
from headstart.data.dataset import Dataset, Item
from headstart.errors import DataError, ModelError, RunError
from headstart.features.extract import extract
from headstart.models.backbone import Backbone, Features
from headstart.models.card import read_card, write_card
from headstart.models.zoo import assemble, read_assets, read_weights
from headstart.progress import say
from headstart.store import Store
from headstart.tasks import Head, Task, restore
from headstart.tasks._heads import build
from headstart.tasks.multitask import MultiTask
from headstart.training.checkpoint import write_atomically


@dataclass(frozen=True)
class Prediction:
    """What the model says of one sample.

    Attributes:
        label: as a text.
        probability: of the label; None where the task has none (a number, several labels).
        probabilities: of every class or label; empty where there are none.
        value: as a value: the class name, a number, a list of labels, or a dict of these.
    """

    name: str
    label: str
    probability: float | None
    probabilities: dict[str, float]
    value: Any = None


@dataclass(frozen=True)
class Predictor:
    """A model that is ready to use.

    Example:
        >>> predictor = hs.load("runs/1")                       # doctest: +SKIP
        >>> predictor.predict(["new.jpg"])[0].label             # doctest: +SKIP
        'boot'
    """

    backbone: Backbone
    head: Head
    task: Task
    modality: str

    def probabilities(self, dataset: Dataset, store: Store | None = None) -> np.ndarray:
        """(n, k) probabilities (of a regression: predicted numbers), columns in the order of ``task.outputs``."""
        if not len(dataset):
            return np.empty((0, len(self.task.outputs)))
        table = extract(self.backbone, dataset, store)
        device = next(iter(self.head.state_dict().values())).device  # a head just trained may be on a GPU
        with torch.inference_mode():
            return self.task.probabilities(self.head.eval()(Features(torch.from_numpy(table.vectors).to(device))))

    def tuned(self, valid: Dataset, store: Store | None = None) -> Predictor:
        """The same model with what its task chooses on validation samples (thresholds of labels); itself without any."""
        if not self.task.tunes or not len(valid):
            return self
        return replace(self, task=self.task.tuned(self.probabilities(valid, store), valid.labels or []))

    def predict(self, items: Sequence[str | Item] | Dataset) -> list[Prediction]:
        """Predictions for files, values in memory or a data set, in their order.

        A string is the path of a file; for a model of texts it is the text itself, and a file is a ``Path``; for a model of
        rows the file is a table, all of whose rows are meant.

        Raises:
            DataError: a file does not exist.
            UnreadableError: a file cannot be decoded.
        """
        return _predicted(self, items)

    def save(self, folder: str | Path) -> Path:
        """Write the model to ``folder``: card.json, model.safetensors, head.safetensors and task.json.

        Raises:
            RunError: the disk is full or cannot be written; nothing half-written is left.
        """
        return _saved(Path(folder), self._write)

    def _write(self, part: Path) -> None:
        card = self.backbone.card.replace(
            weights="model.safetensors", feature_dim=self.backbone.spec.dim, assets=tuple(sorted(self.backbone.assets))
        )
        write_card(card, part / "card.json")
        for name, raw in self.backbone.assets.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(raw)
        network = {
            name: value.detach().cpu().contiguous().clone()
            for name, value in self.backbone.network.state_dict().items()
        }
        write_atomically(part / "model.safetensors", save(network))
        write_atomically(
            part / "head.safetensors",
            save(
                {n: v.cpu().contiguous() for n, v in self.head.state_dict().items()},
                {"classes": json.dumps(self.task.outputs)},  # with the weights, so the order cannot drift
            ),
        )
        facts: dict[str, Any] = {
            **self.task.to_dict(),
            "head": type(self.head).__name__,
            "modality": self.modality,
            "model": self.backbone.reference,
        }
        write_atomically(part / "task.json", json.dumps(facts, indent=1, ensure_ascii=False).encode())


@dataclass(frozen=True)
class GroupedPredictor:
    """Several tasks on several models, a group of tasks each; it predicts and travels like one.

    Attributes:
        members: a predictor for each group.
        groups: the names of the tasks of each member.
        task: all of them, in the order of the outputs.
    """

    members: tuple[Predictor, ...]
    groups: tuple[tuple[str, ...], ...]
    task: MultiTask

    @property
    def modality(self) -> str:
        return self.members[0].modality

    def probabilities(self, dataset: Dataset, store: Store | None = None) -> np.ndarray:
        """As of a ``Predictor`` of all tasks."""
        parts: dict[str, np.ndarray] = {}
        for member, names in zip(self.members, self.groups, strict=True):
            said = member.probabilities(dataset, store)
            parts |= member.task.parts(said) if isinstance(member.task, MultiTask) else {names[0]: said}
        return np.concatenate([parts[name] for name in self.task.names], 1)

    def tuned(self, valid: Dataset, store: Store | None = None) -> GroupedPredictor:
        """Every member as ``Predictor.tuned`` leaves it, on the samples of its own tasks."""
        members, found = [], dict(self.task)
        for member, names in zip(self.members, self.groups, strict=True):
            members.append(member.tuned(self.task.samples(valid, names)[0], store))
            own = members[-1].task
            found |= dict(own) if isinstance(own, MultiTask) else {names[0]: own}
        return replace(self, members=tuple(members), task=replace(self.task, tasks=tuple(found.values())))

    def predict(self, items: Sequence[str | Item] | Dataset) -> list[Prediction]:
        """As ``Predictor.predict``."""
        return _predicted(self, items)

    def save(self, folder: str | Path) -> Path:
        """Write task.json and, for each group, a folder as ``Predictor.save`` writes it: group-1, group-2, ..."""
        return _saved(Path(folder), self._write)

    def _write(self, part: Path) -> None:
        for number, member in enumerate(self.members, 1):
            (part / f"group-{number}").mkdir()
            member._write(part / f"group-{number}")
        facts = {**self.task.to_dict(), "groups": self.groups, "modality": self.modality}
        write_atomically(part / "task.json", json.dumps(facts, indent=1, ensure_ascii=False).encode())


def _saved(folder: Path, write: Callable[[Path], None]) -> Path:
    """What ``write`` puts into a new folder, moved into place when it is whole."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        write(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except OSError as problem:
        raise RunError(
            f"{folder} could not be written: {problem.strerror or problem}. Choose another place."
        ) from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _predicted(model: Predictor | GroupedPredictor, items: Sequence[str | Item] | Dataset) -> list[Prediction]:
    if isinstance(items, (str, Path)):
        raise DataError(f"predict takes a list of files, got the single {items!r}; write [{str(items)!r}].")
    dataset = items if isinstance(items, Dataset) else _dataset(items, model.modality)
    check_columns(model, dataset)
    answers = [model.task.answer(row) for row in model.probabilities(dataset)]
    return [
        Prediction(name, found.label, found.probability, dict(found.probabilities), found.value)
        for name, found in zip(dataset.names, answers, strict=True)
    ]


def check_columns(model: Predictor | GroupedPredictor, dataset: Dataset) -> None:
    """Say which columns that a model of rows learned from are lacking.

    Raises:
        DataError: all of them are.
    """
    if model.modality != "table" or not len(dataset):
        return
    backbone = model.backbone if isinstance(model, Predictor) else model.members[0].backbone
    wanted = [str(column["name"]) for column in backbone.card.arguments.get("columns", ())]
    have = {str(name) for row in dataset.items if isinstance(row, Mapping) for name in row}
    lacking = [name for name in wanted if name not in have]
    listed = ", ".join(map(repr, lacking[:5])) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
    if lacking and len(lacking) == len(wanted):
        raise DataError(f"The rows have none of the {len(wanted)} columns that the model learned from ({listed}); rename theirs.")
    if lacking:
        say(f"note: {len(lacking)} of the {len(wanted)} columns that the model learned from are lacking ({listed}): they count as "
            "missing")  # fmt: skip


def load_predictor(folder: Path) -> Predictor | GroupedPredictor:
    """The predictor in a model folder; touches no network.

    Raises:
        ModelError: the folder is not a saved predictor, or a part is missing or damaged.
        UnsafeFile: a file of weights is not safetensors.
    """
    try:
        facts = json.loads((folder / "task.json").read_text("utf-8"))
        return _grouped(folder, facts) if "groups" in facts else _single(folder, facts)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as problem:
        if isinstance(problem, ModelError):
            raise
        raise ModelError(
            f"{folder} is not a complete saved model ({problem}). Expected card.json, task.json, model.safetensors "
            "and head.safetensors, as predictor.save writes them."
        ) from problem


def _grouped(folder: Path, facts: dict[str, Any]) -> GroupedPredictor:
    task, groups = restore(facts), tuple(tuple(map(str, names)) for names in facts["groups"])
    if not isinstance(task, MultiTask) or sorted(name for names in groups for name in names) != sorted(task.names):
        raise ModelError(f"{folder}: the groups {groups} in task.json are not those of its tasks; save the model again.")
    places = [folder / f"group-{number}" for number in range(1, len(groups) + 1)]
    members = [_single(place, json.loads((place / "task.json").read_text("utf-8"))) for place in places]
    return GroupedPredictor(tuple(members), groups, task)


def _single(folder: Path, facts: dict[str, Any]) -> Predictor:
    task, weights = restore(facts), read_weights(folder / "head.safetensors")
    with safe_open(folder / "head.safetensors", "pt") as file:
        order = json.loads((file.metadata() or {}).get("classes", "null"))
    if order is not None and order != list(task.outputs):
        raise ModelError(
            f"{folder}: the head was trained on the classes {order} in this order, and task.json names "
            f"{list(task.outputs)}; every prediction would be mislabelled. Restore task.json, or save the model again."
        )
    card = read_card(folder / "card.json")
    backbone = assemble(card, str(facts["model"]), folder / "model.safetensors", read_assets(card, folder)).eval()
    head = build(facts["head"], weights, task).eval()
    with torch.inference_mode():
        outputs, classes = head(Features(torch.zeros(1, backbone.spec.dim))).shape[1], len(task.outputs)
    if outputs != classes:
        raise ModelError(f"{folder}: the head has {outputs} outputs and task.json names {classes} classes.")
    return Predictor(backbone, head, task, str(facts["modality"]))


def _dataset(items: Sequence[str | Item], modality: str) -> Dataset:
    texts = modality == "text"
    found: list[Item] = [Path(item) if isinstance(item, str) and not texts else item for item in items]
    missing = [str(item) for item in found if isinstance(item, Path) and not item.is_file()]
    if missing:
        hint = f" It is a folder: name the files in it, such as {missing[0]}/*" if Path(missing[0]).is_dir() else ""
        raise DataError(f"There is no file {missing[0]!r} ({len(missing)} of {len(found)} do not exist).{hint}")
    if modality == "table":
        found, names = _rows(found)
    else:
        names = [_name(item, i) for i, item in enumerate(found)]
    return Dataset(found, names, None, modality)


def _rows(items: Sequence[Item]) -> tuple[list[Item], list[str]]:
    """Rows and their names; a path is a table file, all of whose rows are meant."""
    found: list[tuple[Item, str]] = []
    for place, item in enumerate(items):
        if isinstance(item, Path):
            part = read(item, labels=None, modality="table")
            names = part.names if len(items) == 1 else [f"{item} {name}" for name in part.names]
            found += zip(part.items, names, strict=True)
        else:
            found.append((item, _name(item, place)))
    return [item for item, _ in found], [name for _, name in found]


def _name(item: Item, place: int) -> str:
    if isinstance(item, str):
        return item if len(item) <= 60 else f"{item[:57]}..."
    return str(item) if isinstance(item, Path) else f"sample {place}"
