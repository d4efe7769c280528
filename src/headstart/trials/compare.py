"""compare: learning curves of approaches and models on one data set, with paired tests, costs and answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart import defaults, plugins, runs
from headstart.approaches import Approach
from headstart.config import dump_json, to_dict
from headstart.data import Dataset
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.errors import ConfigError, DataError, ModelError
from headstart.evaluation.verdict import LEAST_GROUPS, shown
from headstart.progress import say, track
from headstart.report.pages import write_page
from headstart.store import Store
from headstart.tasks._kinds import only_classes
from headstart.training.checkpoint import write_atomically
from headstart.trials import statistics
from headstart.trials.cells import Cell, Plan, find, known, label_of, path_of, table


@dataclass(frozen=True)
class Comparison:
    """Curves, gains and answers; printing it gives tables.

    Attributes:
        curves: one row a model, approach and size: accuracy with interval, training samples, seconds.
        gains: one row a model, size and pair of approaches: paired difference with interval and p-value.
        answers: sentences.
        problems: what could not be computed, and why.
        folder: where the cells, ``comparison.json`` and ``comparison.html`` are.
    """

    origin: str
    folder: str
    seeds: int
    curves: tuple[dict[str, Any], ...]
    gains: tuple[dict[str, Any], ...]
    answers: tuple[str, ...]
    problems: tuple[dict[str, str], ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return to_dict(self)

    def __str__(self) -> str:
        lines = [f"{self.origin}: mean test accuracy over {self.seeds} seeds, with 95 % intervals"]
        sizes = list(dict.fromkeys(row["shots"] for row in self.curves))
        keys = list(dict.fromkeys((row["model"], row["approach"]) for row in self.curves))
        by_cell = {(row["model"], row["approach"], row["shots"]): row for row in self.curves}
        width = max((len(f"{model}  {approach}") for model, approach in keys), default=0)
        lines.append(" " * width + "".join(f"  {size + ' a class':>26}" for size in sizes))
        for model, approach in keys:
            cells = [by_cell.get((model, approach, size)) for size in sizes]
            shown = [f"{c['accuracy']:.3f} [{c['low']:.3f}, {c['high']:.3f}] {c['seconds']:4.0f} s" if c else ""
                     for c in cells]  # fmt: skip
            lines.append(f"{f'{model}  {approach}':<{width}}" + "".join(f"  {text:>26}" for text in shown))
        lines += [f"not computed: {row['what']}: {row['why']}" for row in self.problems]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *(f"- {answer}" for answer in self.answers)])


def compare(
    data: Any,
    approaches: Sequence[str] = ("probe", "finetune", "scratch"),
    models: Sequence[str] = (),
    *,
    shots: Sequence[int | None] = (5, 20, None),
    seeds: int = 3,
    out: str | Path | None = None,
    on_bad: str = "error",
    **reading: str | None,
) -> Comparison:
    """Fit every approach to every model at every size with every seed, and say what pays.

    What is finished stays in ``out``: started again with the same words, only what is missing is computed.

    Args:
        data: what ``hs.read`` takes, or a Dataset.
        approaches: names, with settings behind colons: ``"finetune:epochs=4"``.
        models: references; by default the model that ``fit`` would take.
        shots: training samples a class; None for all.
        seeds: each has a split of its own, unless the data declares one.
        out: the folder; by default the next free number below ``comparisons/``.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``hs.read``.

    Raises:
        ConfigError: there is nothing to compare, or a setting cannot be.
        DataError, ModelError: the data cannot be used, or nothing at all could be computed.
        Incompatible: the labels are no classes.
    """
    made = {text: plugins.spelled("approaches", text, Approach, "$.approaches") for text in dict.fromkeys(approaches)}
    sizes = sorted(set(shots), key=lambda size: float("inf") if size is None else size)
    if not made or not sizes or seeds < 1:
        raise ConfigError("compare needs at least one approach, one number of shots and one seed")
    if any(size is not None and size < 1 for size in sizes):
        raise ConfigError(f"shots: expected at least 1 sample a class, or all; got {sizes}")
    stated = {name: value for name, value in reading.items() if value is not None}
    dataset = data if isinstance(data, Dataset) else read_data(data, **stated)
    if dataset.labels is None:
        raise DataError(f"{dataset.origin} carries no labels, so nothing can be compared; add labels.")
    only_classes(dataset.labels, "Comparing approaches")
    store = Store()
    whole = drop_unreadable(dataset, scan(dataset, store), on_bad)
    found = scan(whole, store)
    alike = clusters(found)
    references = [runs.lasting_reference(model) for model in models] or [defaults.choose(whole)[0].reference]
    folder = Path(out) if out is not None else runs.next_folder(Path("comparisons"))
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    content = [*(key.hex() for key in found.keys), *(whole.labels or ()), *(whole.declared or ()), *(whole.groups or ())]
    identity = hashlib.blake2b("\n".join(content).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    plans = [Plan(text, model, size, seed)
             for size in sizes for seed in range(seeds) for model in references for text in made]  # fmt: skip
    cells: list[Cell] = []
    for plan in track(plans, "comparing", len(plans)):
        path = path_of(folder / "cells", plan, identity)
        cell = known(path, plan)
        if cell is None:
            cell = find(plan, made[plan.approach], whole, alike, store, path)
            how = cell.problem or f"{cell.accuracy:.3f} in {cell.seconds:.0f} s"
            say(f"{plan.model}, {plan.approach}, {label_of(plan.shots)} a class, seed {plan.seed}: {how}")
        cells.append(cell)
    if all(cell.problem for cell in cells):
        raise ModelError(f"Nothing could be computed. {cells[0].problem}")
    result = judged(whole, str(folder), seeds, cells)
    facts = result.to_dict()
    write_atomically(folder / "comparison.json", dump_json(facts).encode())
    write_page("comparison", {**facts, "plots": plots(result)}, folder / "comparison.html")
    return result


def judged(dataset: Dataset, folder: str, seeds: int, cells: Sequence[Cell]) -> Comparison:
    """The statistics of finished cells."""
    by_key = table(cells)
    curves, gains = [], []
    for (model, approach, size), own in by_key.items():
        middle = statistics.accuracy(own)
        curves.append({
            "model": model, "approach": approach, "shots": label_of(size), "labels": labels_a_class(own, dataset, size),
            "accuracy": middle.value, "low": middle.low, "high": middle.high, "valid": float(np.mean([c.valid for c in own])),
            "samples": int(np.mean([c.samples for c in own])), "seconds": float(np.mean([c.seconds for c in own])),
            "seeds": len(own),
        })  # fmt: skip
        for (other_model, other, other_size), than in by_key.items():
            same = (other_model, other_size) == (model, size)
            if same and other < approach and (difference := statistics.gain(own, than)):
                gains.append({"model": model, "shots": label_of(size), "approach": approach, "over": other,
                              "gain": difference.value, "low": difference.low, "high": difference.high,
                              "p": difference.p, "clear": difference.clear})  # fmt: skip
    problems = {(f"{c.plan.model}, {c.plan.approach}", c.problem) for c in cells if c.problem}
    told = tuple({"what": what, "why": why} for what, why in sorted(problems))
    return Comparison(dataset.origin, folder, seeds, tuple(curves), tuple(gains), tuple(answers(by_key, dataset)), told,
                      (*dataset.notes, *about_groups(cells), *noted(cells)))  # fmt: skip


def about_groups(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What must be said of intervals where samples belong to groups."""
    numbers = {len(set(cell.groups)) for cell in cells if cell.groups}
    if not numbers:
        return ()
    least, most = min(numbers), max(numbers)
    many = f"{least} {'group' if most == 1 else 'groups'}" if least == most else f"{least} to {most} groups, by seed"
    if least >= LEAST_GROUPS:
        return (f"the test samples are of {many}: intervals and differences count groups rather than samples",)
    return (f"the test samples are of {many}, too few (at least {LEAST_GROUPS}) to say anything about other groups, so no difference is "
            "claimed; intervals of accuracies hold for samples of these groups alone",)  # fmt: skip


