"""The guard: source-only is kept unless the evidence says better, and says so with one voice.

Reverse validation has to be better beyond chance, over the same source rows, and importance-weighted validation, deep
embedded validation and agreement must not be worse beyond chance, over the same rows. Each can be fooled, but not all in the same way: what lost
the classes is seen on the weighted source and on the way back, what moved nothing useful agrees less with itself on the
target.

The two that weigh source rows suppose that some of these rows stand wherever target rows stand, else there is nothing to weigh.
Where a classifier tells nearly all rows apart there are none: they then ask a classifier of the target about rows that are not
from there, speak against whatever moves the source onto the target, and let pass what stays near the source. Deep embedded
validation supposes besides that the weights' mean is 1 but for noise, and in many dimensions estimated weights can have a mean of 4;
its correction then is larger than anything it could show. Where what a criterion supposes does not hold, it is told, and has no vote.

Entropy and soft neighbourhood density are told but have no vote: they measure how sure a classifier sounds, and
against a source-only classifier of another penalty they contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart import plugins
from headstart.metrics.paired import interval
from headstart.selection import Criterion, Evidence, merits_of, scored

VOTES = ("reverse", "importance", "deep_embedded", "agreement")
WEIGHTED = ("importance", "deep_embedded")  # those that need domains that overlap
NOISE = 2.0  # standard errors by which the weights' mean may miss 1
FAR = 1.8  # proxy A-distance, which ends at 2: nineteen of twenty rows are told apart
SURE = 0.95  # confidence of the interval that has to leave out zero


@dataclass(frozen=True)
class Decision:
    """The name of the candidate that is kept, and why, in words."""

    name: str
    reasons: tuple[str, ...]


def scores(evidence: Evidence) -> dict[str, float]:
    """Every criterion's score, by its name."""
    return {name: scored(_criterion(name), evidence) for name in plugins.names("selection")}


def decide(candidates: dict[str, Evidence], distance: float, seed: int = 0) -> Decision:
    """Which candidate is kept.

    Args:
        candidates: evidence by name; the first is the bar, the classifier of the source alone.
        distance: proxy A-distance of the domains, 0 to 2.
    """
    bar, *others = candidates
    mute, why = _mute(candidates[bar].weights, distance)
    votes, silent = [rule for rule in VOTES if rule not in mute], (why,) if why else ()
    gains, against = {}, {}
    for name in others:
        better = _gains("reverse", candidates[bar], candidates[name])
        gains[name] = (float(better.mean()), interval(better, confidence=SURE, seed=seed))
        against[name] = [rule for rule in votes if _worse(rule, candidates[bar], candidates[name], seed)]
    sound = [name for name in others if gains[name][1][0] > 0 and not against[name]]
    if sound:
        best = max(sound, key=lambda name: gains[name][0])
        gain, (low, high) = gains[best]
        return Decision(best, (
            f"{best} is kept: gone to the target and back it gets {100 * gain:+.1f} points more source samples right than "
            f"{bar} [{100 * low:.1f}, {100 * high:.1f}], and {_listed(votes[1:])} not contradict",
            *silent, *_others(others, best, gains, against),
        ))  # fmt: skip
    if not others:
        return Decision(bar, (f"{bar} is kept: nothing else could be tried",))
    nearest = max(others, key=lambda name: (-len(against[name]), gains[name][0]))
    return Decision(bar, (
        f"{bar} is kept: no candidate is better by all that vote; the nearest, {nearest}: {_why(nearest, gains, against)}",
        *silent, *_others(others, nearest, gains, against),
    ))  # fmt: skip


def _mute(weights: np.ndarray, distance: float) -> tuple[tuple[str, ...], str]:
    """The criteria without a vote, as what they suppose does not hold, and why, in words."""
    if distance >= FAR:
        return WEIGHTED, (
            f"{' and '.join(WEIGHTED)} have no vote: hardly any source sample looks like one of the target (proxy A-distance "
            f"{distance:.2f} of 2), and they judge by those that do")  # fmt: skip
    noise = NOISE * float(weights.std()) / np.sqrt(len(weights)) + 1e-6
    if abs(weights.mean() - 1) > noise:
        return ("deep_embedded",), (
            f"deep_embedded has no vote: it supposes that the weights of the source samples have a mean of 1, but for noise of "
            f"{noise:.3f}, and it is {weights.mean():.3f}")  # fmt: skip
    return (), ""


def _worse(rule: str, bar: Evidence, other: Evidence, seed: int) -> bool:
    """Whether the criterion speaks against the other one beyond chance."""
    return interval(_gains(rule, bar, other), confidence=SURE, seed=seed)[1] < 0


def _gains(rule: str, bar: Evidence, other: Evidence) -> np.ndarray:
    """(n,) or (m,) by how much each row speaks more for the other one than for the bar."""
    criterion = _criterion(rule)
    return merits_of(criterion, other) - merits_of(criterion, bar)


def _criterion(name: str) -> Criterion:
    kind: type[Criterion] = plugins.variant("selection", name, Criterion)
    return kind()


def _listed(votes: list[str]) -> str:
    """a does, or: a, b and c do"""
    return f"{', '.join(votes[:-1])} and {votes[-1]} do" if len(votes) > 1 else f"{votes[0]} does"


def _why(name: str, gains: dict[str, tuple[float, tuple[float, float]]], against: dict[str, list[str]]) -> str:
    gain, (low, high) = gains[name]
    said = f"there and back {100 * gain:+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{said}, against it: {', '.join(against[name])}" if against[name] else said


def _others(
    names: list[str], told: str, gains: dict[str, tuple[float, tuple[float, float]]], against: dict[str, list[str]]
) -> tuple[str, ...]:
    rest = [f"{name} ({_why(name, gains, against)})" for name in names if name != told]
    return (f"also tried: {'; '.join(rest)}",) if rest else ()
