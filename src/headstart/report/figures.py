"""The geometry of the report's pictures: positions in percent or in drawing units, drawn by the templates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from headstart.report.wording import ACCURACY, ANSWERS, answer_of, bracket, interval, metric_of, number, percent, points


class Scale(NamedTuple):
    """Values from ``low`` to ``high`` laid on 0 to 100."""

    low: float
    high: float
    ticks: list[float]

    def at(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def scale(values: Sequence[float], about: int = 5) -> Scale:
    """A range around the values whose ticks are round numbers."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        low, high = low - max(abs(low) / 2, 0.05), high + max(abs(high) / 2, 0.05)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return Scale(first * step, last * step, [round(i * step, 12) for i in range(first, last + 1)])


def forest(comparisons: Any) -> dict[str, Any] | None:
    """Gains over each baseline with their intervals around a zero line; None where there is none to draw."""
    found = [c for c in comparisons or [] if isinstance(c, dict) and number(c.get("gain")) is not None]
    if not found:
        return None
    ends = [interval(c.get("interval")) or (c["gain"], c["gain"]) for c in found]
    gains = [c["gain"] for c in found]
    axis = scale([100 * value for value in [0.0, *gains, *(end for pair in ends for end in pair)]])
    rows = []
    for comparison, (low, high) in zip(found, ends, strict=True):
        answer = answer_of(comparison)
        left, right = axis.at(100 * low), axis.at(100 * high)
        rows.append(
            {
                "title": comparison.get("title") or comparison.get("baseline") or "baseline",
                "kind": answer.replace(" ", "-"),
                "answer": f"{ANSWERS[answer][0]} {answer}",
                "gain": points(comparison["gain"]),
                "interval": bracket(comparison.get("interval")),
                "dot": axis.at(100 * comparison["gain"]),
                "left": left,
                "width": round(right - left, 2),
            }
        )
    ticks = [{"at": axis.at(value), "text": f"{value:+g}".replace("-", "\N{MINUS SIGN}")} for value in axis.ticks]
    ticks[_index_of_zero(axis)]["text"] = "0"
    return {"rows": rows, "ticks": ticks, "zero": axis.at(0)}


def _index_of_zero(axis: Scale) -> int:
    return min(range(len(axis.ticks)), key=lambda i: abs(axis.ticks[i]))


