"""``auto`` for a target: try the candidates of the grid, weigh the evidence, keep source-only unless something is better."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headstart import progress
from headstart.adaptation import few, guard, signs
from headstart.adaptation.gathering import gathered, halved, importance_of
from headstart.adaptation.grid import BAR, Entry, grid
from headstart.approaches._adaptation import Adaptation
from headstart.approaches._rows import Pair, classifier, scaling
from headstart.approaches.msda import Msda
from headstart.errors import HeadstartError
from headstart.progress import say, track
from headstart.selection import Evidence
from headstart.shift import proxy_a_distance
from headstart.tasks import Head
from headstart.training.run import Run


@dataclass(frozen=True)
class Choice:
    """What ``auto`` decided.

    Attributes:
        name: of the candidate that is kept; "source_only" if none was better.
        approach: the same, with its settings.
        head: of raw target rows.
        reasons: in words, why.
        warnings: what should make the user careful about this pair of domains.
        table: one entry a candidate: its name, its criteria by name, the seconds it took.
    """

    name: str
    approach: Adaptation
    head: Head
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    table: tuple[dict[str, object], ...]


@dataclass(frozen=True)
class _Tried:
    entry: Entry
    evidence: Evidence
    seconds: float


def choose(pair: Pair, run: Run, classes: tuple[str, ...] | None = None) -> Choice:
    """Decide for a pair of domains; the same pair and seed give the same choice.

    Args:
        pair: rows of both domains; of the target no label is there.
        classes: their names, for messages.

    Raises:
        DataError: the rows of a domain cannot be used.
    """
    names = classes or tuple(str(number) for number in range(pair.num_classes))
    if pair.known is not None:
        return _by_labels(pair, run, names)
    if not halved(pair):
        why = ("source_only is kept: no two classes have two training samples each in the source, so it cannot be halved to "
               "compare anything; give a few samples of each class")  # fmt: skip
        with progress.hushed():
            return Choice(BAR.name, BAR.approach, BAR.approach.learn(pair, run), (why,), (), ())
    weights = importance_of(pair)
    tried: list[_Tried] = []
    left_out: list[str] = []
    for entry in track(grid(pair), "trying candidates"):
        if tried and run.seconds_left() <= 0:
            left_out.append(entry.name)
            continue
        begun = time.perf_counter()
        try:
            prepared = ready(entry.approach, pair)
            with progress.hushed():
                evidence = gathered(prepared.approach, prepared.pair, weights, run)
        except HeadstartError as problem:
            if entry is BAR:
                raise
            say(f"{entry.name} was left out: {problem}")
            continue
        tried.append(_Tried(entry, evidence, time.perf_counter() - begun))
    distance = proxy_a_distance(pair.source, pair.target)
    decision = guard.decide({one.entry.name: one.evidence for one in tried}, distance)
    chosen = next(one for one in tried if one.entry.name == decision.name)
    prepared = ready(chosen.entry.approach, pair)
    with progress.hushed():
        head = prepared.finish(prepared.approach.learn(prepared.pair, run))
    reasons = list(decision.reasons)
    if left_out:
        reasons.append(f"no time was left to try {', '.join(left_out)} (--budget sets more)")
    table = tuple({"name": one.entry.name, **guard.scores(one.evidence), "seconds": one.seconds} for one in tried)
    warnings = signs.warnings(pair, tried[0].evidence, chosen.evidence, distance, names)
    return Choice(decision.name, chosen.entry.approach, head, tuple(reasons), warnings, table)


def _by_labels(pair: Pair, run: Run, names: tuple[str, ...]) -> Choice:
    """With labelled target rows to learn from: they decide."""
    assert pair.known_labels is not None
    logits: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    entries: dict[str, Entry] = {}
    for entry in track(few.candidates(pair), "trying candidates"):
        if logits and run.seconds_left() <= 0:
            break
        begun = time.perf_counter()
        try:
            with progress.hushed():
                logits[entry.name] = few.held_out(entry.approach, pair, run)
        except HeadstartError as problem:
            if entry is BAR:
                raise
            say(f"{entry.name} was left out: {problem}")
            continue
        seconds[entry.name], entries[entry.name] = time.perf_counter() - begun, entry
    found = few.decide(logits, pair.known_labels, run.seed)
    approach = entries[found.name].approach
    with progress.hushed():
        head = approach.learn(pair, run)
        warnings: tuple[str, ...] = ()
        if halved(pair):
            evidence = gathered(BAR.approach, pair, np.ones(len(pair.labels)), run)  # nothing here looks at weights
            warnings = signs.warnings(pair, evidence, None, proxy_a_distance(pair.source, pair.target), names)
    table = tuple({"name": name, "accuracy": found.accuracies[name], "seconds": seconds[name]} for name in logits)
    return Choice(found.name, approach, head, found.reasons, warnings, table)


@dataclass(frozen=True)
class Ready:
    """An approach on the rows that it works with, and what makes its head one of raw rows."""

    approach: Adaptation
    pair: Pair
    finish: Callable[[Head], Head]


def ready(approach: Adaptation, pair: Pair) -> Ready:
    """What needs no label is done once, and the penalty is chosen once, so that candidates differ by their method only."""
    if isinstance(approach, Msda):
        denoised = approach.denoise(pair)
        return Ready(approach.following(), _with_penalty(denoised.pair), denoised.finish)
    return Ready(approach, _with_penalty(pair), lambda head: head)


def _with_penalty(pair: Pair) -> Pair:
    rows = scaling(pair.source, together=pair.together)(pair.source)
    return replace(pair, penalty=classifier(rows, pair.labels, pair.num_classes).penalty)
