"""Labels that are one class written in several ways: case, white space, punctuation, the order of words."""

from __future__ import annotations

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._spelling import alike, are_letters, spelling, words

ORDER = 50
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = True


def check(evidence: Evidence) -> list[Finding] | str:
    """Warnings: each spelling becomes a class of its own. Only what is surely one class is repaired by ``--clean``: not the
    order of words and not single letters, which may well be two classes."""
    if evidence.labels is None:
        return evidence.no_classes
    counts = evidence.dataset.counts()
    spelled = alike(counts, spelling)
    known = {name for group in spelled for name in group}
    reordered = [group for group in alike(counts, words) if not set(group) <= known]
    kinds = (
        ([group for group in spelled if not are_letters(group)], True, "case, white space or punctuation"),
        ([group for group in spelled if are_letters(group)], False, "case"),
        (reordered, False, "the order of their words"),
    )
    return [_finding(evidence, counts, groups, sure, what) for groups, sure, what in kinds if groups]


def _finding(evidence: Evidence, counts: dict[str, int], groups: list[list[str]], sure: bool, what: str) -> Finding:
    best = {name: group[0] for group in groups for name in group[1:]}
    samples = tuple(
        Suspect(i, f"{label!r} is elsewhere written {best[label]!r}", change="relabel" if sure else "",
                value=best[label] if sure else None)
        for i, label in enumerate(evidence.dataset.labels or ())
        if label in best
    )  # fmt: skip
    listed = "; ".join(" = ".join(f"{name!r} ({counts[name]})" for name in group) for group in groups[:5])
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    message = f"{len(best)} {'label differs' if len(best) == 1 else 'labels differ'} from another only in {what}: {listed}{more}."
    fix = "Give one class one name (--clean takes the commonest)." if sure else "Give one class one name, if it is one."
    return Finding("warning", "labels", message, samples, {"groups": groups}, fix)
