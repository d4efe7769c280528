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

from headstart import auditing, config, gathering, plugins, runs
from headstart.data import Dataset, Split, existing
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.split import split as split_data
from headstart.data.split import with_validation
from headstart.errors import ConfigError
from headstart.progress import say
from headstart.runs import Settings
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.approaches._groups import Groups
    from headstart.candidates import Candidate
    from headstart.evaluation.verdict import Verdict
    from headstart.models.backbone import Backbone
    from headstart.predictor import GroupedPredictor, Predictor
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
    predictor: Predictor | GroupedPredictor

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


def perform(
    settings: Settings, folder: Path, data: Any = None, target: Any = None, helpers: dict[str, Any] | None = None
) -> Record:
    """Carry out a run into ``folder``, or finish one that was interrupted there."""
    from headstart.training.processes import own_place
    from headstart.training.run import Run, sow

    begun, folder = time.perf_counter(), own_place(folder)
    store = Store()
    from headstart import defaults, targets
    from headstart.advising import advise
    from headstart.candidates import adapt
    from headstart.evaluation import together
    from headstart.tasks import learn

    runs.refuse_finished(folder)
    backbone = named_model(settings)
    split, judged = load_split(settings, store, data), None
    if settings.helpers:
        beside = gathering.helpers(settings, split, store, helpers or {})
        told = [f"helper {name}: {note}" for name, (part, _) in beside.items() for note in part.notes]
        for name, (part, kind) in beside.items():
            say(f"helper {name}: {len(part)} samples ({kind}) to train beside; its score does not count")
        split = replace(split, helpers=beside, notes=(*split.notes, *told))
    if settings.target is not None:
        domain = targets.read_target(settings, split, store, target)
        split = replace(
            split, unlabeled=domain.unlabeled, labelled=domain.labelled, notes=(*split.notes, *domain.notes)
        )
        judged = domain.judged
    if settings.together == "auto" and (shared := make_approach(settings.approach)) is not None:
        together.check(shared, learn(split.task, split.train.labels or []), split)
    why_model = f"you asked for the model {settings.model}"
    if backbone is None:
        backbone, _, why_model = advise.chosen(
            split, store, settings.seed, approach="finetune" if settings.approach.get("name") == "finetune" else "probe"
        )
    defaults.suits(backbone, split.train)
    split = replace(split, notes=(*split.notes, *defaults.cut_notes(backbone, split)))
    with runs.opened(folder, settings) as work:
        (work / "history.jsonl").unlink(missing_ok=True)
        shutil.rmtree(work / "tensorboard", ignore_errors=True)
        sow(settings.seed, 0)
        deadline = time.monotonic() + settings.budget if settings.budget else None
        run = Run(work, settings.seed, store, deadline)
        task = learn(split.task, split.train.labels or [])
        reasons = [why_model]
        asked = make_approach(settings.approach)
        proposal = None
        if settings.together == "auto" and asked is not None:
            proposal = together.proposed(asked, backbone, task, split, run)
            reasons.append(proposal.why)
        groups = proposal.groups if proposal else ()
        facts: dict[str, Any] = {}
        advice = None
        if settings.target is None:
            if asked is None and task.kind == "classification":
                advice = advise.judged(backbone, task, split, store, seed=settings.seed, budget=settings.budget)
            candidates, why = adapt(asked, backbone, task, split, run, advice, groups)
            best = max(candidates, key=lambda c: c.worth)  # the first, cheaper one on a tie
        else:
            best, why, facts = targets.adapt(asked, backbone, task, split, run)
            candidates = [best]
        task, reasons = best.predictor.task, reasons + why
        from headstart.evaluation import outcome

        tested = split.test if judged is None else judged
        test = best.predictor.probabilities(tested, store)
        patient = replace(run, deadline=None)  # baselines are never cut short
        if settings.target is None:
            rivals = _baselines(settings, best, backbone, task, split, patient, groups)
        elif judged is not None and settings.baseline != "none" and best.name != "source_only":
            rivals = targets.rivals(best, backbone, task, split, judged, patient)
        else:
            rivals = {}
        about = outcome.about_groups(tested, bool(rivals))
        for note in about:
            say(f"note: {note}")
        split = replace(split, notes=(*split.notes, *about))
        twins = _twins(settings, best, split, test, backbone, patient, groups)
        beside_it = _helpers(settings, best, split, test, backbone, patient, groups)
        reasons += [f"{row['stage']}: {row['note']}" for row in run.history if "note" in row]
        result = {
            "headstart": settings.headstart,
            "run": str(folder),
            "task": task.kind,
            "modality": split.train.modality,
            "model": backbone.reference,
            "approach": best.name,
            "reasons": reasons,
            "data": describe(split, settings, task),
            "validation": {task.metric.name: best.valid[task.metric.name]},
            "candidates": [
                {"approach": c.name, f"valid_{task.metric.name}": c.valid[task.metric.name], "seconds": c.seconds}
                for c in candidates
            ],
            **outcome.measure(task, tested, test, rivals, settings.seed),
            **({"adaptation": facts} if facts else {}),
            **targets.no_verdict(settings, best.name, judged),
            **({"together": proposal.facts} if proposal else {}),
            **({"interference": twins} if twins else {}),
            **({"helpers": beside_it} if beside_it else {}),
            "config": config.to_dict(settings),
            "environment": environment(),
            "card": config.to_dict(backbone.card),
        }
        if advice is not None:
            tried = {c.name: c.worth for c in candidates}
            result["advice"] = {**advice.to_dict(), "outcome": advise.outcome(advice.to_dict(), tried, result["scores"])}
            result["reasons"] += [f"advice: {sentence}" for sentence in result["advice"]["outcome"]["sentences"]]
        best.predictor.save(folder / "model")
        outcome.write(folder, task, tested, test, rivals)
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


