"""Samples that show nothing: one colour, silence, no words, no values."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import counted

ORDER = 20
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False
ONE_COLOUR = 4 / 255  # between the 1st and the 99th percentile
WORDS = {
    "image": "it is of one colour",
    "audio": "it is silent",
    "text": "it holds no word",
    "table": "it holds no value",
}


def check(evidence: Evidence) -> list[Finding]:
    """A blank sample has an empty fingerprint; clipped recordings come from the scan as well."""
    dataset, findings = evidence.dataset, []
    silent = set(evidence.scan.findings.get("silent", ()))
    bare = [int(i) for i in evidence.readable if not np.any(evidence.scan.fingerprints[i])]
    if dataset.modality == "image" and bare:
        # a picture that uses a small part of the range (12 bits in 16) has an empty fingerprint as well
        used = evidence.measures["high"] - evidence.measures["low"]
        bare = [i for i in bare if used[i] < ONE_COLOUR]
    blank = sorted({*bare, *silent})
    if blank:
        why = WORDS.get(dataset.modality, "it shows nothing")
        samples = tuple(Suspect(i, why, change="remove") for i in blank)
        message = f"{counted(len(blank), dataset.modality)} of {len(dataset)} {'shows' if len(blank) == 1 else 'show'} nothing ({why.removeprefix('it ')})."
        findings.append(Finding("warning", "blank", message, samples, {"share": len(blank) / len(dataset)},
                                "Leave them out, unless showing nothing is what a class means."))  # fmt: skip
    for what, rows in sorted(evidence.scan.findings.items()):
        if what != "silent":
            samples = tuple(Suspect(i, f"it is {what}") for i in sorted(rows))
            findings.append(Finding("info", "blank", f"{counted(len(rows), dataset.modality)} of {len(dataset)} {'are' if rows[1:] else 'is'} {what}.",
                                    samples, {"share": len(rows) / len(dataset)}, "Listen to some of them."))  # fmt: skip
    return findings
