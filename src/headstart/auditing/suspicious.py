"""Labels that are probably wrong: confident learning on out-of-fold probabilities from the model's features."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._confident import joint, require, suspicious
from headstart.auditing._outside import folds_of, judged, probabilities
from headstart.data.modalities import counted
from headstart.errors import MissingExtra

ORDER = 120
NEEDS = frozenset({"features"})
BEFORE_FIT = False
CLEAR = 0.3  # by how much the other class must be more probable for --clean to act: hard samples are worth keeping
WEAK = 0.8  # share of labels that the model agrees with, below which its own mistakes are spoken of
PAIRS = 8  # confusions named in the evidence


def check(evidence: Evidence) -> list[Finding] | str:
    """Labels of a declared test or validation side are judged like the others, but --clean leaves them alone: to drop
    what the model finds hard would make its test result look better than it is."""
    dataset, rows = evidence.dataset, evidence.readable
    if evidence.labels is None:
        return evidence.no_classes
    try:
        require()
    except MissingExtra as problem:
        return str(problem)
    vectors = evidence.vectors
    if vectors is None:
        return "no sample can be read"
    if not np.ptp(vectors, axis=0).any():
        return "the features of all samples are equal, so they say nothing about labels"
    classes, codes = np.unique(np.array(evidence.labels, dtype=object)[rows].astype(str), return_inverse=True)
    folds = folds_of(codes, evidence.clusters[rows], evidence.seed)
    kept = judged(codes, folds)  # a class with one sample, copies aside, cannot be judged
    present, labels = np.unique(codes[kept], return_inverse=True)
    if len(present) < 2:
        return "it takes two classes with two samples each, copies aside"
    rows, classes = rows[kept], classes[present]
    outside = probabilities(vectors[kept], labels, len(classes), folds[kept], evidence.seed)
    found = suspicious(outside, labels)
    if not len(found):
        return []
    suspects = []
    for i in found:
        given, other = labels[i], int(outside[i].argmax())
        margin = float(outside[i, other] - outside[i, given])
        held = evidence.side(int(rows[i])) in ("valid", "test")
        suspects.append(
            Suspect(
                int(rows[i]), f"labelled {str(classes[given])!r} ({outside[i, given]:.2f}), looks like "
                f"{str(classes[other])!r} ({outside[i, other]:.2f})", change="" if held or margin < CLEAR else "remove",
                value=str(classes[other]), score=margin,
            )
        )  # fmt: skip
    table = joint(outside, labels)
    noise = float(1 - np.trace(table))
    message = (f"{counted(len(found), dataset.modality)} of {len(rows)} probably have a wrong label; in all about "
               f"{100 * noise:.1f} % of the labels are estimated to be wrong.")  # fmt: skip
    agreed = float((outside.argmax(axis=1) == labels).mean())
    if agreed < WEAK:
        message += (f" The model agrees with only {100 * agreed:.0f} % of the labels that it has not seen, so many of these may be "
                    "its own mistakes.")  # fmt: skip
    facts = {"noise": noise, "accuracy": agreed,
             "not judged": int((~kept).sum()), "confusions": _confusions(table, classes)}  # fmt: skip
    fix = "Look at them, the surest first; --clean leaves the clear cases out of training, and out of nothing else."
    return [Finding("warning", "suspicious", message, tuple(suspects), facts, fix)]


def _confusions(table: np.ndarray, classes: np.ndarray) -> list[dict[str, object]]:
    """The largest entries off the diagonal: given, probably true, share of all samples."""
    off = table - np.diag(np.diag(table))
    worst = np.argsort(-off, axis=None)[:PAIRS]
    pairs = [np.unravel_index(place, off.shape) for place in worst]
    return [
        {"given": str(classes[i]), "true": str(classes[j]), "share": float(off[i, j])}
        for i, j in pairs
        if off[i, j] > 0
    ]