def noted(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The notes of cells, each once, with the models, sizes and seeds that it is about unless these are all."""
    done = [cell for cell in cells if not cell.problem]
    where: dict[str, list[Plan]] = {}
    for cell in done:
        for note in dict.fromkeys(cell.notes):
            where.setdefault(note, []).append(cell.plan)
    return tuple(f"{_about(plans, [cell.plan for cell in done])}{note}" for note, plans in where.items())


def _about(some: Sequence[Plan], whole: Sequence[Plan]) -> str:
    """Of what a note is: ``5 a class, seeds 0, 2: ``; empty where it is of everything."""
    told = []
    models, sizes, seeds = ({getattr(plan, part) for plan in some} for part in ("model", "shots", "seed"))
    if models != {plan.model for plan in whole}:
        told.append(" and ".join(sorted(models)))
    if sizes != {plan.shots for plan in whole}:
        told.append(" and ".join(label_of(size) for size in sorted(sizes, key=lambda s: s or math.inf)) + " a class")
    if seeds != {plan.seed for plan in whole}:
        told.append(f"seed{'s' if len(seeds) > 1 else ''} " + ", ".join(map(str, sorted(seeds))))
    return f"{', '.join(told)}: " if told else ""


def labels_a_class(cells: Sequence[Cell], dataset: Dataset, size: int | None) -> int:
    """For the axis: what was asked for, or how many there are on average where all are taken."""
    return size or max(1, round(float(np.mean([cell.samples for cell in cells])) / len(dataset.classes)))


def answers(by_key: dict[tuple[str, str, int | None], list[Cell]], dataset: Dataset) -> list[str]:
    """How many labels until fine-tuning wins, and whether the pretrained start is still worth it."""
    told = []
    models = list(dict.fromkeys(model for model, _, _ in by_key))
    for model in models:
        kinds = list(dict.fromkeys(approach for own, approach, _ in by_key if own == model))
        cheap, tuned, fresh = ([kind for kind in kinds if kind.partition(":")[0] == name]
                               for name in ("probe", "finetune", "scratch"))  # fmt: skip
        front = f"{model}: " if len(models) > 1 else ""
        if cheap and tuned:
            pairs = [(labels_a_class(by_key[model, tuned[0], size], dataset, size), difference)
                     for own, kind, size in by_key
                     if own == model and kind == tuned[0] and (model, cheap[0], size) in by_key
                     and (difference := statistics.gain(by_key[model, tuned[0], size], by_key[model, cheap[0], size]))]  # fmt: skip
            pairs.sort(key=lambda pair: pair[0])
            if pairs:
                found = statistics.crossing([p[0] for p in pairs], [p[1] for p in pairs], tuned[0], cheap[0])
                told.append(f"{front}How many labels until fine-tuning wins? {found.sentence}")
        if fresh and len(kinds) > len(fresh):
            told.append(front + worth(by_key, model, [k for k in kinds if k not in fresh], fresh[0], dataset))
    return told


def worth(
    by_key: dict[tuple[str, str, int | None], list[Cell]], model: str, kinds: Sequence[str], fresh: str, dataset: Dataset
) -> str:
    """Whether the pretrained start of ``kinds`` still pays over ``fresh`` at the largest size that was tried."""
    sizes = [size for own, kind, size in by_key if own == model and kind == fresh]
    largest = max(sizes, key=lambda size: float("inf") if size is None else size)
    rivals = {kind: by_key[model, kind, largest] for kind in kinds if (model, kind, largest) in by_key}
    if not rivals:
        return "Is the pretrained start still worth it? Nothing pretrained was computed at this size."
    # chosen on validation: the best by its own test would flatter the pretrained start
    best = max(rivals, key=lambda kind: float(np.mean([cell.valid for cell in rivals[kind]])))
    difference = statistics.gain(rivals[best], by_key[model, fresh, largest])
    labels = labels_a_class(rivals[best], dataset, largest)
    if difference is None:
        return "Is the pretrained start still worth it? No seed has both on the same test samples."
    words = f"{100 * difference.value:+.1f} points {shown((difference.low, difference.high))} over scratch"
    verdict = "yes" if difference.low > 0 else "no, scratch is better" if difference.high < 0 else "it cannot be told"
    return f"Is the pretrained start still worth it at {labels} labels a class? {verdict}: {best} is {words}."


def plots(result: Comparison) -> list[dict[str, Any]]:
    """One plot a model: labels a class on a logarithmic scale, test accuracy with intervals."""
    from headstart.report.plots import curves

    models = list(dict.fromkeys(row["model"] for row in result.curves))
    kinds = list(dict.fromkeys(row["approach"] for row in result.curves))
    return [{"model": model, **curves([row for row in result.curves if row["model"] == model], kinds)} for model in models]