def named_model(settings: Settings) -> Backbone | None:
    """The model that was asked for, None for "auto"; called before the data are scanned, so that a slip costs no time.

    Raises:
        DataError: the data are not even there.
        ModelError: the model cannot be found or loaded.
    """
    from headstart import models

    for place in filter(None, (settings.data, *settings.datasets.values())):
        existing(place)
    return None if settings.model == "auto" else models.load(settings.model)


def load_split(settings: Settings, store: Store, data: Any = None) -> Split:
    """Read, check and split the data of a run; says what was found."""
    source = data if data is not None else settings.data
    wanted, several = settings.task, bool(settings.datasets) or gathering.are_several(data)
    if several:
        dataset, wanted = gathering.gathered(settings, store, data)
    elif isinstance(source, Dataset):
        dataset = source
    else:
        dataset = read_data(source, **{name: getattr(settings, name) for name in READING if getattr(settings, name)})
    found = scan(dataset, store)
    whole = drop_unreadable(dataset, found, settings.on_bad)
    if len(whole) != len(dataset):
        found = scan(whole, store)
    from headstart.tasks import learn
    from headstart.tasks._kinds import AUTO, stated

    kind = stated(wanted, whole.labels or [])
    classes = kind.task.partition(":")[0] in ("classification", "ordinal")
    labels = whole.labels  # numbers and sets of labels are no names of classes, whose spelling an audit can judge
    whole = auditing.checked(whole if classes else whole.without_labels(), found, settings.waive)
    whole = replace(whole, labels=labels)
    if kind.task != "classification" and settings.task == AUTO:
        whole = whole.with_notes(f"{kind.why}; --task (task=... in Python) names another")
    strata = None
    if not classes:
        known = _labelled(whole, learn(kind.task, whole.labels or []))
        whole, found = (known, scan(known, store)) if len(known) < len(whole) else (whole, found)
        strata = learn(kind.task, whole.labels or []).strata(whole.labels or [])
    shots = None if several else settings.shots  # each was cut by itself
    split = split_data(whole, seed=settings.seed, shots=shots, clusters=clusters(found), strata=strata)
    split = with_validation(replace(split, task=kind.task))
    for note in dict.fromkeys((*whole.notes, *split.notes)):
        say(f"note: {note}")
    what = f" of {len(split.train.classes)} classes" if kind.task == "classification" else ""
    say(f"{len(split.train)} training, {len(split.valid)} validation and {len(split.test)} test samples{what}")
    return split


def _labelled(dataset: Dataset, task: Task) -> Dataset:
    """Without the samples whose label says that it is missing ("?"), which is said."""
    known = np.isfinite(task.encode(dataset.labels or [])).any(1)
    if known.all():
        return dataset
    left = [dataset.names[int(i)] for i in np.flatnonzero(~known)]
    note = f"{len(left)} samples whose label is missing were left out: {', '.join(left[:5])}{' ...' if left[5:] else ''}"
    return dataset.subset(np.flatnonzero(known)).with_notes(note)


def _baselines(
    settings: Settings, best: Candidate, backbone: Backbone, task: Task, split: Split, run: Run, groups: Groups
) -> dict[str, Any]:
    from headstart.evaluation.baselines import baselines

    if settings.baseline == "none" or best.name in ("scratch", "distill"):
        return {}
    if split.train.modality == "table":
        say(
            "no verdict: the columns of a table are used as they are, with no pretrained model whose help could be judged"
        )
        return {}
    return baselines(best.approach, backbone, task, split, run, groups)


def _twins(
    settings: Settings, best: Candidate, split: Split, test: np.ndarray, backbone: Backbone, run: Run, groups: Groups
) -> dict[str, Any]:
    """Of several tasks: each against a model of its own, unless nothing is to be compared."""
    from headstart.evaluation import interference
    from headstart.tasks.multitask import MultiTask

    task = best.predictor.task
    if not isinstance(task, MultiTask) or settings.baseline == "none" or settings.target is not None:
        return {}
    return interference.measure(best.approach, backbone, task, test, split, run, best.name, groups)


def _helpers(
    settings: Settings, best: Candidate, split: Split, test: np.ndarray, backbone: Backbone, run: Run, groups: Groups
) -> dict[str, Any]:
    """What helpers weighed and, unless nothing is to be compared, whether they helped."""
    from headstart.evaluation import helped

    found = helped.told(run.history, best.name)
    if not found or settings.baseline == "none":
        return found
    return {**found, **helped.measure(best.approach, groups, backbone, best.predictor.task, test, split, run)}


def describe(split: Split, settings: Settings, task: Task) -> dict[str, Any]:
    """What was in the data, for result.json."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    target = {"target": {"origin": split.unlabeled.origin, "samples": len(split.unlabeled)}} if split.unlabeled else {}
    return {
        **target,
        "origin": split.train.origin or settings.data,
        "classes": list(task.outputs),
        "counts": {name: task.counts(part.labels or []) for name, part in parts.items()},
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
