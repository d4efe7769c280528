"""Leakage by sample: copies and near-copies that stand on two sides of the split that the data brings."""

from __future__ import annotations

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._sides import RANK, leak, members

ORDER = 80
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False  # fit takes these copies out of training when it splits, and says so


def check(evidence: Evidence) -> list[Finding] | str:
    """Of each cluster of copies, the side furthest from training keeps its samples; the others leave."""
    dataset = evidence.dataset
    if dataset.declared is None:
        return "the data declares no split; fit keeps copies on one side when it splits"
    pairs = []
    for cluster in members(evidence.clusters):
        last = max(cluster, key=lambda i: RANK[evidence.side(i)])
        for i in cluster:
            if RANK[evidence.side(i)] < RANK[evidence.side(last)]:
                exact = evidence.scan.keys[i] == evidence.scan.keys[last] != b""
                what = "an exact copy" if exact else "a near-copy"
                pairs.append(Suspect(i, f"{what} of {dataset.names[last]}", last, "remove"))
    return leak(evidence, "leakage", pairs, "by content or fingerprint")
