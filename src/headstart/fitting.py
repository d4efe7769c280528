"""fit: from data to an adapted model, a verdict and a report. The verbs of the package, each one call."""

from __future__ import annotations

import json
import platform
import shutil
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import config, plugins, runs
from headstart.data import Dataset, Split
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.split import split as split_data
from headstart.errors import ConfigError, DataError, HeadstartError
from headstart.progress import say
from headstart.runs import Settings
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.evaluation.verdict import Verdict
    from headstart.models.backbone import Backbone
    from headstart.predictor import Predictor
    from headstart.tasks import Task
    from headstart.training.run import Run

READING = ("labels", "paths", "text", "group", "modality")
DEFAULT_BUDGET = 600.0  # seconds that --approach auto may spend on fine-tuning


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


@dataclass(frozen=True)
class Candidate:
    name: str
    approach: Approach
    predictor: Predictor
    valid: dict[str, Any]
    seconds: float


def fit(
    data: Any,
    model: str = "auto",
    approach: Any = "auto",
    *,
    out: str | Path | None = None,
    baseline: str = "auto",
    seed: int = 0,
    **options: Any,
) -> Record:
    """Adapt a pretrained model to labelled data and say honestly whether the transfer helped.

    Args:
        data: a path (folder of class folders, CSV, Parquet, JSONL), a Dataset, or what ``hs.read`` takes.
        model: reference of a model, such as "timm:resnet18.a1_in1k" or "embedded:image"; "auto" chooses.
        approach: "auto", a name, or an approach such as ``hs.FineTune(epochs=4)``.
        out: the run folder; by default the next free number below ``runs/``.
        baseline: "none" skips the baselines, and then no verdict is claimed.
        seed: of everything random.
        options: ``shots``, ``budget`` (seconds), ``on_bad``, ``labels``, ``paths``, ``text``, ``group``,
            ``modality``, as in ``runs.Settings``.

    Raises:
        HeadstartError: see ``headstart.errors``; the run folder is then unfinished, never half-finished.
    """
    settings = make_settings(data, model, approach, baseline=baseline, seed=seed, **options)
    folder = Path(out) if out is not None else runs.next_folder()
    return perform(settings, folder, data=data if not settings.data else None)


def make_settings(data: Any, model: str, approach: Any, **options: Any) -> Settings:
    """The settings of a run, checked before any work."""
    if isinstance(approach, str):
        chosen: dict[str, Any] = {"name": approach}
    elif isinstance(approach, dict):
        chosen = approach
    else:
        chosen = {"name": type(approach).__module__.rpartition(".")[2], **config.to_dict(approach)}
    place = runs.same_disk_path(data) if isinstance(data, (str, Path)) else ""
    if (adapted := make_approach(chosen)) is not None:  # "18" from a command line and 18 are one setting
        chosen = {"name": chosen["name"], **config.to_dict(adapted)}
        for entry in fields(adapted):  # type: ignore[arg-type]
            if entry.metadata.get("reference") and chosen.get(entry.name):
                chosen[entry.name] = runs.lasting_reference(chosen[entry.name])
    model = runs.lasting_reference(model)
    settings = config.from_dict(Settings, {"data": place, "model": model, "approach": chosen, **options})
    if isinstance(data, Dataset) and any(options.get(name) for name in READING):
        raise ConfigError(
            "$.labels, $.paths, $.text, $.group and $.modality tell how to read a file; a Dataset is read"
        )
    if settings.shots is not None and settings.shots < 1:
        raise ConfigError(f"$.shots: expected at least 1 sample a class, got {settings.shots}")
    return settings


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


def resume(folder: str | Path) -> Record:
    """Go on with an interrupted run; it ends like an uninterrupted one. A finished run is returned as it is."""
    folder = Path(folder)
    if (folder / "result.json").exists():
        say(f"{folder} is already finished.")
        return load_record(folder)
    settings = runs.read_settings(folder)
    _needs_path(settings, folder)
    return perform(settings, folder)


def rerun(folder: str | Path, out: str | Path | None = None) -> Record:
    """Repeat a run from its ``run.toml`` into a new folder."""
    settings = runs.read_settings(Path(folder))
    _needs_path(settings, Path(folder))
    settings = replace(settings, headstart=Settings(data="").headstart)
    return perform(settings, Path(out) if out is not None else runs.next_folder(Path(folder).resolve().parent))


def _needs_path(settings: Settings, folder: Path) -> None:
    if not settings.data:
        raise HeadstartError(f"The data of {folder} came from memory, so it cannot be read again; call hs.fit with it.")


def load_record(folder: str | Path) -> Record:
    """A finished run, its files verified."""
    from headstart.predictor import load_predictor

    result = runs.read_result(Path(folder))
    return Record(Path(folder), result, load_predictor(Path(folder) / "model"))


def load(folder: str | Path) -> Predictor:
    """The predictor of a run folder, or of a folder that ``predictor.save`` wrote."""
    from headstart.predictor import load_predictor

    if (Path(folder) / "task.json").is_file():
        return load_predictor(Path(folder))
    return load_record(folder).predictor


