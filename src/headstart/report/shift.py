"""The report of ``headstart shift``: what was measured, in words and pictures; a pure view of its facts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from headstart.errors import RunError
from headstart.report.figures import scale
from headstart.report.wording import number, percent

FAR, NEAR = 1.2, 0.5  # proxy A-distances: the domains are told apart in 80 and in 62.5 of 100 cases
SIGNIFICANT = 0.05
LABEL_SHIFT = 0.1  # a class's share of the target may differ by so much from that of the source
MANY_COPIES = 0.01
MAP = 360  # drawing units a side
TITLES = {
    "none": ("=", "No shift can be seen"),
    "small": ("~", "A small shift"),
    "moderate": ("!", "A moderate shift"),
    "large": ("!!", "A large shift"),
}
TONES = {"none": "helped", "small": "helped", "moderate": "no-clear-gain", "large": "hurt"}
METHODS = {
    "coral": "CORAL gives the source the mean and the covariance of the target",
    "linear_transport": "linear transport moves the source, by the shortest way, to the target's mean and covariance",
    "subspace": "subspace alignment turns the main axes of the source onto those of the target",
    "tca": "TCA keeps the directions in which the domains agree",
}

NAMES = {"coral": "CORAL", "linear_transport": "linear transport", "subspace": "subspace alignment", "tca": "TCA"}


def size(facts: dict[str, Any]) -> str:
    """none, small, moderate or large."""
    found = facts["distances"]
    if found["p_value"] >= SIGNIFICANT and found["proxy_a_distance"] < NEAR:
        return "none"
    if found["proxy_a_distance"] < NEAR:
        return "small"
    return "moderate" if found["proxy_a_distance"] < FAR else "large"


def told_apart(distance: float) -> float:
    """The accuracy of the classifier behind a proxy A-distance: 0.5 is chance."""
    return 1 - (1 - distance / 2) / 2


def summary(facts: dict[str, Any]) -> list[str]:
    """What it means, a sentence each, the most important first."""
    found, kind = facts["distances"], size(facts)
    right = percent(told_apart(found["proxy_a_distance"]), 0)
    apart = f"A linear classifier tells in {right} of cases which of the two a new sample comes from (50% is guessing)"
    lines = [{
        "none": f"{apart}, and the difference is no larger than chance makes it (p = {found['p_value']:.3f}). A model of "
                "the source can be used on the target as far as this can tell.",
        "small": f"{apart}; the difference is small, but real (p = {found['p_value']:.3f}). Expect a model of the source to "
                 "lose little on the target.",
        "moderate": f"{apart}. A model of the source may lose something on the target; adapting it is worth a try.",
        "large": f"{apart}. A model of the source may lose much on the target, or nothing, where the classes do not depend on "
                 "what differs.",
    }[kind]]  # fmt: skip
    lines += _effect(facts, kind)
    lines += _classes(facts)
    if facts["copies"]["count"]:
        lines.append(
            f"{facts['copies']['count']} target samples ({percent(facts['copies']['share'])}) are copies or near-copies of "
            "source samples: they say nothing of how well a model carries over."
        )
    if kind in ("moderate", "large"):
        lines.append("What it costs only labelled target samples can tell: label a few dozen, and evaluate on them.")
    return lines


def _effect(facts: dict[str, Any], kind: str) -> list[str]:
    if kind == "none":
        return []
    effect = facts["effect"]
    before, after = (told_apart(effect[side]["proxy_a_distance"]) for side in ("before", "after"))
    where = "On samples that it was not fitted on" if effect["held_out"] else "On the samples that it was fitted on"
    how = METHODS[effect["method"]]
    if after > before - 0.02:
        return [f"{where}, {how}, and that brings the domains no closer: {percent(before, 0)} are told apart before, "
                f"{percent(after, 0)} after. A linear map does not bridge this shift."]  # fmt: skip
    return [f"{where}, {how}, and then {percent(after, 0)} instead of {percent(before, 0)} are told apart. Closer domains "
            "do not always mean a better model: headstart fit SOURCE --target TARGET tries it and keeps what is "
            "better."]  # fmt: skip


def _classes(facts: dict[str, Any]) -> list[str]:
    rows = facts["classes"]
    moved = [row for row in rows if abs(row["target_share"] - row["source_share"]) > LABEL_SHIFT]
    if not moved:
        return []
    worst = max(moved, key=lambda row: abs(row["target_share"] - row["source_share"]))
    seems = "seems to have" if rows[0]["guessed"] else "has"
    return [
        f"The target {seems} other shares of the classes: {worst['label']} goes from {percent(worst['source_share'], 0)} to "
        f"{percent(worst['target_share'], 0)}. Methods that align the domains as a whole can do harm then."
    ]


def write(facts: dict[str, Any], path: Path) -> Path:
    """Render the facts of a ``ShiftResult`` to ``path``; a reader never sees half of it.

    Raises:
        RunError: it cannot be written.
    """
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["percent"] = percent
    environment.filters["signed"] = signed
    text = environment.get_template("shift.html.j2").render(view(facts))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(text.encode("utf-8", "replace"))
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise RunError(
            f"The report cannot be written to {path}: {problem}. Is the folder there and writable?"
        ) from problem
    return path


def view(facts: dict[str, Any]) -> dict[str, Any]:
    """What the template shows."""
    kind = size(facts)
    return {
        **facts,
        "kind": kind,
        "tone": TONES[kind],
        "sign": TITLES[kind][0],
        "title": TITLES[kind][1],
        "lines": facts.get("summary") or summary(facts),
        "apart": told_apart(facts["distances"]["proxy_a_distance"]),
        "how": METHODS[facts["effect"]["method"]],
        "maps": maps(facts["map"]),
        "features": [_feature(row) for row in facts["features"]],
        "titles": NAMES,
        "named": facts["modality"] == "table",
    }


def maps(points: dict[str, Any]) -> list[dict[str, Any]]:
    """The two pictures, before and after, each with circles and crosses in drawing units; the same scale where they
    share their axes, which is where the target stays in its place."""
    pairs = [("before", points["source"], points["target"]), ("after", points["moved_source"], points["moved_target"])]
    together = points["target"] == points["moved_target"]
    everything = [point for _, a, b in pairs for point in (*a, *b)]
    drawn = []
    for name, a, b in pairs:
        frame = everything if together else [*a, *b]
        across, up = (scale([point[axis] for point in frame]) for axis in (0, 1))

        def place(point: list[float], across: Any = across, up: Any = up) -> tuple[float, float]:
            return round(MAP * across.at(point[0]) / 100, 1), round(MAP * (1 - up.at(point[1]) / 100), 1)

        drawn.append({"name": name, "source": [place(p) for p in a], "target": [place(p) for p in b], "size": MAP})
    return drawn


def _feature(row: dict[str, Any]) -> dict[str, Any]:
    chance = number(row.get("p_value")) is not None and row["p_value"] >= SIGNIFICANT
    return {**row, "chance": chance}


def signed(value: Any) -> str:
    """+1.2, with a true minus sign; words where the number is beyond all bounds."""
    if number(value) is None:
        return "beyond all bounds"
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