def bars(result: dict[str, Any], counts: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """The metric on the test samples, of the model, its baselines and of always answering the commonest training class."""
    scores, name = result.get("scores") or {}, metric_of(result)["name"]
    rows = [_bar("this model", scores.get(name), "model", interval(scores.get(f"{name}_interval")))]
    for title, baseline in (result.get("baselines") or {}).items():
        if isinstance(baseline, dict):
            rows.append(_bar(title, baseline.get(name), "baseline", note=baseline.get("what") or ""))
    train, test = counts.get("train") or {}, counts.get("test") or {}
    if name == "accuracy" and train and sum(test.values()):
        commonest = max(train, key=lambda name: train[name])
        share = test.get(commonest, 0) / sum(test.values())
        rows.append(_bar("always the commonest class", share, "chance", note=f"every answer is {commonest}"))
    return [row for row in rows if row] if rows[0] else []


def _bar(
    name: str, accuracy: Any, kind: str, pair: tuple[float, float] | None = None, note: str = ""
) -> dict[str, Any]:
    share = number(accuracy)
    if share is None:
        return {}
    whisker = None
    if pair:  # R2 may lie below zero, where there is nothing to draw
        low, high = (min(max(bound, 0.0), 1.0) for bound in pair)
        whisker = {"left": round(100 * low, 2), "width": round(100 * (high - low), 2)}
    return {"name": name, "kind": kind, "note": note, "width": round(100 * max(share, 0.0), 2), "text": percent(share),
            "interval": bracket(pair), "whisker": whisker}  # fmt: skip


WIDTH, HEIGHT = 400, 190  # drawing units, about one pixel each
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34


def curves(history: list[dict[str, Any]], metric: dict[str, str] = ACCURACY) -> list[dict[str, Any]]:
    """For each stage of training, in order of appearance, its pictures of loss and of the metric on validation."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for line in history:
        stages.setdefault(str(line.get("stage", "training")), []).append(line)
    found = []
    for stage, lines in stages.items():
        loss = [_series(lines, "train_loss", "training"), _series(lines, "valid_loss", "validation")]
        worth = [_series(lines, f"valid_{metric['name']}", "validation", percents=True)]
        title = f"Validation {metric['title']}, %"
        pictures = [_picture("Loss", loss, best=min), _picture(title, worth, best=max)]
        if any(pictures):
            found.append({"stage": stage, "pictures": [picture for picture in pictures if picture]})
    return found


def _series(lines: list[dict[str, Any]], key: str, name: str, percents: bool = False) -> dict[str, Any]:
    pairs = []
    for position, line in enumerate(lines):
        epoch, value = number(line.get("epoch", position)), number(line.get(key))
        if epoch is not None and value is not None:
            pairs.append((epoch, 100 * value if percents else value))
    return {"name": name, "pairs": pairs}


def _picture(title: str, series: list[dict[str, Any]], best: Any) -> dict[str, Any] | None:
    drawn = [entry for entry in series if entry["pairs"]]
    if not drawn:
        return None
    epochs = [epoch for entry in drawn for epoch, _ in entry["pairs"]]
    low, high = min(epochs), max(epochs)
    vertical = scale([value for entry in drawn for _, value in entry["pairs"]], about=4)

    def x(epoch: float) -> float:
        share = (epoch - low) / (high - low) if high > low else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(TOP + (1 - vertical.at(value) / 100) * (HEIGHT - TOP - BOTTOM), 1)

    lines = [
        {"name": entry["name"], "points": [(x(e), y(v), f"{v:.4g}", f"{e:g}") for e, v in entry["pairs"]]}
        for entry in drawn
    ]
    validation = drawn[-1]["pairs"]
    epoch, value = best(validation, key=lambda pair: pair[1])
    step = max(1, math.ceil((high - low) / 8))
    across = [low + step * i for i in range(int((high - low) // step) + 1)]
    first, last = validation[0][1], validation[-1][1]
    kind = drawn[-1]["name"]
    return {
        "title": title,
        "lines": lines,
        "best": {"x": x(epoch), "y": y(value)},
        "text": f"{kind}: from {first:.3g} to {last:.3g}, best {value:.3g} at epoch {epoch:g}",
        "across": [(x(epoch), f"{epoch:g}") for epoch in across],
        "up": [(y(value), f"{value:g}".replace("-", "\N{MINUS SIGN}")) for value in vertical.ticks],
        "size": {
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "base": HEIGHT - BOTTOM,
        },
    }


LEVELS = 8  # shades of the compact heat map


def confusion(matrix: Any, classes: list[str], readable: int) -> dict[str, Any] | None:
    """The matrix as cells for up to ``readable`` classes, else as a map of shades; and the worst pairs.

    Returns None if there is no matrix, and only ``{"problem": ...}`` if it does not fit the classes.
    """
    if not matrix:
        return None
    size = len(classes)
    square = isinstance(matrix, list) and all(isinstance(row, list) and len(row) == len(matrix) for row in matrix)
    if not square or len(matrix) != size or any(number(n) is None for row in matrix for n in row):
        return {"problem": f"The confusion matrix is not shown: it does not fit the {size} classes."}
    totals = [sum(row) for row in matrix]
    shares = [[n / max(total, 1) for n in row] for row, total in zip(matrix, totals, strict=True)]
    pairs = [
        {"actual": classes[i], "predicted": classes[j], "count": matrix[i][j], "share": shares[i][j]}
        for i in range(size)
        for j in range(size)
        if i != j and matrix[i][j]
    ]
    pairs.sort(key=lambda pair: -pair["count"])
    found: dict[str, Any] = {
        "pairs": pairs[: 20 if size > readable else 8],
        "num_pairs": len(pairs),
        "size": size,
    }
    if size > readable:
        return {**found, "shades": _shades(shares)}
    rows = [  # the square root brings out the rare mistakes
        [{"count": n, "strength": round(100 * math.sqrt(share))} for n, share in zip(*line, strict=True)]
        for line in zip(matrix, shares, strict=True)
    ]
    return {**found, "rows": rows}


def _shades(shares: list[list[float]]) -> list[dict[str, Any]]:
    """One path of unit squares per colour and shade: far smaller than one element per cell."""
    squares: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if share > 0:
                level = min(LEVELS, 1 + int(share * LEVELS))
                key = ("right" if i == j else "wrong", level)
                squares.setdefault(key, []).append(f"M{j} {i}h1v1h-1z")
    return [
        {"kind": kind, "opacity": round(0.2 + 0.8 * level / LEVELS, 2), "path": "".join(path)}
        for (kind, level), path in sorted(squares.items())
    ]
