"""Samples that show nothing: one colour, silence, no words, no values."""

from __future__ import annotations

import numpy as np

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import counted

ORDER = 20
NEEDS: frozenset[str] = frozenset()
STOPS_FIT = False
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
    blank = [int(i) for i in evidence.readable if i in silent or not np.any(evidence.scan.fingerprints[i])]
    if blank:
        why = WORDS.get(dataset.modality, "it shows nothing")
        samples = tuple(Suspect(i, why, change="remove") for i in blank)
        message = f"{counted(len(blank), dataset.modality)} of {len(dataset)} show nothing ({why.removeprefix('it ')})."
        findings.append(Finding("warning", "blank", message, samples, {"share": len(blank) / len(dataset)},
                                "Leave them out, unless showing nothing is what a class means."))  # fmt: skip
    for what, rows in sorted(evidence.scan.findings.items()):
        if what != "silent":
            samples = tuple(Suspect(i, f"it is {what}") for i in sorted(rows))
            findings.append(Finding("info", "blank", f"{counted(len(rows), dataset.modality)} of {len(dataset)} {'are' if rows[1:] else 'is'} {what}.",
                                    samples, {"share": len(rows) / len(dataset)}, "Listen to some of them."))  # fmt: skip
    return findings
