"""rank: which pretrained model suits the data, by evidence that grows for those that stay in the race.

Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): all candidates are judged on a small part of the
training samples; the better half, and who cannot be told from the best, are judged on more. All features come from the one
feature cache. A candidate that fails is shown with its reason, and the others go on. Where the model is to be fine-tuned, the best of its
stages counts beside its last features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from headstart import models as zoo
from headstart.approaches import check
from headstart.approaches.finetune import FineTune
from headstart.data import Dataset, Split
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, joined, scan
from headstart.data.split import split as split_data
from headstart.errors import ConfigError, DataError, Incompatible, ModelError, reason
from headstart.features.extract import extract
from headstart.features.table import FeatureTable, Origin
from headstart.metrics import paired
from headstart.models import catalog
from headstart.models.backbone import Backbone
from headstart.progress import say, track
from headstart.ranking import domain, prior, stages
from headstart.ranking.evidence import Evidence, measured, scored
from headstart.ranking.folds import nested
from headstart.ranking.result import FINETUNE_PASSES, Candidate, Failure, Ranking
from headstart.store import Store
from headstart.tasks._kinds import only_classes

FIRST = 150  # samples of the first part; with many classes 5 times their number
GROWTH = 2.5  # each part is so many times as large as the one before
MOST = 2000  # samples of the last part; with many classes 5 times their number, up to 4,000
AHEAD = 0.75  # at most this share of the candidates goes on, however many cannot be told from the best
SEARCHED = 12  # candidates of a search
TIMED = 8  # samples whose computation is timed

Model = str | Backbone | Callable[[], Backbone]


@dataclass
class _Runner:
    """One candidate in the race."""

    name: str
    model: Model
    evidence: dict[int, Evidence]  # by the number of samples
    table: FeatureTable | None = None
    known: prior.Known | None = None
    milliseconds: float = 0.0
    similarity: float | None = None
    stage: stages.Best | None = None  # of the last part; where the model is to be fine-tuned and its stages can be watched
    unseen: str = ""  # why they cannot
    fast: bool = True  # until bfloat16 was found to differ

    @property
    def last(self) -> Evidence:
        return self.evidence[max(self.evidence)]


def rank(
    data: Any,
    models: Sequence[str | Backbone] | Mapping[str, Model] = (),
    *,
    search: str = "",
    seed: int = 0,
    shots: int | None = None,
    store: Store | None = None,
    on_bad: str = "error",
    approach: Literal["probe", "finetune"] = "probe",
    **reading: str | None,
) -> Ranking:
    """Which of the models suits the data best, judged on the training samples alone.

    The samples are those that ``fit`` with the same seed trains on: nothing is chosen on samples of the test.

    Args:
        data: what ``hs.read`` takes, a Dataset, or a Split, whose training part is used as it is.
        models: references or backbones; or names with what they stand for, where a function builds the backbone.
            Without any, and without ``search``: those of the catalogue that are on this machine.
        search: words; the models of the catalogue and of timm's list that they find are candidates, too.
        seed: of the split, the parts and the folds.
        shots: training samples a class, None for all.
        store: the feature cache; by default the usual one.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        approach: what the model is wanted for. For "finetune" a linear probe is tried on the output of every stage, and the best stage
            counts by a third, where it is better than the last features: fine-tuning can bring to the end what is known before it.
            Models that cannot be fine-tuned fail.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``hs.read``.

    Raises:
        ConfigError: there are no candidates, or no such approach.
        DataError: there are no labels, or fewer than two classes.
        Incompatible: the labels are no classes.
        ModelError: every candidate failed; the message says why each did.
    """
    begun = time.perf_counter()
    if approach not in ("probe", "finetune"):
        raise ConfigError(f"approach is {approach!r}; models are ranked for 'probe' or for 'finetune'.")
    store = store or Store()
    train, notes = training_part(data, seed, shots, store, on_bad, reading)
    named = _named(models)
    if search or not named:
        named |= {reference: reference for reference in found_models(train.modality, search)}
    labels = np.unique(np.asarray(train.labels, dtype=str), return_inverse=True)[1]
    units = _units(train, store)
    order = nested(labels, seed)
    racing = [_Runner(name, model, {}) for name, model in named.items()]
    failures: list[Failure] = []
    done: list[_Runner] = []
    sizes = parts(len(train), int(labels.max()) + 1, len(racing))
    for number, size in enumerate(sizes):
        rows = order[:size]
        left = []
        started = time.perf_counter()
        for runner in track(racing, f"ranking on {size} samples", len(racing)):
            try:
                _judge(runner, train.subset(rows), units[rows], seed, store, approach)
                left.append(runner)
            except Exception as problem:  # whatever breaks one model, the others go on
                if isinstance(problem, DataError):
                    raise
                failures.append(Failure(runner.name, reason(problem)))
                say(f"{runner.name} is left out: {reason(problem)}")
        if not left:
            if not done:
                said = "; ".join(f"{entry.name}: {entry.reason}" for entry in failures)
                raise ModelError(f"None of the {len(named)} candidates could be judged. {said}")
            break
        racing, dropped = ahead(left) if number + 1 < len(sizes) else (left, [])
        done += dropped
        if number + 1 < len(sizes):
            seconds = sum(r.milliseconds for r in racing) * (sizes[-1] - size) / 1000
            say(f"{len(left)} models on {size} samples took {time.perf_counter() - started:.0f} s; {len(racing)} go on to "
                f"{sizes[number + 1]} samples; the rest takes about {seconds:.0f} s")  # fmt: skip
    finished = [(runner, runner in racing) for runner in (*racing, *done)]
    for runner, survived in track(finished, "scores", len(finished)):
        assert runner.table is not None
        size = max(runner.evidence)
        runner.evidence[size] = scored(runner.last, runner.table, costly=survived)
    ordered = _ordered(racing) + [r for size in sorted({max(d.evidence) for d in done}, reverse=True)
                                  for r in _ordered([d for d in done if max(d.evidence) == size])]  # fmt: skip
    notes += [f"{r.name} is judged by its last features alone: {r.unseen}" for r in ordered if r.unseen]
    candidates = _candidates(ordered, len(train))
    return Ranking(
        train.origin, train.modality, len(train), int(labels.max()) + 1, tuple(candidates), tuple(failures),
        time.perf_counter() - begun, tuple(notes), seed, approach,
    )  # fmt: skip


def training_part(
    data: Any, seed: int, shots: int | None, store: Store, on_bad: str, reading: Mapping[str, str | None]
) -> tuple[Dataset, list[str]]:
    """The samples that ``fit`` with this seed trains on, and what must be known of them.

    Raises:
        DataError: there are no labels, or fewer than two classes.
        Incompatible: the labels are no classes.
    """
    if isinstance(data, Split):
        if data.task != "classification":
            raise Incompatible(f"Models are ranked for classification, and the task is {data.task}.")
        if not data.train.labels:
            raise DataError("The training samples carry no labels, so nothing tells good models from bad ones; add labels.")
        if len(data.train.classes) < 2:
            raise DataError("The training samples are all of one class; at least two are needed to tell models apart.")
        return data.train, list(data.notes)
    stated = {name: value for name, value in reading.items() if value is not None}
    if isinstance(data, Dataset) and stated:
        raise ConfigError(f"{', '.join(stated)} tell how to read a file; a Dataset is read")
    dataset = data if isinstance(data, Dataset) else read_data(data, **stated)
    only_classes(dataset.labels or (), "Ranking models")
    found = scan(dataset, store)
    whole = drop_unreadable(dataset, found, on_bad)
    found = found if len(whole) == len(dataset) else scan(whole, store)
    split = split_data(whole, seed=seed, shots=shots, clusters=clusters(found))
    notes = [f"judged on the {len(split.train)} training samples of headstart fit --seed {seed}; its {len(split.test)} test "
             "samples were not looked at", *whole.notes, *split.notes]  # fmt: skip
    return split.train, list(dict.fromkeys(notes))


def found_models(modality: str, search: str) -> list[str]:
    """References of the catalogue: what a search finds, those on this machine first; without one, what is on this machine.

    Raises:
        ConfigError: there are none.
    """
    if modality not in catalog.MODALITIES:
        raise ConfigError(f"There are no pretrained models for samples of the kind {modality!r} to search among.")
    found = [entry.reference for entry in catalog.find(catalog.Wanted(modality, search=search, here=not search))]
    if modality == "audio" and not search:
        found.append("embedded:sound")
    if not found:
        raise ConfigError(
            f"There are no candidates: {f'nothing for {modality} fits {search!r}' if search else f'no model for {modality} is on this machine'}. "
            f"headstart models --modality {modality} lists what there is; name some, or search for other words."
        )
    found.sort(key=lambda reference: not catalog.here(reference))
    if len(found) > SEARCHED:
        say(f"{len(found)} models were found; the first {SEARCHED} of them are judged: search for more words to choose")
    return found[:SEARCHED]


def parts(samples: int, num_classes: int, num_models: int) -> list[int]:
    """How many samples each part of the race has; one or two models are judged on the last part at once."""
    last = min(samples, max(MOST, min(5 * num_classes, 2 * MOST)))
    size = float(max(FIRST, 5 * num_classes))
    found: list[int] = []
    while num_models > 2 and size * 1.2 < last:
        found.append(int(size))
        size *= GROWTH
    return [*found, last]


def ahead(runners: list[_Runner]) -> tuple[list[_Runner], list[_Runner]]:
    """Who goes on: the better half, and those that cannot be told from the best, up to ``AHEAD`` of them; and who not."""
    ordered = _ordered(runners)
    half = -(-len(ordered) // 2)
    best = ordered[0]
    tied = sum(_noise(best, other) for other in ordered[half:])
    count = max(2, min(half + tied, int(AHEAD * len(ordered))))
    return ordered[:count], ordered[count:]


def _named(models: Sequence[str | Backbone] | Mapping[str, Model]) -> dict[str, Model]:
    if isinstance(models, (str, Backbone)):
        models = [models]
    if isinstance(models, Mapping):
        return dict(models)
    found: dict[str, Model] = {}
    for model in models:
        name = model if isinstance(model, str) else model.reference
        if name in found and not isinstance(model, str):
            name = next(f"{name} ({i})" for i in range(2, len(models) + 2) if f"{name} ({i})" not in found)
        found[name] = model
    return found


def _units(train: Dataset, store: Store) -> np.ndarray:
    """What must not be on both sides of a fold: groups, and copies."""
    alike = clusters(scan(train, store))
    if train.groups is None:
        return alike
    groups = np.unique(np.asarray(train.groups, dtype=str), return_inverse=True)[1]
    return joined(groups, np.stack([np.arange(len(alike)), alike], axis=1))


def _loaded(model: Model) -> Backbone:
    made = zoo.load(model) if isinstance(model, str) else model
    return made if isinstance(made, Backbone) else made()


def _judge(runner: _Runner, part: Dataset, units: np.ndarray, seed: int, store: Store, approach: str) -> None:
    """Load the candidate, compute what the cache lacks, measure. The network is not held any longer than that."""
    model = runner.model
    reference = model if isinstance(model, str) else None
    backbone = _loaded(model)
    if backbone.card.modality != part.modality:
        raise Incompatible(
            f"it takes samples of the kind {backbone.card.modality!r}, and the data holds samples of the kind "
            f"{part.modality!r}. Choose among: headstart models --modality {part.modality}"
        )
    if approach == "finetune":
        check(FineTune(), backbone)
    quick = None
    if runner.known is None:
        runner.known, quick = prior.known(backbone, reference), backbone.eval().fast()
        runner.milliseconds = milliseconds(quick, part)
        runner.similarity = domain.similarity(backbone, part, seed)
    table, runner.stage = _seen(runner, backbone, part, units, seed, store) if approach == "finetune" else (extract(backbone, part, store, quick=quick), None)
    origin = Origin(runner.known.parameters, runner.known.published, source_probabilities(backbone, table.vectors))
    runner.table = replace(table, origin=origin)
    evidence = measured(runner.table, units, seed)
    runner.evidence[len(part)] = replace(evidence, right=stages.weighed(evidence, runner.stage)) if runner.stage else evidence


def _seen(
    runner: _Runner, backbone: Backbone, part: Dataset, units: np.ndarray, seed: int, store: Store
) -> tuple[FeatureTable, stages.Best | None]:
    """The features and the best stage; without that, where stages cannot be watched, which is kept to be said."""
    if not runner.unseen:
        try:
            table, best = stages.table(backbone, part, units, seed, store, fast=runner.fast)
            runner.fast = table.precision != "float32"
            return table, best
        except Incompatible as problem:
            runner.unseen = str(problem)
    return extract(backbone, part, store), None


def milliseconds(quick: Backbone, part: Dataset) -> float:
    """Of one sample's features by a fast backbone, decoding included: by the clock on a few samples, whatever the cache holds."""
    rows = list(range(min(TIMED, len(part))))
    with torch.inference_mode():
        quick(quick.prepare(domain.decoded(part, rows[:1])))  # warms up
        begun = time.perf_counter()
        quick(quick.prepare(domain.decoded(part, rows)))
    return 1000 * (time.perf_counter() - begun) / len(rows)


