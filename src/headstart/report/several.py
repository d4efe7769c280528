"""What a report shows of several tasks on one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headstart.report import wording

MOST = 12  # epochs with a column of their own


def view(result: dict[str, Any], cards: Callable[[dict[str, Any]], list[dict[str, str]]]) -> dict[str, Any]:
    """``tasks``: a row each; ``cosines``: pairs by epoch; ``contradictions`` of nested tasks. Empty for a single task."""
    scores = result.get("scores")
    each = scores.get("tasks") if isinstance(scores, dict) else None
    twins = result.get("interference") if isinstance(result.get("interference"), dict) else {}
    assert isinstance(twins, dict)
    rows = []
    for name, entry in (each or {}).items():
        twin = (twins.get("tasks") or {}).get(name) or {}
        answer = str(twin.get("answer", ""))
        rows.append({"name": name, "kind": twin.get("kind") or _kind(entry), "cards": cards(entry), "twin": twin,
                     "answer": answer.replace(" ", "-"), "sign": wording.ANSWERS.get(answer, ("",))[0]})  # fmt: skip
    said = twins.get("contradictions") or (scores.get("contradictions") if isinstance(scores, dict) else None)
    return {"tasks": rows, "cosines": _cosines(twins.get("cosines") or {}), "contradictions": said or [],
            "together": _together(result.get("together")), "helpers": _helpers(result.get("helpers"))}  # fmt: skip


def _together(found: Any) -> dict[str, Any] | None:
    """The groups in words and a row for each task in each short run; None where nothing was proposed."""
    if not isinstance(found, dict):
        return None
    groups = [" + ".join(names) for names in found.get("groups") or []]
    rows = [
        {**row, "kind": str(row["answer"]).replace(" ", "-"), "sign": wording.ANSWERS.get(row["answer"], ("",))[0],
         "beside": " + ".join(name for name in row["tasks"] if name != row["task"])}
        for row in found.get("trials") or []
    ]  # fmt: skip
    return {**found, "groups": groups, "rows": rows}


def _helpers(found: Any) -> dict[str, Any] | None:
    """What helpers weighed by epoch, and whether they helped; None without helpers."""
    if not isinstance(found, dict):
        return None
    answer = str(found.get("answer", ""))
    return {**found, "kind": answer.replace(" ", "-"), "sign": wording.ANSWERS.get(answer, ("",))[0],
            "weights": _cosines(found.get("weights") or {}), "cosines": _cosines(found.get("cosines") or {})}  # fmt: skip


def _kind(scores: dict[str, Any]) -> str:
    known = {"r2": "regression", "closeness": "ordinal", "f1_samples": "multilabel", "accuracy": "classification"}
    return next((kind for name, kind in known.items() if name in scores), "")


def _cosines(found: dict[str, list[list[float]]]) -> dict[str, Any] | None:
    epochs = sorted({int(epoch) for pairs in found.values() for epoch, _ in pairs})
    if not epochs:
        return None
    step = -(-len(epochs) // MOST)
    shown = epochs[::step]
    rows = []
    for pair, values in found.items():
        by_epoch = {int(epoch): value for epoch, value in values}
        rows.append((pair, [f"{by_epoch[e]:+.2f}".replace("-", wording.MINUS) if e in by_epoch else wording.NONE
                            for e in shown]))  # fmt: skip
    return {"epochs": shown, "rows": rows}
