"""Several tasks on one model: single-task twins, each way of balancing, interference, contradictions, the cost of sharing.

    python benchmarks/multitask.py [--quick] [--seeds 3] [--parts mobilenet,embedded,digits,texts,heart] [--ways ...]

Every row of a part starts from the same pretrained weights with the same samples and epochs; the twins do so with one task
each. Delta-m (Maninis et al. 2019) compares test samples with the twins', merits averaged over seeds; its interval is a
bootstrap over test samples. Rows with adapters are compared with the same twins, which have none. Milliseconds a step are
those of the processor, validation after every epoch included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _shared import Report, Row, Skip, data_folder, main, mean, numbers, progress, weights_folder
from texts import model_folder

if TYPE_CHECKING:
    from headstart.data import Dataset, Split
    from headstart.models.backbone import Backbone
    from headstart.predictor import Predictor
    from headstart.tasks.multitask import MultiTask

WAYS = "fixed:1+1,fixed,uncertainty,dwa,gradnorm,pcgrad,cagrad,nashmtl"


@dataclass(frozen=True)
class Part:
    """A model, a split by seed, and the settings of fine-tuning."""

    title: str
    load: Callable[[], Backbone]
    cut: Callable[[int, bool], Split]
    settings: dict[str, Any]


def measure(options: argparse.Namespace) -> Report:
    found = Report()
    parts = {"mobilenet": mobilenet, "embedded": embedded, "digits": digits, "texts": texts}
    ways = [way for way in options.ways.split(",") if way][: 2 if options.quick else None]
    for name in options.parts.split(","):
        if name == "heart":
            found.tables["heart-disease, hospitals as tasks: accuracy of linear heads on the columns"] = heart(options)
            continue
        try:
            part = parts[name]()
        except Skip as reason:
            progress(f"{name} left out: {reason}")
            continue
        if options.epochs:
            part.settings["epochs"] = options.epochs
        compare(part, ways, options, found)
    return found


def mobilenet() -> Part:
    from headstart import models

    reference = f"{weights_folder()}?input_size=3,64,64&crop_fraction=1"
    return Part("grocery, MobileNetV2 at 64 px, last stage", lambda: models.load(reference), grocery,
                {"epochs": 4, "tuning": "last:1"})  # fmt: skip


def embedded() -> Part:
    from headstart import models

    return Part("grocery, embedded:image at 48 px, last stage", lambda: models.load("embedded:image?input_size=3,48,48"),
                grocery, {"epochs": 4, "tuning": "last:1"})  # fmt: skip


def digits() -> Part:
    from headstart import models

    reference = str(weights_folder("yamnet_mobilenetv1_100"))
    return Part("spoken digits, digit and speaker, YAMNet, last two stages", lambda: models.load(reference), spoken,
                {"epochs": 4, "tuning": "last:2"})  # fmt: skip


def texts() -> Part:
    from headstart import models

    folder = str(model_folder())
    return Part("sst2 and banking77 (20 intents), MiniLM, last two stages", lambda: models.load(folder), two_sets,
                {"epochs": 3, "tuning": "last:2", "batch_size": 16})  # fmt: skip


def grocery(seed: int, quick: bool) -> Split:
    """Five training photos a fine class, the declared validation photos, 600 of the test ones."""
    import headstart as hs
    from headstart.data.labels import columns

    data = hs.read(data_folder("grocery") / "labels.csv", labels="fine,coarse")
    sides, fine = np.array(data.declared), np.array(columns(data.labels or [])["fine"])
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(sides == "train"))
    few = 2 if quick else 5
    train = np.concatenate([order[fine[order] == label][:few] for label in np.unique(fine[sides == "train"])])
    return sides_of(data, train, np.flatnonzero(sides == "valid"),
                    np.random.default_rng(0).permutation(np.flatnonzero(sides == "test"))[: 100 if quick else 600])  # fmt: skip


def spoken(seed: int, quick: bool) -> Split:
    """Recordings drawn at random: 300 to train, 200 to validate, 600 to test."""
    import headstart as hs
    from headstart.data.labels import joined

    digit = hs.read(data_folder("spoken-digits"), labels=r"(\d)_[a-z]+_\d+")
    speaker = hs.read(data_folder("spoken-digits"), labels=r"\d_([a-z]+)_\d+")
    both = [joined({"digit": a, "speaker": b}) for a, b in zip(digit.labels or (), speaker.labels or (), strict=True)]
    order = np.random.default_rng(0).permutation(len(both))
    test, rest = order[: 100 if quick else 600], np.random.default_rng(seed).permutation(order[600:])
    return sides_of(replace(digit, labels=both), rest[:300], rest[300:500], test)


def two_sets(seed: int, quick: bool) -> Split:
    """400 texts of each set to train, 200 to validate, 500 to test; each text has the label of its own task alone."""
    import headstart as hs
    from headstart.data.dataset import Dataset
    from headstart.data.labels import joined

    films, bank = hs.read(data_folder("sst2")), hs.read(data_folder("banking77"), labels="category")
    bank = bank.subset(np.flatnonzero(np.isin(bank.labels, sorted(bank.classes)[:20])))
    items: list[Any] = []
    labels: list[str] = []
    sides: list[list[int]] = [[], [], []]
    for name, data in (("sentiment", films), ("intent", bank)):
        declared, rng = np.array(data.declared), np.random.default_rng(seed)
        pool, test = (np.flatnonzero(declared == side) for side in ("train", "test"))
        pool, test = rng.permutation(pool), np.random.default_rng(0).permutation(test)
        sizes = (40, 40, 40) if quick else (400, 200, 500)
        for place, chosen in enumerate((pool[: sizes[0]], pool[sizes[0] : sum(sizes[:2])], test[: sizes[2]])):
            sides[place] += range(len(items), len(items) + len(chosen))
            items += [data.items[i] for i in chosen]
            labels += [joined({"sentiment": None, "intent": None} | {name: (data.labels or [])[i]}) for i in chosen]
    whole = Dataset(items, [f"text {i}" for i in range(len(items))], labels, "text")
    return sides_of(whole, *map(np.array, sides))


def sides_of(data: Dataset, *sides: np.ndarray) -> Split:
    from headstart.data.split import Split
    from headstart.tasks._kinds import stated

    kind = stated("classification", data.labels or []).task
    return Split(*(replace(data, declared=None).subset(rows) for rows in sides), task=kind)


def compare(part: Part, ways: list[str], options: argparse.Namespace, found: Report) -> None:
    """A row a way; the twins' row first."""
    from headstart.approaches.finetune import FineTune
    from headstart.approaches.probe import Probe
    from headstart.evaluation import interference
    from headstart.store import Store
    from headstart.tasks import learn
    from headstart.tasks.multitask import MultiTask
    from headstart.training.run import Run

    merits: dict[str, list[dict[str, np.ndarray]]] = {}
    steps: dict[str, list[float]] = {}
    outside: dict[str, list[float]] = {}
    angles: dict[str, list[float]] = {}
    alone_cost: Row = {}
    shared_cost: Row = {}
    store = Store()
    for seed in options.seeds[: 1 if options.quick else None]:
        split, backbone = part.cut(seed, options.quick), part.load()
        task = learn(split.task, split.train.labels or [])
        assert isinstance(task, MultiTask)
        keep = Kept(task, split.test.labels or [], merits, outside)
        probe = Probe().fit(backbone, task, split, Run(seed=seed, store=store))
        keep("probes, nothing shared moves", task.parts(probe.probabilities(split.test, store)))
        settings = FineTune(augment="", patience=0, **part.settings)
        said, models, spent = {}, [], 0.0
        for name, one in task:
            (train, _), (valid, _), _ = (task.samples(s, [name]) for s in (split.train, split.valid, split.test))
            clock = Clock()
            begun = time.perf_counter()
            twin = settings.fit(backbone, one, replace(split, train=train, valid=valid, task=one.kind),
                                Run(seed=seed, store=store, watch=clock))  # fmt: skip
            spent += time.perf_counter() - begun
            said[name] = twin.probabilities(split.test)
            models.append(twin)
            steps.setdefault("twins: a model a task", []).append(clock.seconds / (settings.epochs * steps_of(train, settings)))
            progress(f"{part.title}, seed {seed}: twin {name}, {time.perf_counter() - begun:.0f} s")
        keep("twins: a model a task", said)
        alone_cost = cost(models, split.test, spent)
        soft = [(f"{ways[0]}, adapters of {width}", ways[0], width) for width in options.adapters] if ways else []
        for way, balance, width in [*((way, way, 0) for way in ways), *soft]:
            clock, run_begun = Clock(), time.perf_counter()
            run = Run(seed=seed, store=store, watch=clock)
            shared = replace(settings, balance=balance, adapters=width).fit(backbone, task, split, run)
            spent = time.perf_counter() - run_begun
            keep(way, task.parts(shared.probabilities(split.test)))
            steps.setdefault(way, []).append(clock.seconds / (settings.epochs * steps_of(split.train, settings)))
            cosines = [value for pairs in interference.cosines(run.history, "").values() for _, value in pairs]
            angles.setdefault(way, []).append(mean(cosines))
            if way == ways[0]:
                shared_cost = cost([shared], split.test, spent)
            progress(f"{part.title}, seed {seed}: {way}, {spent:.0f} s")
    rows = []
    twins = averaged(merits["twins: a model a task"])
    for name, each in merits.items():
        row: Row = {"way": name} | {task_name: float(np.nanmean(values)) for task_name, values in averaged(each).items()}
        if name != "twins: a model a task":
            value, (low, high) = interference.delta_m(averaged(each), twins)
            row |= {"delta-m, %": 100 * value, "interval": f"[{100 * low:+.1f}, {100 * high:+.1f}]",
                    "by seed": ", ".join(f"{100 * interference.delta_m(a, b)[0]:+.1f}" for a, b in
                                         zip(each, merits["twins: a model a task"], strict=True))}  # fmt: skip
        row["processor ms a step"] = 1000 * mean(steps[name]) if name in steps else None
        row["cosine"] = mean(angles[name]) if name in angles else None
        row["contradictions, %"] = 100 * mean(outside[name]) if name in outside else None
        rows.append(row)
    found.tables[f"{part.title}: test scores, means of {len(merits[rows[0]['way']])} seeds"] = rows
    found.tables[f"{part.title}: the cost of sharing (last seed)"] = [
        {"models": "one of all tasks, 1+1", **shared_cost}, {"models": "one a task", **alone_cost}
    ]  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """Notes the merits of what models say of the test samples, and how often nested tasks contradict each other."""

    task: MultiTask
    labels: Sequence[str]
    merits: dict[str, list[dict[str, np.ndarray]]]
    outside: dict[str, list[float]]

    def __call__(self, way: str, said: dict[str, np.ndarray]) -> None:
        found = self.task.merits_of_each(np.concatenate(list(said.values()), 1), self.labels)
        self.merits.setdefault(way, []).append(found)
        if self.task.nested:
            self.outside.setdefault(way, []).append(self.task.contradictions(said)[0]["share"])


