"""What came of a search, as ``study.json`` holds it, and the report."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headstart
from headstart import config, runs
from headstart.errors import RunError
from headstart.search.study import Study
from headstart.tasks import Metric

if TYPE_CHECKING:
    from headstart.search import Search

VARIED = ("learning_rate", "tuning", "weight_decay", "augment", "epochs")


def summarised(study: Study, search: Search, metric: Metric, folder: Path) -> None:
    """Write ``study.json`` and ``report.html`` of a search as it stands."""
    from headstart.report.search import write
    from headstart.training.checkpoint import write_atomically

    rows = study.rows()
    best = study.best()
    summary = {
        "headstart": headstart.__version__,
        "search": config.to_dict(search),
        "metric": config.to_dict(metric),
        "best": best and best["trial"],
        "trials": rows,
        "front": front(rows),
        "importance": study.importance(list(VARIED)),
        "values": values(rows),
    }
    write_atomically(folder / runs.STUDY, config.dump_json(summary).encode())
    write(folder)


def load(folder: Path) -> dict[str, Any]:
    """
    Raises:
        RunError: the folder has no readable ``study.json``.
    """
    try:
        return dict(json.loads((folder / runs.STUDY).read_text("utf-8")))
    except (OSError, ValueError) as problem:
        raise RunError(
            f"{folder / runs.STUDY} is missing or damaged: {problem}. headstart tune writes it anew."
        ) from problem


def front(rows: list[dict[str, Any]]) -> list[int]:
    """The trials that no other one beats in both time and score, the fastest first (the Pareto front)."""
    done = sorted((row for row in rows if row["state"] == "finished"), key=lambda row: (row["seconds"], -row["score"]))
    found: list[dict[str, Any]] = []
    for row in done:
        if not found or row["score"] > found[-1]["score"]:
            found.append(row)
    return [row["trial"] for row in found]


def values(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For each setting with a few values, what fine-tunings with each of them came to."""
    tuned = [row for row in rows if row["state"] == "finished" and row["approach"] == "finetune"]
    found = {}
    for name in ("tuning", "augment", "epochs"):
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in tuned:
            groups.setdefault(str(row["drawn"].get(name)), []).append(row)
        entries = [
            {"value": value, "trials": len(some), "best": max(row["value"] for row in some),
             "median": statistics.median(row["value"] for row in some),
             "seconds": statistics.median(row["seconds"] for row in some)}
            for value, some in groups.items()
        ]  # fmt: skip
        if len(entries) > 1:
            found[name] = sorted(entries, key=lambda entry: -entry["median"])
    return found
