"""perform: carry out the settings of a run into its folder, from the data to the report."""

from __future__ import annotations

import json
import platform
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import auditing, config, plugins, runs
from headstart.data import Dataset, Split
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.split import split as split_data
from headstart.errors import ConfigError
from headstart.progress import say
from headstart.runs import Settings
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.candidates import Candidate
    from headstart.evaluation.verdict import Verdict
    from headstart.predictor import Predictor
    from headstart.tasks import Task
    from headstart.training.run import Run

READING = ("labels", "paths", "text", "group", "modality")


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        folder: where everything about it stands.
        result: the contents of its ``result.json``.
        predictor: the adapted model.
    """

    folder: Path
    result: dict[str, Any]
    predictor: Predictor

    @property
    def scores(self) -> dict[str, Any]:
        return self.result["scores"]

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, or None where no baseline was trained."""
        from headstart.evaluation.verdict import Comparison, Verdict

        found = self.result.get("verdict")
        if found is None:
            return None
        comparisons = tuple(Comparison(**{**c, "interval": tuple(c["interval"])}) for c in found["comparisons"])
        return Verdict(**{**found, "comparisons": comparisons})


def perform(settings: Settings, folder: Path, data: Any = None) -> Record:
    """Carry out a run into ``folder``, or finish one that was interrupted there."""
    from headstart.training.processes import own_place
    from headstart.training.run import Run, sow

    begun, folder = time.perf_counter(), own_place(folder)
    store = Store()
    split = load_split(settings, store, data)
    from headstart import defaults, models
    from headstart.candidates import adapt
    from headstart.tasks.classification import Classification

    if settings.model == "auto":
        backbone, why_model = defaults.choose(split.train)
    else:
        backbone, why_model = models.load(settings.model), f"you asked for the model {settings.model}"
    defaults.suits(backbone, split.train)
    split = replace(split, notes=(*split.notes, *defaults.cut_notes(backbone, split)))
    with runs.opened(folder, settings) as work:
        (work / "history.jsonl").unlink(missing_ok=True)
        shutil.rmtree(work / "tensorboard", ignore_errors=True)
        sow(settings.seed, 0)
        deadline = time.monotonic() + settings.budget if settings.budget else None
        run = Run(work, settings.seed, store, deadline)
        task = Classification.learn(split.train.labels or [])
        reasons = [why_model]
        candidates, why = adapt(make_approach(settings.approach), backbone, task, split, run)
        best = max(candidates, key=lambda c: c.valid["accuracy"])  # the first, cheaper one on a tie
        reasons += why
        from headstart.evaluation import outcome

        test = best.predictor.probabilities(split.test, store)
        rivals = _baselines(settings, best, task, split, replace(run, deadline=None))  # never cut short
        reasons += [f"{row['stage']}: {row['note']}" for row in run.history if "note" in row]
        result = {
            "headstart": settings.headstart,
            "run": str(folder),
            "task": "classification",
            "modality": split.train.modality,
            "model": backbone.reference,
            "approach": best.name,
            "reasons": reasons,
            "data": describe(split, settings, task),
            "validation": {"accuracy": best.valid["accuracy"]},
            "candidates": [
                {"approach": c.name, "valid_accuracy": c.valid["accuracy"], "seconds": c.seconds} for c in candidates
            ],
            **outcome.measure(task, split.test, test, rivals, settings.seed),
            "config": config.to_dict(settings),
            "environment": environment(),
            "card": config.to_dict(backbone.card),
        }
        best.predictor.save(folder / "model")
        outcome.write(folder, task, split.test, test, rivals)
        (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in run.history), "utf-8")
        if (work / "tensorboard").exists():
            shutil.move(work / "tensorboard", folder / "tensorboard")
        result["seconds"] = {
            "total": time.perf_counter() - begun,
            "adapting": sum(c.seconds for c in candidates),
            "baselines": sum(r.seconds for r in rivals.values()),
        }
        runs.close(folder, result)
        from headstart.report.render import write as write_report

        write_report(folder)
        shutil.rmtree(work, ignore_errors=True)
    return Record(folder, runs.read_result(folder, verify=False), best.predictor)


def make_approach(chosen: dict[str, Any]) -> Approach | None:
    """The approach that run.toml describes, or None for "auto"."""
    facts = dict(chosen)
    name = facts.pop("name", "auto")
    if name == "auto":
        if facts:
            raise ConfigError(f"$.approach: settings ({', '.join(facts)}) need an approach by name, not auto")
        return None
    from headstart.approaches import Approach

    kind = plugins.variant("approaches", name, Approach)
    return config.from_dict(kind, facts, path="$.approach")


def load_split(settings: Settings, store: Store, data: Any = None) -> Split:
    """Read, check and split the data of a run; says what was found."""
    source = data if data is not None else settings.data
    if isinstance(source, Dataset):
        dataset = source
    else:
        dataset = read_data(source, **{name: getattr(settings, name) for name in READING if getattr(settings, name)})
    found = scan(dataset, store)
    whole = drop_unreadable(dataset, found, settings.on_bad)
    if len(whole) != len(dataset):
        found = scan(whole, store)
    whole = auditing.checked(whole, found, settings.waive)
    split = split_data(whole, seed=settings.seed, shots=settings.shots, clusters=clusters(found))
    if not len(split.valid):
        note = "too few samples for a validation part; what has to be chosen is chosen on the training samples"
        split = replace(split, valid=split.train, notes=(*split.notes, note))
    for note in dict.fromkeys((*whole.notes, *split.notes)):
        say(f"note: {note}")
    say(f"{len(split.train)} training, {len(split.valid)} validation and {len(split.test)} test samples of "
        f"{len(split.train.classes)} classes")  # fmt: skip
    return split


def _baselines(settings: Settings, best: Candidate, task: Task, split: Split, run: Run) -> dict[str, Any]:
    from headstart.evaluation.baselines import baselines

    if settings.baseline == "none" or best.name in ("scratch", "distill"):
        return {}
    if split.train.modality == "table":
        say(
            "no verdict: the columns of a table are used as they are, with no pretrained model whose help could be judged"
        )
        return {}
    return baselines(best.approach, best.predictor.backbone, task, split, run)


def describe(split: Split, settings: Settings, task: Task) -> dict[str, Any]:
    """What was in the data, for result.json."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return {
        "origin": split.train.origin or settings.data,
        "classes": list(task.to_dict()["classes"]),
        "counts": {name: part.counts() for name, part in parts.items()},
        "notes": list(dict.fromkeys((*split.train.notes, *split.notes))),
    }


def environment() -> dict[str, str]:
    import torch

    from headstart.training.run import Run

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": str(Run().device),
        "precision": str(Run().precision).removeprefix("torch."),
        "platform": platform.machine(),
    }
