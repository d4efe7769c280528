"""audit.json and audit.html: the findings with thumbnails, excerpts and sounds of the samples they concern."""

from __future__ import annotations

import base64
import io
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import headstart
from headstart import plugins
from headstart.config import dump_json, to_dict
from headstart.data.dataset import Dataset, Sound
from headstart.data.modalities import Modality
from headstart.data.modalities.audio import resample
from headstart.errors import HeadstartError, UnreadableError
from headstart.progress import track
from headstart.report.audit import render

if TYPE_CHECKING:
    from headstart.auditing._audit import Audit

PREVIEWS = 24  # samples of a finding that are shown
SOUNDS = 8  # of these that can be listened to; each takes some 30 kB
SECONDS, RATE = 5, 16_000  # of what can be listened to
SIDE = 128  # pixels
LISTED = 200  # changes that the page lists; changes.json has all


def save(audit: Audit, folder: Path) -> Path:
    """Both files, each whole or not there.

    Raises:
        HeadstartError: the folder cannot be written.
    """
    page = render(view(audit))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "audit.json", dump_json(audit.to_dict()) + "\n")
        return _replace(folder / "audit.html", page)
    except OSError as problem:
        raise HeadstartError(
            f"The audit cannot be written to {folder}: {problem}. Name a folder that can be."
        ) from problem


def _replace(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text.encode("utf-8", "replace").decode(), "utf-8", newline="\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def view(audit: Audit) -> dict[str, Any]:
    """What the template shows."""
    preview = _previewer(audit.dataset)
    plain = audit.to_dict()
    for finding in track(plain["findings"], "previews"):
        finding["more"] = max(0, len(finding["samples"]) - PREVIEWS)
        finding["samples"] = finding["samples"][:PREVIEWS]
        for number, entry in enumerate(finding["samples"]):
            entry["shown"] = preview(entry["index"], number < SOUNDS)
            if "beside" in entry:
                entry["beside_shown"] = preview(entry["beside"], number < SOUNDS)
    changes = audit.changes
    return {
        **plain,
        "in_order": [name for name in audit.checks if not audit.of(name)],
        "planned": [to_dict(change) for change in changes[:LISTED]],
        "planned_counts": Counter(change.action for change in changes),
        "planned_more": max(0, len(changes) - LISTED),
        "headstart": headstart.__version__,
    }


def _previewer(dataset: Dataset) -> Callable[[int, bool], dict[str, str]]:
    """A function of the place of a sample, and whether its sound is wanted; nothing for what cannot be read."""
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()

    @cache
    def decoded(index: int) -> tuple[dict[str, str], Sound | None]:
        try:
            value = modality.decode(dataset.items[index], SIDE, dataset.names[index])
        except UnreadableError:
            return {}, None
        shown = modality.preview(value, SIDE)
        kind = "image" if shown.startswith("data:image/") and dataset.modality in ("image", "audio") else "text"
        return {kind: shown}, value if isinstance(value, Sound) else None

    def preview(index: int, listen: bool) -> dict[str, str]:
        shown, sound = decoded(index)
        return {**shown, "sound": _playable(sound)} if sound is not None and listen else shown

    return preview


def _playable(sound: Sound) -> str:
    """The first seconds as Ogg Vorbis in a data URI."""
    import soundfile

    start = Sound(np.ascontiguousarray(sound.samples[: SECONDS * sound.rate]), sound.rate)
    part = resample(start, min(RATE, sound.rate))
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(part.samples, -1, 1), part.rate, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(buffer.getvalue()).decode()