def source_probabilities(backbone: Backbone, vectors: np.ndarray) -> np.ndarray | None:
    """(n, source classes) what the checkpoint's own classifier says, from features (n, dim); None where it has none."""
    if backbone.source_head is None:
        return None
    weight, bias = (part.double().numpy() for part in backbone.source_head)
    logits = vectors @ weight.T + bias
    logits -= logits.max(1, keepdims=True)
    found = np.exp(logits)
    return found / found.sum(1, keepdims=True)


def _estimates(runners: list[_Runner]) -> tuple[np.ndarray, np.ndarray]:
    """In log odds, with standard deviations, of models judged on the same samples."""
    facts = [runner.known for runner in runners if runner.known is not None]
    right = np.array([runner.last.right.mean() for runner in runners])
    samples = np.array([runner.last.samples for runner in runners], dtype=float)
    return prior.estimated(right, samples, prior.offsets(facts))


def _ordered(runners: list[_Runner]) -> list[_Runner]:
    if not runners:
        return []
    middle, _ = _estimates(runners)
    return [runners[i] for i in np.argsort(-middle, kind="stable")]


def _difference(one: _Runner, other: _Runner) -> tuple[float, tuple[float, float]]:
    """How much more often the one is right, on the largest part that both were judged on, and its interval."""
    size = max(set(one.evidence) & set(other.evidence))
    gaps = one.evidence[size].right - other.evidence[size].right
    return float(gaps.mean()), paired.interval(gaps)


