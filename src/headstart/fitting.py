"""fit: from data to an adapted model, a verdict and a report. The verbs of the package, each one call."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import config, gathering, runs
from headstart.data import Dataset
from headstart.data import read as read_data
from headstart.data.duplicates import drop_unreadable, scan
from headstart.errors import ConfigError, DataError, HeadstartError, Incompatible
from headstart.performing import READING, Record, make_approach, perform
from headstart.progress import say
from headstart.runs import Settings
from headstart.store import Store

if TYPE_CHECKING:
    from headstart.predictor import GroupedPredictor, Predictor


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
        data: a path (folder of class folders, CSV, Parquet, JSONL), a Dataset, or what ``hs.read`` takes; a list of these, or
            a dict by name: several data sets that share a model, each a task.
        model: reference of a model, such as "timm:resnet18.a1_in1k" or "embedded:image"; "auto" chooses.
        approach: "auto", a name, or an approach such as ``hs.FineTune(epochs=4)``.
        out: the run folder; by default the next free number below ``runs/``.
        baseline: "none" skips the baselines, and then no verdict is claimed.
        seed: of everything random.
        options: ``target`` (samples of another domain to adapt to; their labels, if any, serve the verdict only unless
            ``target_labels`` is "learn"), ``shots``, ``budget`` (seconds), ``on_bad``, ``waive`` (a list), ``labels``, ``paths``, ``text``, ``group``,
            ``modality``, ``task``, ``helper`` ("rotation", "masked", a labelled data set, a list of these or a dict of
            data sets by name: trained beside the target, never scored), ``together`` ("auto" proposes which of several tasks share a model), as in ``runs.Settings``.

    Raises:
        HeadstartError: see ``headstart.errors``; the run folder is then unfinished, never half-finished.
    """
    settings = make_settings(data, model, approach, baseline=baseline, seed=seed, **options)
    sources = gathering.helpers_asked(options["helper"])[1] if options.get("helper") else {}
    folder = Path(out) if out is not None else runs.next_folder()
    target = options.get("target") if settings.target == runs.MEMORY else None
    memory = {name: source for name, source in sources.items() if settings.helpers[name] == runs.MEMORY}
    return perform(settings, folder, data=data if not settings.on_disk else None, target=target, helpers=memory)


def make_settings(data: Any, model: str, approach: Any, **options: Any) -> Settings:
    """The settings of a run, checked before any work."""
    if isinstance(approach, str):
        chosen: dict[str, Any] = {"name": approach}
    elif isinstance(approach, dict):
        chosen = approach
    else:
        chosen = {"name": type(approach).__module__.rpartition(".")[2], **config.to_dict(approach)}
    place = runs.same_disk_path(data) if isinstance(data, (str, Path)) else ""
    if gathering.are_several(data):
        if options.get("target") is not None:
            raise ConfigError("$.target: several data sets share a model without a target; leave one of both out")
        options["datasets"] = gathering.lasting(data)
    if (adapted := make_approach(chosen)) is not None:  # "18" from a command line and 18 are one setting
        chosen = {"name": chosen["name"], **config.to_dict(adapted)}
        for entry in fields(adapted):  # type: ignore[arg-type]
            if entry.metadata.get("reference") and chosen.get(entry.name):
                chosen[entry.name] = runs.lasting_reference(chosen[entry.name])
    if helper := options.pop("helper", None):
        chosen, options["helpers"] = _helped(chosen, helper, options.get("target") is not None)
    if options.get("together") == "auto":
        if options.get("target") is not None:
            raise ConfigError("$.together: a target is adapted to with one task, so there is nothing to put together; leave one out")
        if chosen == {"name": "auto"}:
            chosen = {"name": "finetune"}  # a probe moves no weight that tasks could share
    model = runs.lasting_reference(model)
    if (target := options.get("target")) is not None:
        options["target"] = runs.same_disk_path(target) if isinstance(target, (str, Path)) else runs.MEMORY
    settings = config.from_dict(Settings, {"data": place, "model": model, "approach": chosen, **options})
    if isinstance(data, Dataset) and any(options.get(name) for name in READING):
        raise ConfigError(
            "$.labels, $.paths, $.text, $.group and $.modality tell how to read a file; a Dataset is read"
        )
    if settings.seed < 0:
        raise ConfigError(f"$.seed: expected 0 or more, got {settings.seed}")
    if settings.shots is not None and settings.shots < 1:
        raise ConfigError(f"$.shots: expected at least 1 sample a class, got {settings.shots}")
    return settings


