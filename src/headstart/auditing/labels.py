"""Labels that are one class written in several ways: case, white space, punctuation, the order of words."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable

from headstart.auditing import Evidence, Finding, Suspect

ORDER = 50
NEEDS: frozenset[str] = frozenset()
STOPS_FIT = True


def check(evidence: Evidence) -> list[Finding] | str:
    """An error for spelling, since each spelling becomes a class of its own in silence; a warning for word order."""
    if evidence.dataset.labels is None:
        return "the data has no labels"
    findings, seen = [], set[str]()
    for form, severity, what in ((_spelling, "error", "case, white space or punctuation"), (_words, "warning", "order")):
        groups = alike(evidence.dataset.counts(), form)
        groups = [group for group in groups if not set(group) <= seen]
        seen |= {name for group in groups for name in group}
        # 'a' and 'A' may well be two classes of handwritten letters
        letters = all(len(name) == 1 for group in groups for name in group)
        if groups:
            findings.append(_finding(evidence, groups, "warning" if letters else severity, what))
    return findings


def alike(counts: dict[str, int], form: Callable[[str], object]) -> list[list[str]]:
    """Groups of two or more labels of one form, the commonest spelling of each first."""
    groups = defaultdict(list)
    for name in counts:
        groups[form(name)].append(name)
    return [sorted(names, key=lambda name: (-counts[name], name)) for names in groups.values() if names[1:]]


def _spelling(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).casefold()
    joined = re.sub(r"[\s_\-]+", " ", plain).strip(" .,;:!?'\"")
    return joined or plain


def _words(label: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"\w+", _spelling(label)))) or (label,)


def _finding(evidence: Evidence, groups: list[list[str]], severity: str, what: str) -> Finding:
    counts, labels = evidence.dataset.counts(), evidence.dataset.labels or ()
    best = {name: group[0] for group in groups for name in group[1:]}
    samples = tuple(
        Suspect(i, f"{label!r} is elsewhere written {best[label]!r}", change="relabel", value=best[label])
        for i, label in enumerate(labels)
        if label in best
    )
    listed = "; ".join(" = ".join(f"{name!r} ({counts[name]})" for name in group) for group in groups[:5])
    more = f" and {len(groups) - 5} more" if len(groups) > 5 else ""
    message = f"{len(best)} labels differ from another only in {what}: {listed}{more}."
    if severity == "warning":
        samples = tuple(Suspect(s.index, s.why) for s in samples)  # not sure enough to be changed unasked
    return Finding(severity, "labels", message, samples, {"groups": groups},  # type: ignore[arg-type]
                   "Give one class one name (--clean takes the commonest).")  # fmt: skip
