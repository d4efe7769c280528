"""The geometry of learning curves: labels a class against accuracy, with intervals, in drawing units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report.figures import scale

WIDTH, HEIGHT = 760, 340  # about one pixel each
LEFT, RIGHT, TOP, BOTTOM = 52, 190, 14, 44  # the names of the lines stand on the right
TONES = 6


def curves(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Lines, whiskers, ticks and names at their places.

    Args:
        rows: each with "approach", "labels" (a class), "accuracy", "low" and "high" between 0 and 1.
        names: of all approaches, whose places in the list are their colours.
    """
    sizes = sorted({row["labels"] for row in rows})
    low, high = math.log2(sizes[0]), math.log2(sizes[-1])
    axis = scale([100 * row[key] for row in rows for key in ("low", "high")])

    def x(labels: float) -> float:
        share = (math.log2(labels) - low) / (high - low) if high > low else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - axis.at(100 * value) / 100 * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for number, name in enumerate(names):
        own = sorted((row for row in rows if row["approach"] == name), key=lambda row: row["labels"])
        if own:
            shift = 3 * (number - (len(names) - 1) / 2)  # whiskers stand beside one another
            lines.append({
                "name": name, "tone": number % TONES,
                "points": [(x(r["labels"]) + shift, y(r["accuracy"]), y(r["low"]), y(r["high"]),
                            f"{name}, {r['labels']} a class: {100 * r['accuracy']:.1f} %") for r in own],
                "end": y(own[-1]["accuracy"]),
            })  # fmt: skip
    _apart(lines)
    return {
        "lines": lines, "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "base": HEIGHT - BOTTOM,
        "across": [(x(size), str(size)) for size in sizes],
        "up": [(y(value / 100), f"{value:g}") for value in axis.ticks],
    }  # fmt: skip


def _apart(lines: list[dict[str, Any]], least: float = 15) -> None:
    """Names at the ends of lines are moved until none covers another."""
    ordered = sorted(lines, key=lambda line: line["end"])
    for before, line in itertools.pairwise(ordered):
        line["end"] = max(line["end"], before["end"] + least)
