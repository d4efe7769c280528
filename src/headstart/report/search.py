"""The report of a search: what was tried, what it cost, what mattered. A pure view of ``study.json``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from headstart.errors import RunError
from headstart.report import wording
from headstart.report.figures import scale
from headstart.report.render import page, put

STUDY, WINNER = "study.json", "best"
WIDTH, HEIGHT = 640, 300  # drawing units, about one pixel each
LEFT, RIGHT, TOP, BOTTOM = 52, 30, 14, 40
ROUND = [
    *((value, f"{value:g} s") for value in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)),
    *((60.0 * value, f"{value} min") for value in (1, 3, 10, 30)),
    *((3600.0 * value, f"{value} h") for value in (1, 3, 10, 30, 100)),
]  # of the axis of time
STATES = {"finished": "", "pruned": "stopped early", "failed": "failed", "waiting": "not begun", "running": "running",
          "lost": "interrupted"}  # fmt: skip
TITLES = {"learning_rate": "learning rate", "weight_decay": "weight decay", "augment": "augmentation"}


def write(folder: Path) -> Path:
    """Render the search in ``folder`` to its ``report.html``.

    Raises:
        RunError: the folder has no readable ``study.json``, or cannot be written.
    """
    return put(folder, page("search.html.j2", view(folder)))


def view(folder: Path) -> dict[str, Any]:
    study = _json(folder / STUDY)
    if study is None:
        raise RunError(f"{folder} has no {STUDY} yet; headstart tune writes it when it ends or is interrupted.")
    rows = study["trials"]
    result = _json(folder / WINNER / "result.json")
    best = next((row for row in rows if row["trial"] == study["best"]), None)
    states = [(STATES.get(state) or "ran through", sum(row["state"] == state for row in rows)) for state in STATES]
    return {
        "folder": folder.name,
        "study": study,
        "run": study["search"]["run"],
        "best": best,
        "result": result,
        "metric": study["metric"],
        "tested": ((result or {}).get("scores") or {}).get(study["metric"]["name"]),
        "interval": ((result or {}).get("scores") or {}).get(f"{study['metric']['name']}_interval"),
        "headline": wording.headline(result) if result else None,
        "states": [(title, count) for title, count in states if count],
        "seconds": sum(row["seconds"] or 0.0 for row in rows),
        "scatter": scatter(rows, study["front"], study["best"]),
        "front": [row for number in study["front"] for row in rows if row["trial"] == number],
        "importance": [
            {"name": TITLES.get(name, name), "share": share, "width": round(100 * share, 1)}
            for name, share in sorted(study["importance"].items(), key=lambda entry: -entry[1])
        ],
        "tuned": sum(row["approach"] == "finetune" and row["state"] == "finished" for row in rows),
        "values": [(TITLES.get(name, name), entries) for name, entries in study["values"].items()],
        "rows": sorted(rows, key=lambda row: -1.0 if row["value"] is None else row["value"], reverse=True),
        "titles": STATES,
        "spelled": {row["trial"]: _spelled(row["settings"]) for row in rows},
    }


def scatter(rows: list[dict[str, Any]], front: list[int], best: int | None) -> dict[str, Any] | None:
    """The metric against seconds, on a scale of powers of ten, with the staircase of the front; None for too few trials."""
    done = [row for row in rows if row["state"] == "finished" and row["seconds"]]
    if len(done) < 2:
        return None
    vertical = scale([100 * row["value"] for row in done], about=5)
    times = [math.log10(max(row["seconds"], 1e-3)) for row in done]
    low, high = min(times) - 0.1, max(times) + 0.1

    def x(seconds: float) -> float:
        share = (math.log10(max(seconds, 1e-3)) - low) / (high - low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (1 - vertical.at(100 * value) / 100) * (HEIGHT - TOP - BOTTOM), 1)

    points = [
        {"x": x(row["seconds"]), "y": y(row["value"]), "kind": row["approach"], "best": row["trial"] == best,
         "front": row["trial"] in front,
         "text": f"trial {row['trial']}: {_spelled(row['settings'])}; {wording.percent(row['value'])}, "
                 f"{wording.duration(row['seconds'])}"}
        for row in done
    ]  # fmt: skip
    chosen = {row["trial"]: row for row in done}
    stairs: list[tuple[float, float]] = []
    for number in front:
        row = chosen.get(number)
        if row is None:
            continue
        if stairs:
            stairs.append((x(row["seconds"]), stairs[-1][1]))
        stairs.append((x(row["seconds"]), y(row["value"])))
    if stairs:
        stairs.append((WIDTH - RIGHT, stairs[-1][1]))
    return {
        "points": points,
        "stairs": stairs,
        "up": [(y(value / 100), f"{value:g}") for value in vertical.ticks],
        "across": [(x(value), text) for value, text in _times(low, high)],
        "size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "base": HEIGHT - BOTTOM},
    }


def _times(low: float, high: float) -> list[tuple[float, str]]:
    """Round times between two powers of ten, in seconds, with how they are said; about eight at the most."""
    found = [(value, text) for value, text in ROUND if low <= math.log10(value) <= high]
    return found[:: 1 + len(found) // 9]


def _spelled(settings: dict[str, Any]) -> str:
    if not settings:
        return "–"
    shown = [f"{name}={value if value != '' else 'none'}" for name, value in settings.items() if name != "name"]
    return " ".join([str(settings.get("name")), *shown])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise RunError(f"{path} is damaged: {problem}. Restore the file, or search again.") from problem
