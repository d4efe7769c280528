"""``augment.html``: one self-contained page that shows what augmentations do to samples and to the accuracy.

Like the report of a run it needs no network and no script. What a browser plays and shows comes as data URIs that were
made here; every text is escaped.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import RunError
from headstart.report import figures, wording
from headstart.report.render import page

if TYPE_CHECKING:
    from headstart.views.samples import Sample

KINDS = {"helps": ("helped", "▲"), "no clear effect": ("no-clear-gain", "●"), "hurts": ("hurt", "▼")}


def write(path: Path, facts: dict[str, Any], samples: Sequence[Sample]) -> Path:
    """The page at ``path``; a reader never sees half of it.

    Raises:
        RunError: it cannot be written.
    """
    text = render(facts, samples)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise RunError(f"The page cannot be written to {path}: {problem}. Is the folder there and writable?") from problem
    return path


def render(facts: dict[str, Any], samples: Sequence[Sample]) -> str:
    """The page as text; the same facts give the same bytes."""
    entries = [entry for entry in facts["augmentations"] if entry["effect"]]
    measured = [(entry["name"], entry["effect"]) for entry in entries]
    if facts["together"]:
        measured.append((facts["together"]["name"], facts["together"]))
    view = {
        "facts": facts,
        "rows": _rows(measured),
        "about": facts["augmentations"],
        "samples": samples,
        "kind": wording.SAMPLES.get(facts["modality"], "samples"),
    }
    return page("augment.html.j2", view)


def _rows(measured: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any] | None:
    """What each did to the loss on validation, around a zero line: to the right, the loss fell."""
    if not measured:
        return None
    ends = [effect["eased_interval"] or (effect["eased"], effect["eased"]) for _, effect in measured]
    axis = figures.scale([0.0, *(effect["eased"] for _, effect in measured), *(end for pair in ends for end in pair)])
    rows = []
    for (name, effect), (low, high) in zip(measured, ends, strict=True):
        kind, sign = KINDS[effect["answer"]]
        left, right = axis.at(low), axis.at(high)
        why = "kept" if effect["kept"] else "dropped" if effect["usual"] or effect["answer"] == "hurts" else "left out"
        if effect["kept"] and effect["answer"] != "helps":
            why = "kept, as usual for such data"
        rows.append(
            {
                "name": name,
                "kind": kind,
                "answer": f"{sign} {effect['answer']}",
                "why": why,
                "gain": wording.points(effect["gain"]),
                "interval": wording.bracket(effect["interval"]),
                "loss": f"{-effect['eased']:+.3f}".replace("-", wording.MINUS),
                "accuracy": wording.percent(effect["accuracy"]),
                "dot": axis.at(effect["eased"]),
                "left": left,
                "width": round(right - left, 2),
            }
        )
    ticks = [{"at": axis.at(value), "text": f"{value:+g}".replace("-", wording.MINUS) if value else "0"} for value in axis.ticks]
    return {"rows": rows, "ticks": ticks, "zero": axis.at(0), "plain": wording.percent(measured[0][1]["plain"])}
