"""What the checks of copies and of leakage share: clusters, the order of sides, and the words of the finding."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import counted, nouns

RANK = {"": 0, "train": 0, "valid": 1, "test": 2}  # a copy is kept where the rank is highest
GRAVE = 0.01  # share of a side with copies in training, from which on its result is wrong rather than a little rosy


def members(clusters: np.ndarray) -> list[list[int]]:
    """The clusters of two samples or more, as lists of places in order."""
    order = np.argsort(clusters, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)
    return [sorted(part.tolist()) for part in parts if len(part) > 1]


def leak(evidence: Evidence, check: str, suspects: list[Suspect], how: str) -> list[Finding]:
    """One finding on samples that stand beside a copy on a side that must not know them; none without suspects."""
    if not suspects:
        return []
    dataset = evidence.dataset
    touched: dict[str, set[int]] = {}
    for entry in suspects:
        assert entry.beside is not None
        touched.setdefault(evidence.side(entry.beside), set()).add(entry.beside)
    sizes = {side: sum(name == side for name in dataset.declared or ()) for side in touched}
    share = max(len(rows) / sizes[side] for side, rows in touched.items())
    counts = " and ".join(
        f"{len(rows)} of {counted(sizes[side], dataset.modality)} in {side}" for side, rows in touched.items()
    )
    message = (f"{counts} ({100 * share:.1f} %) have copies on a side that learns ({how}), so "
               f"{'the test result is too good' if share >= GRAVE else 'the test result is a little too good'}.")  # fmt: skip
    return [Finding("error" if share >= GRAVE else "warning", check, message, tuple(suspects), {"share": share},
                    f"Leave these {nouns(dataset.modality)} out of training; --clean does.")]  # fmt: skip
