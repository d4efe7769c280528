"""Copies that fingerprints miss (cropped, mirrored, moved in time, reworded): neighbours propose, a closer look decides."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._closer import ALIKE, Closer, parts
from headstart.auditing._minhash import proposals, signatures
from headstart.auditing._sides import RANK, leak
from headstart.data.modalities import counted
from headstart.progress import track

ORDER = 110
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False
NEAREST = 3  # neighbours of each sample that are looked at
CLOSE = 0.45  # least cosine of centred features
MOST = 10_000  # pairs that are compared; of more the closest
BLOCK = 1024  # rows of one matrix product


def check(evidence: Evidence) -> list[Finding] | str:
    dataset = evidence.dataset
    if dataset.modality not in ALIKE:
        return f"rows of a {dataset.modality} that differ are different"
    if len(evidence.readable) < 2:
        return "there are not two samples that can be read"
    if dataset.modality != "text" and evidence.vectors is None:
        return "neighbours need features, and there is no model for them"
    clusters = evidence.clusters
    proposed = [(i, j) for i, j in _proposed(evidence) if clusters[i] != clusters[j]]
    pairs = sorted(proposed[:MOST])
    closer, found = Closer(dataset), []
    for i, j in track(pairs, "comparing neighbours"):
        score = closer.likeness(i, j)
        if score >= ALIKE[dataset.modality]:
            found.append((score, i, j))
    across, within = [], []
    for score, i, j in sorted(found, key=lambda entry: (-entry[0], entry[1:])):
        low, high = sorted((i, j), key=lambda k: (RANK[evidence.side(k)], -k))
        why = f"probably a copy of {dataset.names[high]} ({score:.2f} alike)"
        if evidence.side(low) != evidence.side(high):
            across.append(Suspect(low, why, high, "remove", score=score))
        else:
            within.append(Suspect(low, why, high, score=score))
    findings = leak(evidence, "neighbours", across, "cropped, mirrored, moved in time or reworded")
    if within:
        what = "" if dataset.declared is None else " on their own side"
        message = (f"{counted(len({s.index for s in within}), dataset.modality)} of {len(dataset)} look like a cropped, moved "
                   f"or reworded copy of another one{what}.")  # fmt: skip
        findings.append(Finding("warning" if dataset.declared is None else "info", "neighbours", message, tuple(within),
                                {"pairs": len(within)}, "If they belong together, keep them on one side: --group."))  # fmt: skip
    if left_out := len(proposed) - len(pairs):
        message = (f"The {MOST:,} closest of {len(proposed):,} pairs of neighbours were compared; cropped, moved or reworded "
                   f"copies among the other {left_out:,} would not be found.")  # fmt: skip
        findings.append(Finding("info", "neighbours", message, (), {"pairs": len(proposed), "compared": MOST},
                                "Audit parts of the data by themselves to have more of them compared."))  # fmt: skip
    return findings


def _proposed(evidence: Evidence) -> list[tuple[int, int]]:
    """Pairs of places worth a closer look: texts that share words, and nearest neighbours, the closest first."""
    pairs: dict[tuple[int, int], None] = {}
    rows = evidence.readable
    if evidence.dataset.modality == "text":
        closer = Closer(evidence.dataset)
        sets = [parts(closer.prepared(int(i))) for i in rows]
        pairs.update(dict.fromkeys((int(rows[i]), int(rows[j])) for i, j in sorted(proposals(signatures(sets)))))
    if (vectors := evidence.vectors) is not None and np.ptp(vectors, axis=0).any():
        near = sorted(_nearest(vectors), key=lambda entry: (-entry[2], entry[:2]))
        pairs.update(dict.fromkeys((int(min(rows[i], rows[j])), int(max(rows[i], rows[j]))) for i, j, _ in near))
    return list(pairs)


def _nearest(vectors: np.ndarray) -> list[tuple[int, int, float]]:
    """Each row with its nearest ones and the cosine of their centred features."""
    centred = vectors - vectors.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    pairs = []
    count = min(NEAREST, len(centred) - 1)
    for start in range(0, len(centred), BLOCK):
        similar = centred[start : start + BLOCK] @ centred.T
        similar[np.arange(len(similar)), start + np.arange(len(similar))] = -2
        best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        for i, places in enumerate(best):
            pairs += [(start + i, int(j), float(similar[i, j])) for j in places if similar[i, j] >= CLOSE]
    return pairs
