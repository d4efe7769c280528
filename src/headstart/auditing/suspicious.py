"""Labels that are probably wrong: confident learning on out-of-fold probabilities from the model's features."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._confident import joint, suspicious
from headstart.auditing._outside import probabilities
from headstart.data.modalities import counted

ORDER = 120
NEEDS = frozenset({"features"})
STOPS_FIT = False
PAIRS = 8  # confusions named in the evidence


def check(evidence: Evidence) -> list[Finding] | str:
    """Labels of a declared test or validation side are judged like the others, but --clean leaves them alone: to drop
    what the model finds hard would make its test result look better than it is."""
    dataset, rows = evidence.dataset, evidence.readable
    if dataset.labels is None:
        return "the data has no labels"
    vectors = evidence.vectors
    if vectors is None:
        return "no sample can be read"
    if not np.ptp(vectors, axis=0).any():
        return "the features of all samples are equal, so they say nothing about labels"
    names, labels = np.unique(evidence.codes[rows], return_inverse=True)
    enough = np.bincount(labels) >= 2
    kept = enough[labels]  # a class with one sample cannot be judged
    if enough.sum() < 2:
        return "it takes two classes with two samples each"
    rows, vectors = rows[kept], vectors[kept]
    names, labels = names[enough], np.unique(labels[kept], return_inverse=True)[1]
    outside = probabilities(vectors, labels, len(names), evidence.clusters[rows], evidence.seed)
    if outside is None:
        return "a class has one sample only, copies aside, so no fold can do without it"
    found = suspicious(outside, labels)
    agreed = float((outside.argmax(axis=1) == labels).mean())
    classes = np.array(dataset.classes, dtype=object)[names]
    table = joint(outside, labels)
    if not len(found):
        return []
    suspects = []
    for i in found:
        given, other = labels[i], int(outside[i].argmax())
        place = int(rows[i])
        held = evidence.side(place) in ("valid", "test")
        suspects.append(
            Suspect(
                place, f"labelled {classes[given]!r} ({outside[i, given]:.2f}), looks like {classes[other]!r} "
                f"({outside[i, other]:.2f})", change="" if held else "remove", value=str(classes[other]),
                score=float(outside[i, other] - outside[i, given]),
            )
        )  # fmt: skip
    message = (f"{counted(len(found), dataset.modality)} of {len(rows)} probably have a wrong label; in all about "
               f"{100 * (1 - np.trace(table)):.1f} % of the labels are estimated to be wrong.")  # fmt: skip
    facts = {"noise": float(1 - np.trace(table)), "accuracy": agreed, "confusions": _confusions(table, classes)}
    return [Finding("warning", "suspicious", message, tuple(suspects), facts,
                    "Look at them, the surest first; --clean leaves them out of training.")]  # fmt: skip


def _confusions(table: np.ndarray, classes: np.ndarray) -> list[dict[str, object]]:
    """The largest entries off the diagonal: given, probably true, share of all samples."""
    off = table - np.diag(np.diag(table))
    worst = np.argsort(-off, axis=None)[:PAIRS]
    pairs = [np.unravel_index(place, off.shape) for place in worst]
    return [
        {"given": str(classes[i]), "true": str(classes[j]), "share": float(off[i, j])} for i, j in pairs if off[i, j] > 0
    ]