def evaluate(run: Record | str | Path, data: Any, *, on_bad: str = "error", **reading: str | None) -> dict[str, Any]:
    """The scores of a run's model on other labelled data.

    Args:
        run: a finished run or its folder, or a saved model.
        data: as for ``fit``.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``fit``.
    """
    predictor = run.predictor if isinstance(run, Record) else load(run)
    if odd := sorted(set(reading) - set(READING)):
        raise ConfigError(f"evaluate has no option {odd[0]!r}; there are on_bad, {', '.join(READING)}.")
    if isinstance(data, Dataset):
        dataset = data
    else:
        stated = {name: value for name, value in reading.items() if value is not None}
        dataset = read_data(data, **{"modality": predictor.modality, **stated})
    store = Store()
    dataset = drop_unreadable(dataset, scan(dataset, store), on_bad)
    for note in dataset.notes:
        say(f"note: {note}")
    if dataset.labels is None:
        raise DataError(f"{dataset.origin} has no labels to compare with. headstart predict needs none.")
    if not len(dataset):
        raise DataError(f"{dataset.origin} has no samples to evaluate on.")
    predictor.task.encode(dataset.labels)  # unknown labels are an error before any work
    probabilities = predictor.probabilities(dataset, store)
    return {
        "data": dataset.origin,
        "samples": len(dataset),
        **predictor.task.score(probabilities, dataset.labels or []),
    }


def perform(settings: Settings, folder: Path, data: Any = None) -> Record:
    """Carry out a run into ``folder``, or finish one that was interrupted there."""
    from headstart.training.run import Run, sow

    begun = time.perf_counter()
    store = Store()
    split = load_split(settings, store, data)
    from headstart import defaults, models
    from headstart.tasks.classification import Classification

    if settings.model == "auto":
        backbone, why_model = defaults.choose(split.train)
    else:
        backbone, why_model = models.load(settings.model), f"you asked for the model {settings.model}"
    defaults.suits(backbone, split.train)
    split = replace(split, notes=(*split.notes, *defaults.cut_notes(backbone, split)))
    with runs.opened(folder, settings) as work:
        (work / "history.jsonl").unlink(missing_ok=True)
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
    split = split_data(whole, seed=settings.seed, shots=settings.shots, clusters=clusters(found))
    if not len(split.valid):
        note = "too few samples for a validation part; what has to be chosen is chosen on the training samples"
        split = replace(split, valid=split.train, notes=(*split.notes, note))
    for note in dict.fromkeys((*whole.notes, *split.notes)):
        say(f"note: {note}")
    say(f"{len(split.train)} training, {len(split.valid)} validation and {len(split.test)} test samples of "
        f"{len(split.train.classes)} classes")  # fmt: skip
    return split


def adapt(
    approach: Approach | None, backbone: Backbone, task: Task, split: Split, run: Run
) -> tuple[list[Candidate], list[str]]:
    """Fit the approach; without one, the cheap one first and fine-tuning where the budget has room for it."""
    from headstart.approaches.finetune import FineTune, seconds_an_epoch
    from headstart.approaches.probe import Probe

    if approach is not None:
        name = type(approach).__module__.rpartition(".")[2]
        return [_candidate(name, approach, backbone, task, split, run)], [f"you asked for {name}"]
    probe = _candidate("probe", Probe(), backbone, task, split, run)
    if "gradients" not in backbone.provides:
        return [probe], [f"{backbone.reference} has no gradients, so it can only be probed"]
    left = DEFAULT_BUDGET if run.deadline is None else run.seconds_left()
    epoch = seconds_an_epoch(backbone, task, split)
    if epoch > left:
        why = (f"fine-tuning was not tried: one pass takes about {epoch:.0f} s and {left:.0f} s are left "
               "(--budget sets more)")  # fmt: skip
        return [probe], [why]
    limited = replace(run, deadline=time.monotonic() + left)
    tuned = _candidate("finetune", FineTune(), backbone, task, split, limited)
    gap = 100 * (tuned.valid["accuracy"] - probe.valid["accuracy"])
    chosen = "finetune" if gap > 0 else "probe"
    return [probe, tuned], [
        f"validation accuracy: probe {probe.valid['accuracy']:.3f} in {probe.seconds:.0f} s, fine-tuning "
        f"{tuned.valid['accuracy']:.3f} in {tuned.seconds:.0f} s; {chosen} is kept"
    ]


def _candidate(name: str, approach: Approach, backbone: Backbone, task: Task, split: Split, run: Run) -> Candidate:
    begun = time.perf_counter()
    predictor = approach.fit(backbone, task, split, run.named(name))
    valid = task.score(predictor.probabilities(split.valid, run.store), split.valid.labels or [])
    return Candidate(name, approach, predictor, valid, time.perf_counter() - begun)


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

    from headstart.models.precision import bfloat16_is_native

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": str(device),
        "precision": "bfloat16" if bfloat16_is_native(device) else "float32",
        "platform": platform.machine(),
    }