class Clock:
    """Seconds of the processor from the start (row 0) of a training to its last epoch, seen through the rows of its history."""

    def __init__(self) -> None:
        self.begun = self.seconds = 0.0

    def __call__(self, row: dict[str, Any]) -> None:
        now = time.process_time()
        if row["epoch"] == 0:
            self.begun = now
        self.seconds = now - self.begun


def steps_of(train: Dataset, settings: Any) -> int:
    return max(1, len(train) // min(settings.batch_size, len(train)))


def averaged(each: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Merits of every test sample, the mean over seeds."""
    return {name: np.mean([merits[name] for merits in each], 0) for name in each[0]}


def cost(models: list[Predictor], test: Dataset, spent: float) -> Row:
    begun = time.perf_counter()
    for model in models:
        model.probabilities(test)
    predicting = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as place:
        folders = [model.save(Path(place) / str(i)) for i, model in enumerate(models)]
        size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    held = sum(value.numel() * value.element_size() for model in models
               for module in (model.backbone, model.head) for value in module.state_dict().values())  # fmt: skip
    return {"fitting, s": spent, f"answers to {len(test)} samples, s": predicting, "weights in memory, MB": held / 1e6,
            "on disk, MB": size / 1e6}  # fmt: skip


def heart(options: argparse.Namespace) -> list[Row]:
    """A hospital is a task with a head of its own; the columns are features that nothing moves, so that is all it is.

    Beside it one head for all hospitals together, which shares everything. Five folds, the same for both.
    """
    from _domains import TABLES

    from headstart import solvers
    from headstart.data.labels import joined
    from headstart.probing import fit
    from headstart.tasks.classification import Classification
    from headstart.tasks.multitask import MultiTask

    tables = TABLES["heart"]()
    names = list(tables)
    vectors = np.concatenate([table[0] for table in tables.values()])
    truth = np.concatenate([table[1] for table in tables.values()])
    place = np.concatenate([np.full(len(table[0]), i) for i, table in enumerate(tables.values())])
    labels = [joined({name: str(t) if i == p else None for i, name in enumerate(names)}) for t, p in zip(truth, place, strict=True)]
    right = {"a head a hospital": np.zeros(len(truth)), "one head for all": np.zeros(len(truth)),
             "the commoner answer": np.zeros(len(truth))}  # fmt: skip
    for seed in options.seeds[: 1 if options.quick else None]:
        folds = solvers.fold_numbers(place * 2 + truth, seed, None)
        assert folds is not None
        for fold in np.unique(folds):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            train = [labels[i] for i in inside]
            several = MultiTask.learn(train, ",".join(f"{name}=classification" for name in names))
            head = fit(several, vectors[inside], several.encode(train), seed=seed).head
            said = several.parts(answers(several, head, vectors[outside]))
            one = Classification.learn([str(t) for t in truth[inside]])
            pooled = answers(one, fit(one, vectors[inside], truth[inside], seed=seed).head, vectors[outside])
            for row, i in enumerate(outside):
                own = said[names[place[i]]][row].argmax()
                usual = np.bincount(truth[inside][place[inside] == place[i]], minlength=2).argmax()
                for name, answer in zip(right, (own, pooled[row].argmax(), usual), strict=True):
                    right[name][i] += (answer == truth[i]) / len(options.seeds[: 1 if options.quick else None])
    return [{"heads": name, **{names[i]: float(some[place == i].mean()) for i in range(len(names))}, "all": float(some.mean())}
            for name, some in right.items()]  # fmt: skip


def answers(task: Any, head: Any, vectors: np.ndarray) -> np.ndarray:
    import torch

    from headstart.models.backbone import Features

    with torch.inference_mode():
        found: np.ndarray = task.probabilities(head(Features(torch.from_numpy(np.asarray(vectors, np.float32)))))
    return found


if __name__ == "__main__":
    main(
        "multitask",
        __doc__,
        measure,
        lambda parser: (
            parser.add_argument("--seeds", type=numbers, default=[0, 1, 2]),
            parser.add_argument("--parts", default="mobilenet,embedded,digits,texts,heart"),
            parser.add_argument("--ways", default=WAYS),
            parser.add_argument("--adapters", type=numbers, default=[16], help="Widths, beside the first way."),
            parser.add_argument("--epochs", type=int, default=0, help="Instead of those of each part."),
        ),
    )
