"""Which tasks should share a model: short runs of them apart and together, judged on validation samples alone.

Standley et al. 2020, Which Tasks Should Be Learned Together in Multi-task Learning?, arXiv 1905.07553: tasks are trained
together for a short time and compared with the same training alone. Here tasks stay together unless that hurts one of
them beyond noise. So all of them are tried together first, and pairs only where a task is hurt: of the ways to part the
tasks that have no pair that hurts, the one with the fewest groups is taken, of these the one with the highest mean gain
of pairs (their approximation of larger groups). A larger group is then tried itself, and what it hurts is left alone.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from headstart.approaches import Approach
from headstart.approaches._groups import Groups, narrowed, stage_of
from headstart.data.split import Split
from headstart.errors import ConfigError, DataError, Incompatible
from headstart.evaluation.verdict import LEAST, Gain, paired_gain, shown
from headstart.models.backbone import Backbone
from headstart.progress import hushed, say
from headstart.tasks import Task
from headstart.tasks.multitask import MultiTask
from headstart.training.processes import processes
from headstart.training.run import Run

SHARE = 4  # a short run has this part of the epochs,
LEAST_EPOCHS = 2  # and at least so many
MOST = 10  # tasks: there are 115,975 ways to part ten of them
DOUBT = 0.05  # probability that any of about T * T comparisons looks like harm by chance (Bonferroni)

Merits = dict[str, np.ndarray]  # (n,) of each task: how good each validation prediction is, NaN without a label


@dataclass(frozen=True)
class Proposal:
    """Groups of tasks, why, and the entry ``together`` of a result."""

    groups: Groups
    why: str
    facts: dict[str, Any]


def check(approach: Approach, task: Task, split: Split) -> MultiTask:
    """Refuse, before any work, what leaves nothing to propose.

    Raises:
        ConfigError: there is a single task, there are too many, or the balancing names a weight for each.
        Incompatible: the approach moves no shared weight.
        DataError: there are no validation samples to judge by.
    """
    if not isinstance(task, MultiTask) or len(task.names) < 2:
        raise ConfigError(
            f"$.together: auto says which of several tasks share a model, and here is a single task ({task.kind}). Leave "
            "it out, or name several columns of labels (--labels A,B) or several data sets (--data A --data B)"
        )
    if len(task.names) > MOST:
        raise ConfigError(
            f"$.together: auto takes at most {MOST} tasks, got {len(task.names)}; fit some of them by themselves"
        )
    if "epochs" not in {entry.name for entry in fields(approach)}:  # type: ignore[arg-type]
        raise Incompatible(f"--together auto is for approaches that move shared weights (finetune, scratch, distill). "
                           f"{type(approach).__name__} moves none: each task has the head that it would have alone, so sharing "
                           "neither helps nor hurts")  # fmt: skip
    if getattr(approach, "balance", "").startswith("fixed:"):
        raise ConfigError("$.approach.balance: fixed weights name every task, and a group has some of them; with --together "
                          "auto take balance=fixed, which tunes them, or another way")  # fmt: skip
    if split.valid is split.train:
        raise DataError(
            "--together auto judges by validation samples, and there are none. Declare some, or add samples"
        )
    if blind := [name for name, (rows, _) in task.known(split.valid.labels or []).items() if not len(rows)]:
        raise DataError(
            f"--together auto judges by validation samples, and none has a label of {blind[0]}. Label some, or leave it out"
        )
    return task


def proposed(approach: Approach, backbone: Backbone, task: Task, split: Split, run: Run) -> Proposal:
    """Which tasks to train together, from short runs of the approach; at most half of the time that is left goes into them.

    Raises:
        ConfigError, DataError, Incompatible: as ``check``.
    """
    several = check(approach, task, split)
    whole = int(vars(approach)["epochs"])
    epochs = min(whole, max(LEAST_EPOCHS, math.ceil(whole / SHARE)))
    begun, half = time.monotonic(), run.seconds_left() / 2

    def short(names: Sequence[str]) -> Merits:
        if processes().share(time.monotonic() - begun > half):
            raise TimeoutError
        settings = replace(approach, epochs=epochs)  # type: ignore[type-var]
        if len(names) > 1 and getattr(approach, "balance", "") == "fixed":  # tuning them would take longer than the run
            settings = replace(settings, balance="fixed:" + "+".join("1" * len(names)))  # type: ignore[type-var, call-arg]
        alone = Run(None, run.seed, run.store, None, stage_of("short run", names), boundary_limit=run.boundary_limit, last=True)
        own, part = several.only(names), narrowed(split, several, names)
        with hushed():
            predictor = settings.fit(backbone, own, part, alone).tuned(part.valid, run.store)
        said = predictor.probabilities(split.valid, run.store)
        ended = predictor.task if isinstance(predictor.task, MultiTask) else MultiTask(tuple(names), (predictor.task,))
        found = ended.merits_of_each(said, split.valid.labels or [])
        say(
            f"short run of {' + '.join(names)}: "
            + ", ".join(f"{name} {np.nanmean(merits):.3f}" for name, merits in found.items())
        )
        agreed = processes().share({name: merits.tolist() for name, merits in found.items()})
        return {name: np.asarray(merits) for name, merits in agreed.items()}

    say(
        f"which tasks to train together: short runs of {epochs} epochs, judged on {len(split.valid)} validation samples"
    )
    table = Table(several.names, short, None if split.valid.groups is None else split.valid.groups, run.seed)
    try:
        groups, why = table.parted()
    except TimeoutError:
        groups, why = (
            (several.names,),
            "the time budget has no room for the short runs, so the tasks stay together; --budget gives more",
        )
    said = f"trained together: {listed(groups)}; {why}"
    say(said)
    facts = {"groups": [list(names) for names in groups], "why": why, "epochs": epochs, "valid": len(split.valid),
             "confidence": table.confidence, "trials": table.trials(), "seconds": time.monotonic() - begun}  # fmt: skip
    return Proposal(groups, said, facts)


def listed(groups: Sequence[Sequence[str]]) -> str:
    """Groups in words: ``fine + coarse; size alone``."""
    return "; ".join(" + ".join(names) if len(names) > 1 else f"{names[0]} alone" for names in groups)


class Table:
    """What short runs say of tasks and of groups of them; each is run when it is first asked for."""

    def __init__(
        self,
        names: Sequence[str],
        short: Callable[[Sequence[str]], Merits],
        groups: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        """
        Args:
            short: trains some tasks for a short time and gives their merits on validation.
            groups: (n,) names of what belongs together among the validation samples.
        """
        self.names, self.short, self.groups, self.seed = tuple(names), short, groups, seed
        self.confidence = 1 - DOUBT / len(self.names) ** 2
        self.alone: Merits = {}
        self.gains: dict[tuple[str, ...], dict[str, Gain]] = {}
        self.means: dict[tuple[str, ...], dict[str, float]] = {}

    def effects(self, names: tuple[str, ...]) -> dict[str, Gain]:
        """What each task of a group gains by the company of the others."""
        for name in names:
            if name not in self.alone:
                self.alone |= self.short((name,))
        if names not in self.gains:
            found = self.short(names)
            self.means[names] = {name: float(np.nanmean(found[name])) for name in names}
            self.gains[names] = {
                name: paired_gain(
                    found[name], self.alone[name], groups=self.groups, confidence=self.confidence, seed=self.seed
                )
                for name in names
            }
        return self.gains[names]

    def hurt(self, names: tuple[str, ...]) -> list[str]:
        """The tasks of a group that its company hurts beyond noise."""
        return [name for name, gain in self.effects(names).items() if gain.answer == "hurt"] if len(names) > 1 else []

    def parted(self) -> tuple[Groups, str]:
        """The groups, and why."""
        if not (harmed := self.hurt(self.names)):
            few = min(int(np.isfinite(self.alone[name]).sum()) for name in self.names) < LEAST
            doubt = f", though a task has fewer than {LEAST} validation samples, which can show nothing" if few else ""
            return (self.names,), f"together none of them is hurt beyond noise{doubt}"
        pairs = list(itertools.combinations(self.names, 2))
        apart = {pair for pair in pairs if self.hurt(pair)}
        best = min(partitions(self.names, apart), key=lambda groups: (len(groups), -self._worth(groups)))
        groups: list[tuple[str, ...]] = []
        for group in best:
            alone = self.hurt(group)
            rest = tuple(name for name in group if name not in alone)
            groups += [*([rest] if rest else []), *((name,) for name in alone)]
        groups.sort(key=lambda names: self.names.index(names[0]))
        return tuple(groups), f"all together hurt {', '.join(harmed)}: {self._told()}"

    def _told(self) -> str:
        """Every harm that was seen, in words."""
        harms = [(names, name, gain) for names, gains in self.gains.items() for name, gain in gains.items() if gain.answer == "hurt"]
        return "; ".join(
            f"{name} loses {-100 * gain.gain:.1f} points {shown(gain.interval)} beside {' and '.join(n for n in names if n != name)}"
            for names, name, gain in harms
        )

    def _worth(self, groups: Groups) -> float:
        """The sum over tasks of the mean gain in pairs with those of its group."""
        return sum(
            float(np.mean([self.effects(pair)[name].gain for pair in itertools.combinations(names, 2) if name in pair]))
            for names in groups if len(names) > 1 for name in names
        )  # fmt: skip

    def trials(self) -> list[dict[str, Any]]:
        """A row for each task in each group that was tried, as JSON holds it."""
        return [
            {"tasks": list(names), "task": name, "alone": float(np.nanmean(self.alone[name])), "together": self.means[names][name],
             "gain": gain.gain, "interval": list(gain.interval), "answer": gain.answer}
            for names, gains in self.gains.items() for name, gain in gains.items()
        ]  # fmt: skip


def partitions(names: tuple[str, ...], apart: set[tuple[str, str]]) -> Iterator[Groups]:
    """Every way to part the names into groups that hold no pair of ``apart``."""
    if not names:
        yield ()
        return
    *before, last = names
    for groups in partitions(tuple(before), apart):
        yield (*groups, (last,))
        for place, group in enumerate(groups):
            if not any((name, last) in apart for name in group):
                yield (*groups[:place], (*group, last), *groups[place + 1 :])
