"""Leakage by group: one patient, speaker or document on two sides of the split that the data brings."""

from __future__ import annotations

from collections import defaultdict

from headstart.auditing import Evidence, Finding, Suspect
from headstart.auditing._sides import RANK
from headstart.data.modalities import nouns

ORDER = 90
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = True


def check(evidence: Evidence) -> list[Finding] | str:
    """Of a group on two sides, the samples on the side nearer to training are the suspects."""
    dataset = evidence.dataset
    if dataset.groups is None:
        return "no groups are known (--group names what belongs together)"
    if dataset.declared is None:
        return "the data declares no split; fit keeps groups on one side when it splits"
    sides: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, group in enumerate(dataset.groups):
        sides[group][evidence.side(i)].append(i)
    straddling = {group: parts for group, parts in sides.items() if len(parts) > 1}
    if not straddling:
        return []
    suspects = []
    for group, parts in straddling.items():
        last = max(parts, key=RANK.__getitem__)
        for side, rows in parts.items():
            suspects += [
                Suspect(i, f"{group!r} is also in {last}", parts[last][0], "remove") for i in rows if side != last
            ]
    names = ", ".join(repr(group) for group in list(straddling)[:5]) + (" ..." if len(straddling) > 5 else "")
    held = sum(len(rows) for parts in straddling.values() for side, rows in parts.items() if side != "train")
    total = sum(side != "train" for side in dataset.declared)
    message = (f"{len(straddling)} of {len(sides)} groups stand on more than one side ({names}); {held} of the {total} "
               f"{nouns(dataset.modality)} held out are of a group that training knows.")  # fmt: skip
    return [Finding("error", "group_leakage", message, tuple(suspects), {"groups": sorted(straddling), "share": held / total},
                    "Split by group: the result would be on groups already known.")]  # fmt: skip