def _noise(one: _Runner, other: _Runner) -> bool:
    """Whether the other one, which stands behind, is not clearly worse."""
    return not _difference(one, other)[1][0] > 0


def _candidates(ordered: list[_Runner], num_samples: int) -> list[Candidate]:
    """The table's rows, best first. A group begins with the first model that is clearly worse than the group's first."""
    middle, deviation = _estimates(ordered)
    found, head, group = [], ordered[0], 0
    for place, runner in enumerate(ordered):
        if runner is not head and not _noise(head, runner):
            head, group = runner, group + 1
        gap, interval = _difference(ordered[0], runner)
        evidence, facts = runner.last, runner.known
        assert facts is not None
        low, high = (prior.share(middle[place] + side * 1.96 * deviation[place]) for side in (-1, 1))
        found.append(
            Candidate(
                model=runner.name, place=place + 1, group=group, samples=evidence.samples,
                expected=prior.share(middle[place]), expected_interval=(low, high),
                stage=runner.stage.stage if runner.stage else "", stage_accuracy=runner.stage.accuracy if runner.stage else None,
                behind=gap, behind_interval=interval if np.isfinite(interval[0]) else None,
                scores=evidence.scores, intervals=evidence.intervals, silent=evidence.silent,
                similarity=runner.similarity, milliseconds=runner.milliseconds, parameters=facts.parameters,
                published=facts.published, license=facts.license, popularity=facts.popularity,
                pretrained_on=facts.pretrained_on,
                seconds_to_probe=runner.milliseconds * num_samples / 1000,
                seconds_to_finetune=FINETUNE_PASSES * runner.milliseconds * num_samples / 1000,
            )
        )  # fmt: skip
    return found
