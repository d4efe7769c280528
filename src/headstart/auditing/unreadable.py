"""Samples that cannot be decoded: missing, damaged, cut short, empty."""

from __future__ import annotations

from pathlib import Path

from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.dataset import Item
from headstart.data.modalities import counted

ORDER = 10
NEEDS: frozenset[str] = frozenset()
BEFORE_FIT = False


def check(evidence: Evidence) -> list[Finding]:
    """Decoding says most of it; a picture that lacks only its last bytes decodes, and its missing end mark tells."""
    dataset, findings = evidence.dataset, []
    if evidence.scan.unreadable:
        samples = tuple(Suspect(i, why, change="remove") for i, why in evidence.scan.unreadable.items())
        findings.append(
            Finding(
                "error", "unreadable", f"{len(samples)} of {counted(len(dataset), dataset.modality)} cannot be read.",
                samples, {"share": len(samples) / len(dataset)}, "Restore these files, or leave them out: --on-bad skip.",
            )
        )  # fmt: skip
    if dataset.modality == "image":
        short = [i for i in evidence.readable if not _has_end(dataset.items[i])]
        if short:
            samples = tuple(Suspect(int(i), "the mark at its end is missing", change="remove") for i in short)
            findings.append(
                Finding(
                    "warning", "unreadable", f"{counted(len(short), 'image')} can be decoded but seem cut short.",
                    samples, {"share": len(short) / len(dataset)}, "Compare them with their originals.",
                )
            )  # fmt: skip
    return findings


def _has_end(item: Item) -> bool:
    """False for a JPEG without its end-of-image mark or a PNG without IEND; some cameras write bytes behind them."""
    if isinstance(item, Path):
        with item.open("rb") as file:
            head = file.read(8)
            size = file.seek(0, 2)
            file.seek(max(0, size - 65_536))
            tail = file.read()
    elif isinstance(item, bytes):
        head, tail = item[:8], item[-65_536:]
    else:
        return True
    if head[:3] == b"\xff\xd8\xff":
        return b"\xff\xd9" in tail
    return b"IEND" in tail if head == b"\x89PNG\r\n\x1a\n" else True
