"""Copies and near-copies on one side of the data, by content and by fingerprint; and copies with different labels."""

from __future__ import annotations

from collections import Counter

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._sides import members
from headstart.data.modalities import counted

ORDER = 70
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False


def check(evidence: Evidence) -> list[Finding] | str:
    dataset = evidence.dataset
    if len(dataset) < 2:
        return "there is one sample only"
    clusters = members(evidence.clusters)
    findings, conflicting = _contradictions(evidence, clusters)
    extra: list[Suspect] = []
    num_exact = 0
    for cluster in clusters:
        for side in dict.fromkeys(evidence.side(i) for i in cluster):
            kept, *others = [i for i in cluster if evidence.side(i) == side]
            for i in others:
                exact = any(evidence.scan.keys[i] == evidence.scan.keys[j] != b"" for j in cluster if j < i)
                num_exact += exact
                what = "an exact copy" if exact else "a near-copy"
                # copies that contradict each other are dealt with above
                change = "" if conflicting[kept] else "remove"
                extra.append(Suspect(i, f"{what} of {dataset.names[kept]}", kept, change))  # type: ignore[arg-type]
    if extra:
        message = (f"{counted(len(extra), dataset.modality)} of {len(dataset)} {'repeats' if len(extra) == 1 else 'repeat'} another one "
                   f"({num_exact} exactly, {len(extra) - num_exact} nearly).")  # fmt: skip
        findings.append(Finding("warning", "duplicates", message, tuple(extra), {"exact": num_exact, "near": len(extra) - num_exact},
                                "Keep one of each, or they count several times; --clean does."))  # fmt: skip
    return findings


def _contradictions(evidence: Evidence, clusters: list[list[int]]) -> tuple[list[Finding], np.ndarray]:
    """Copies with different labels; the majority of a cluster is believed, and where there is none all of it is left out."""
    dataset = evidence.dataset
    conflicting = np.zeros(len(dataset), bool)
    labels = evidence.labels
    if labels is None:
        return [], conflicting
    samples = []
    for cluster in clusters:
        tally = Counter(labels[i] for i in cluster)
        if len(tally) < 2:
            continue
        conflicting[cluster] = True
        [(best, most), *_] = tally.most_common()
        for i in cluster:
            label = labels[i]
            other = next(j for j in cluster if labels[j] != label)
            why = f"labelled {label!r}, and its copy {dataset.names[other]} {labels[other]!r}"
            if 2 * most > len(cluster):
                wrong = label != best
                samples.append(Suspect(i, why, other, "relabel" if wrong else "", best if wrong else None))
            else:
                samples.append(Suspect(i, why, other, "remove"))
    if not samples:
        return [], conflicting
    samples.sort(key=lambda s: not s.change)
    message = (
        f"{counted(len(samples), dataset.modality)} have copies with another label, so some of these labels are wrong."
    )
    return [Finding("warning", "duplicates", message, tuple(samples), {"share": len(samples) / len(dataset)},
                    "Decide which label is right; --clean believes the majority.")], conflicting  # fmt: skip
