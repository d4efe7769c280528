"""Several tasks in groups: each group is one model, and together they are one predictor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headstart.data.split import Split, with_validation
from headstart.predictor import GroupedPredictor, Predictor
from headstart.progress import say
from headstart.tasks import Task
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run

if TYPE_CHECKING:
    from headstart.approaches import Approach
    from headstart.models.backbone import Backbone

Groups = tuple[tuple[str, ...], ...]


def stage_of(stage: str, names: Sequence[str]) -> str:
    """What the training of a group is called; part of the name of a file."""
    return f"{stage} {'+'.join(names)}".strip().replace("/", "-")


def narrowed(split: Split, task: MultiTask, names: Sequence[str]) -> Split:
    """The split of some of the tasks: samples without any of their labels are left out."""
    train, valid, test = (task.samples(part, names)[0] for part in (split.train, split.valid, split.test))
    found = with_validation(replace(split, train=train, valid=valid, test=test), f"no validation sample is labelled for {' + '.join(names)}")
    for note in found.notes[len(split.notes) :]:
        say(f"note: {note}")
    return found


def fit(
    approach: Approach, groups: Groups, backbone: Backbone, task: Task, split: Split, run: Run
) -> Predictor | GroupedPredictor:
    """Fit the approach once for each group of tasks; without groups, or with a single one, as it is.

    Of the time that is left every group gets an equal share.
    """
    if len(groups) < 2:
        return approach.fit(backbone, task, split, run)
    assert isinstance(task, MultiTask)
    members = []
    for number, names in enumerate(groups):
        say(f"{run.stage}: a model for {' + '.join(names)}")
        share = run.seconds_left() / (len(groups) - number)
        own = replace(run, stage=stage_of(run.stage, names),
                      deadline=None if run.deadline is None else time.monotonic() + share)  # fmt: skip
        members.append(approach.fit(backbone, task.only(names), narrowed(split, task, names), own))
    return GroupedPredictor(tuple(members), groups, task)
