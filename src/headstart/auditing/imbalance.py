"""Classes with far fewer samples than others, with too few to learn from, or missing from a split."""

from __future__ import annotations

from collections import Counter

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import nouns

ORDER = 60
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = True
RATIO = 10  # the commonest class to the rarest, from which on accuracy alone misleads
FEW = 5  # samples, below which a class can hardly be learned and never be tested


def check(evidence: Evidence) -> list[Finding] | str:
    dataset, labels = evidence.dataset, evidence.labels
    if labels is None:
        return evidence.no_classes
    counts = dict(sorted(Counter(labels).items()))
    if len(counts) < 2:
        message = f"There is one class only, {next(iter(counts))!r}, so there is nothing to tell apart."
        return [Finding("warning", "imbalance", message, evidence={"counts": counts}, fix="Add another class.")]
    findings = []
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] >= RATIO * counts[least]:
        message = (f"{most!r} has {counts[most]} {nouns(dataset.modality)} and {least!r} has {counts[least]}: always "
                   f"answering {most!r} would be right {100 * counts[most] / len(dataset):.0f} % of the time.")  # fmt: skip
        findings.append(Finding("warning", "imbalance", message, evidence={"counts": counts},
                                fix="Read the recall of each class, not the accuracy; add samples of the rare ones."))  # fmt: skip
    rare = [name for name, count in counts.items() if count < FEW]
    if rare:
        listed = ", ".join(f"{name!r} ({counts[name]})" for name in rare[:8]) + (" ..." if rare[8:] else "")
        samples = tuple(Suspect(i, f"of {label!r} there are {counts[label]}")
                        for i, label in enumerate(labels) if counts[label] < FEW)  # fmt: skip
        message = f"{len(rare)} {'class has' if len(rare) == 1 else 'classes have'} fewer than {FEW} {nouns(dataset.modality)}: {listed}."
        findings.append(Finding("warning", "imbalance", message, samples, {"rare": rare},
                                "Add samples, or leave these classes out."))  # fmt: skip
    return findings + _missing(evidence)


def _missing(evidence: Evidence) -> list[Finding]:
    """Classes that a declared split lacks."""
    dataset, labels = evidence.dataset, evidence.labels
    if dataset.declared is None or labels is None:
        return []
    classes = sorted(set(labels))
    tally = {side: Counter[str]() for side in dict.fromkeys(dataset.declared)}
    for side, label in zip(dataset.declared, labels, strict=True):
        tally[side][label] += 1
    findings = []
    for side, counts in tally.items():
        absent = [name for name in classes if not counts[name]]
        if absent:
            listed = ", ".join(map(repr, absent[:8])) + (" ..." if absent[8:] else "")
            message = f"The {side} split has no sample of {len(absent)} of {len(classes)} classes: {listed}."
            findings.append(Finding("warning", "imbalance", message, evidence={"split": side, "absent": absent},
                                    fix="Split again, class by class."))  # fmt: skip
    return findings