def _helped(chosen: dict[str, Any], helper: Any, targeted: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The approach with its helpers, and the paths of those that are data sets, by name.

    Raises:
        Incompatible: there is nothing that a helper could move.
    """
    if targeted:
        raise ConfigError("$.helper: with a target, the labelled source is what helps; leave --helper or --target out")
    if chosen["name"] not in ("auto", "finetune"):
        raise Incompatible(f"A helper moves the shared weights as far as its gradient agrees with the target's, and {chosen['name']} has no such "
                           "place for it. Take --approach finetune, or leave --helper out")  # fmt: skip
    questions, sources = gathering.helpers_asked(helper)
    paths = {name: runs.same_disk_path(source) if isinstance(source, (str, Path)) else runs.MEMORY for name, source in sources.items()}
    text = ",".join(filter(None, (str(chosen.get("helper", "")), *questions)))
    return {**chosen, "name": "finetune", **({"helper": text} if text else {})}, paths


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
    if not settings.on_disk or settings.target == runs.MEMORY:
        raise HeadstartError(f"The data of {folder} came from memory, so it cannot be read again; call hs.fit with it.")


def load_record(folder: str | Path) -> Record:
    """A finished run, its files verified."""
    from headstart.predictor import load_predictor

    folder = runs.tested(Path(folder))
    return Record(folder, runs.read_result(folder), load_predictor(folder / "model"))


def load(folder: str | Path) -> Predictor | GroupedPredictor:
    """The predictor of a run folder, or of a folder that ``predictor.save`` wrote."""
    from headstart.predictor import load_predictor

    if (Path(folder) / "task.json").is_file():
        return load_predictor(Path(folder))
    return load_record(folder).predictor


def evaluate(run: Record | str | Path, data: Any, *, on_bad: str = "error", **reading: str | None) -> dict[str, Any]:
    """The scores of a run's model on other labelled data.

    Args:
        run: a finished run or its folder, or a saved model.
        data: as for ``fit``; of a model of several data sets some of them by the names of their tasks, ``{"name": path}``.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``fit``.
    """
    from headstart.evaluation import outcome
    from headstart.predictor import check_columns
    from headstart.tasks.multitask import MultiTask

    predictor = run.predictor if isinstance(run, Record) else load(run)
    if odd := sorted(set(reading) - set(READING)):
        raise ConfigError(f"evaluate has no option {odd[0]!r}; there are on_bad, {', '.join(READING)}.")
    if isinstance(data, Dataset):
        dataset = data
    elif gathering.are_several(data):
        names = predictor.task.names if isinstance(predictor.task, MultiTask) else ()
        sources = gathering.by_name(data)
        if odd := [name for name in sources if name not in names]:
            raise ConfigError(f"$.data: the model has no task {odd[0]!r}; it has {', '.join(names) or 'a single one'}")
        stated = {"modality": predictor.modality} | {name: value for name, value in reading.items() if value is not None}
        parts = {name: entry if isinstance(entry, Dataset) else read_data(entry, **stated) for name, entry in sources.items()}
        gathering.one_modality(parts)
        dataset = gathering.joined(parts, names)
    else:
        stated = {name: value for name, value in reading.items() if value is not None}
        if "labels" not in stated and isinstance(predictor.task, MultiTask):
            stated["labels"] = ",".join(predictor.task.names)
        dataset = read_data(data, **{"modality": predictor.modality, **stated})
    store = Store()
    dataset = drop_unreadable(dataset, scan(dataset, store), on_bad)
    for note in dataset.notes:
        say(f"note: {note}")
    if dataset.labels is None:
        raise DataError(f"{dataset.origin} has no labels to compare with. headstart predict needs none.")
    if not len(dataset):
        raise DataError(f"{dataset.origin} has no samples to evaluate on.")
    check_columns(predictor, dataset)
    predictor.task.encode(dataset.labels)  # unknown labels are an error before any work
    probabilities = predictor.probabilities(dataset, store)
    notes = (*dataset.notes, *outcome.about_groups(dataset, verdict=False))
    return {
        "data": dataset.origin,
        "samples": len(dataset),
        "notes": list(notes),
        **outcome.scored(predictor.task, dataset, probabilities),
    }
