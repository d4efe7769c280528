"""The measured facts that advice goes by. None of them needs a test label, and all features come from the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart import plugins
from headstart.approaches.finetune import FineTune, seconds_an_epoch
from headstart.data import Dataset, Split
from headstart.data.duplicates import clusters, scan
from headstart.errors import HeadstartError
from headstart.features.extract import extract
from headstart.metrics import paired
from headstart.models.backbone import Backbone
from headstart.progress import hushed
from headstart.ranking import domain
from headstart.ranking.evidence import REPEATS, measured, taken
from headstart.ranking.folds import folds, nested
from headstart.ranking.scorers import class_numbers, linear
from headstart.store import Store
from headstart.tasks import Task

MOST = 2000  # samples that are looked at
BUDGET = 600.0  # seconds, where none is given: what --approach auto may spend on fine-tuning


@dataclass(frozen=True)
class Facts:
    """What was measured on the training samples; None where it could not be.

    Attributes:
        samples, classes: of the training part.
        labels: training samples of the median class.
        commonest: the share of the commonest class.
        probe: cross-validated accuracy of a linear probe on the features; ``probe_low`` and ``probe_high`` its 95 % interval.
        raw: that of a linear model on raw values (pixels, word counts, spectra).
        signal: the lower end of the probe's interval, less the share of the commonest class.
        lead: probe less raw, on the same samples and folds; ``lead_low`` and ``lead_high`` its 95 % interval.
        curve: (samples, accuracy of the probe) at a quarter, half and all of the samples.
        doubling: what twice the labels would add to the probe, extrapolated from the curve; ``flatness`` is minus that.
        similarity: of the data to what the model was pretrained on, 0 to 1.
        shift: proxy A-distance between training inputs and those to be answered, 0 to 2; 0 where both were drawn from one pool.
        finetune_seconds: about what fine-tuning would take; None for a model without gradients.
        budget: seconds there are for it.
        affordable: budget over finetune_seconds; 0 without gradients.
        margin: by how much the model leads the next in the ranking, in accuracy; None without a ranking.
    """

    samples: int
    classes: int
    labels: float
    commonest: float
    probe: float
    probe_low: float
    probe_high: float
    raw: float | None
    signal: float
    lead: float | None
    lead_low: float | None
    lead_high: float | None
    curve: tuple[tuple[int, float], ...]
    doubling: float | None
    flatness: float | None
    similarity: float | None
    shift: float | None
    finetune_seconds: float | None
    budget: float
    affordable: float
    margin: float | None = None


def facts(
    backbone: Backbone, task: Task, split: Split, store: Store | None, *, seed: int = 0, budget: float | None = None
) -> Facts:
    """Measure them on the training part; of the samples to be answered only the inputs are looked at.

    Args:
        split: its ``unlabeled`` inputs, or where the data declares its own test side that side's, are those to be answered.
        budget: seconds for adapting, None for the usual.
    """
    whole = split.train
    labels = np.unique(np.asarray(whole.labels, dtype=str), return_inverse=True)[1]
    train = whole if len(whole) <= MOST else whole.subset(nested(labels, seed)[:MOST])
    table = extract(backbone, train, store)
    numbers, num_classes = class_numbers(table)
    units = None if train.groups is None else np.unique(np.asarray(train.groups, dtype=str), return_inverse=True)[1]
    units = clusters(scan(train, store)) if units is None else units
    evidence = measured(table, units, seed)
    probe = float(evidence.probe.mean())
    low, high = paired.interval(evidence.probe)
    if not np.isfinite(low):  # a handful of samples: the binomial's widest
        room = len(train) ** -0.5
        low, high = max(0.0, probe - room), min(1.0, probe + room)
    raw = raw_answers(train, numbers, num_classes, units, seed)
    lead = None if raw is None else evidence.probe - raw
    lead_low, lead_high = (None, None) if lead is None else paired.interval(lead)
    curve = []
    order = nested(numbers, seed)
    for part in (4, 2):
        rows = order[: len(order) // part]
        if len(rows) >= 2 * num_classes and len(np.unique(numbers[rows])) > 1:
            curve.append((len(rows), float(measured(taken(table, rows), units[rows], seed).probe.mean())))
    curve.append((len(train), probe))
    doubling = doubled([value for _, value in curve])
    seconds = None
    if "gradients" in backbone.provides:
        with hushed():
            seconds = FineTune().epochs * seconds_an_epoch(backbone, task, split)
    left = BUDGET if budget is None else budget
    counts = np.bincount(labels)
    return Facts(
        samples=len(whole), classes=num_classes, labels=float(np.median(counts)), commonest=float(counts.max() / len(labels)),
        probe=probe, probe_low=low, probe_high=high, raw=None if raw is None else float(raw.mean()),
        signal=low - float(counts.max() / len(labels)),
        lead=None if lead is None else float(lead.mean()), lead_low=_finite(lead_low), lead_high=_finite(lead_high),
        curve=tuple(curve), doubling=doubling, flatness=None if doubling is None else -doubling,
        similarity=domain.similarity(backbone, train, seed), shift=shift(backbone, split, table.vectors, store, seed),
        finetune_seconds=seconds, budget=left, affordable=0.0 if seconds is None else left / max(seconds, 1e-9),
    )  # fmt: skip


def doubled(accuracies: list[float]) -> float | None:
    """What the next doubling of labels adds, from accuracies at successive doublings; None with fewer than two.

    A power law: gains shrink by the same ratio each time (Cortes et al. 1993), here between a quarter and 1.
    """
    if len(accuracies) < 2:
        return None
    last = accuracies[-1] - accuracies[-2]
    ratio = 0.6
    if len(accuracies) > 2 and (before := accuracies[-2] - accuracies[-3]) > 1e-9:
        ratio = min(1.0, max(0.25, last / before))
    return max(0.0, min(1 - accuracies[-1], last * ratio))


def raw_answers(
    train: Dataset, numbers: np.ndarray, num_classes: int, units: np.ndarray, seed: int
) -> np.ndarray | None:
    """(n,) how often a cross-validated linear model on raw values is right of each sample; None where there is none."""
    if train.modality not in plugins.names("evaluation.raw"):
        return None
    few = train.subset(range(min(2, len(train))))
    matrix, _ = plugins.load("evaluation.raw", train.modality).matrices(train, few)
    x = np.asarray(matrix, np.float32)
    if not np.ptp(x, axis=0).any():
        return None
    splits = [folds(numbers, seed + repeat, units) for repeat in range(REPEATS)]
    return np.asarray((linear.predictions(x, numbers, num_classes, splits) == numbers).mean(0))


def shift(backbone: Backbone, split: Split, features: np.ndarray, store: Store | None, seed: int) -> float | None:
    """Between training inputs and those to be answered; a test side drawn from the same pool has none by construction."""
    from headstart.shift import proxy_a_distance

    target = split.unlabeled
    if target is None:
        if split.train.declared is None:
            return 0.0
        target = split.test.without_labels()
    if not len(target):
        return 0.0
    rows = np.random.default_rng(seed).permutation(len(target))[:500]
    try:
        return float(proxy_a_distance(features, extract(backbone, target.subset(rows), store).vectors, seed=seed))
    except HeadstartError:
        return None


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
