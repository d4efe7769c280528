"""Ranking: what rank found, as values and as a table for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.config import to_dict
from headstart.progress import brief_duration
from headstart.ranking.domain import word

FINETUNE_PASSES = 8 * 3.5  # epochs of FineTune at the most; a training step costs about 3.5 times a forward pass

WIDEST = 48  # letters of a model's name in the printed table


@dataclass(frozen=True)
class Candidate:
    """One model that was judged.

    Attributes:
        place: 1 for the best.
        group: 0 for those that cannot be told from the best; differences inside a group are noise.
        samples: how many samples it was judged on; those that fell behind early saw fewer.
        expected: the share of right answers that measurement and prior knowledge lead to expect of a probe. For fine-tuning the best
            stage counts by a third, where it is better: a measure to order models by, and no forecast.
        expected_interval: 95 %, of the draw of these samples; not comparable between different ``samples``.
        stage, stage_accuracy: ranked for fine-tuning: the stage whose output tells the classes best, and the share that a probe of it
            gets right; "" and None where stages were not looked at.
        behind: by how much the best is right more often on the same samples, paired; its 95 % interval, None where there
            are too few samples for one.
        scores, intervals, silent: by scorer: its value, its 95 % interval, and why it says nothing.
        similarity: of the data to what it was pretrained on, 0 to 1, None where the checkpoint does not tell.
        milliseconds: of one sample's features.
        parameters: of the backbone.
        published: a published figure between 0 and 1.
        license, popularity, pretrained_on: as the card or the catalogue states them, "" where they do not.
        seconds_to_probe, seconds_to_finetune: about what all training samples would take.
    """

    model: str
    place: int
    group: int
    samples: int
    expected: float
    expected_interval: tuple[float, float]
    stage: str
    stage_accuracy: float | None
    behind: float
    behind_interval: tuple[float, float] | None
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    silent: dict[str, str]
    similarity: float | None
    milliseconds: float
    parameters: int
    published: float | None
    license: str
    popularity: str
    pretrained_on: str
    seconds_to_probe: float
    seconds_to_finetune: float


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be judged, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ranking:
    """Candidates, best first, and those that failed; printing it gives a table.

    Attributes:
        origin: the data.
        samples, classes: of the training part.
        seconds: that the ranking took.
        notes: what must be known of the data.
        approach: what the models are ranked for, "probe" or "finetune".
    """

    origin: str
    modality: str
    samples: int
    classes: int
    candidates: tuple[Candidate, ...]
    failures: tuple[Failure, ...]
    seconds: float
    notes: tuple[str, ...]
    seed: int
    approach: str = "probe"

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def tied(self) -> tuple[Candidate, ...]:
        """Those that cannot be told from the best, the best included."""
        return tuple(entry for entry in self.candidates if entry.group == 0)

    @property
    def advice(self) -> str:
        """What follows, in a sentence or two."""
        best, tied = self.best, self.tied
        if len(self.candidates) == 1:
            probe = best.scores["linear"] if self.approach == "finetune" else best.expected
            return f"{best.model} is the only candidate: expect about {_percent(probe)} right answers from a probe."
        second = self.candidates[1]
        if len(tied) == 1:
            return (f"{best.model} is clearly the best: {100 * second.behind:+.1f} points over {second.model} "
                    f"{_points(second.behind_interval)}.")  # fmt: skip
        cheap = min(tied, key=lambda entry: entry.milliseconds)
        last = "" if cheap is best else f" {cheap.model} is the cheapest of them ({cheap.milliseconds:.1f} ms a sample)."
        few = " There are too few samples to tell models apart." if best.behind_interval is None else ""
        return f"The first {len(tied)} cannot be told apart: their differences are noise.{last}{few}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``--json`` prints it."""
        scorers = sorted({name for entry in self.candidates for name in (*entry.scores, *entry.silent)})
        return {**to_dict(self), "advice": self.advice, "scorers": scorers}

    def rows(self) -> list[dict[str, str]]:
        """One row of the printed table for each candidate."""
        return [
            {
                "": f"{entry.place}{'=' if self._shares(entry) else ''}",
                "model": _short(entry.model),
                **self._measured(entry),
                "behind": "" if entry.place == 1 else f"{100 * entry.behind:.1f} {_points(entry.behind_interval)}",
                "on": str(entry.samples),
                "LogME": _plain(entry.scores.get("logme")),
                "task": _plain(entry.scores.get("leep")),
                "domain": word(entry.similarity),
                "size": f"{entry.parameters / 1e6:.1f} M",
                "ms": f"{entry.milliseconds:.1f}",
                "probe": brief_duration(entry.seconds_to_probe),
                "finetune": brief_duration(entry.seconds_to_finetune),
                "licence": entry.license.partition("(")[0].strip()[:16] or "unknown",
                "used": entry.popularity or "unknown",
            }
            for entry in self.candidates
        ]

    def _measured(self, entry: Candidate) -> dict[str, str]:
        counts = f"{_percent(entry.expected)} {_range(entry.expected_interval)}"
        if self.approach == "probe":
            return {"expected": counts}
        stage = "" if entry.stage_accuracy is None else f"{_percent(entry.stage_accuracy)} {entry.stage}"
        return {"weighed": counts, "probe of the end": _percent(entry.scores["linear"]), "of the best stage": stage}

    def _shares(self, entry: Candidate) -> bool:
        return sum(other.group == entry.group for other in self.candidates) > 1

    def __str__(self) -> str:
        rows = self.rows()
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
        lines = [f"{self.samples} training samples of {self.classes} classes, {self.seconds:.0f} s"]
        lines += ["  ".join(text.ljust(widths[name]) for name, text in row.items()).rstrip()
                  for row in ({name: name for name in rows[0]}, *rows)]  # fmt: skip
        lines += [f"failed: {entry.name}: {entry.reason}" for entry in self.failures]
        groups = [[e.place for e in self.candidates if e.group == g] for g in range(self.candidates[-1].group + 1)]
        noise = [f"{group[0]} to {group[-1]}" for group in groups if len(group) > 1]
        if noise:
            lines.append(f"= cannot be told from the first of its group on these samples; groups: {', '.join(noise)}")
        return "\n".join([*lines, self.advice])


def _short(name: str) -> str:
    """The end of a long path or reference tells models apart."""
    return name if len(name) <= WIDEST else f"…{name[1 - WIDEST :]}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _range(pair: tuple[float, float]) -> str:
    return f"[{100 * pair[0]:.0f}, {100 * pair[1]:.0f}]"


def _points(pair: tuple[float, float] | None) -> str:
    return "[?]" if pair is None else f"[{100 * pair[0]:+.1f}, {100 * pair[1]:+.1f}]"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
