"""The candidates of a run: what was adapted, how it did on validation, and which is kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headstart.approaches import Approach, check_kind
from headstart.approaches._groups import Groups
from headstart.approaches._groups import fit as fit_groups
from headstart.data import Split
from headstart.models.backbone import Backbone
from headstart.predictor import GroupedPredictor, Predictor
from headstart.tasks import Task
from headstart.training.processes import processes
from headstart.training.run import Run

if TYPE_CHECKING:
    from headstart.advising.advise import Advice

DEFAULT_BUDGET = 600.0  # seconds that --approach auto may spend on fine-tuning


@dataclass(frozen=True)
class Candidate:
    name: str
    approach: Approach
    predictor: Predictor | GroupedPredictor
    valid: dict[str, Any]
    seconds: float

    @property
    def worth(self) -> float:
        """What candidates are compared by: the task's own metric on validation, higher is better."""
        found = self.valid[self.predictor.task.metric.name]
        return -math.inf if found is None else float(found)


def adapt(
    approach: Approach | None, backbone: Backbone, task: Task, split: Split, run: Run, advice: Advice | None = None,
    groups: Groups = (),
) -> tuple[list[Candidate], list[str]]:  # fmt: skip
    """Fit the approach; without one, the cheap one first, then what is advised, else fine-tuning where the budget has room.

    Args:
        groups: of tasks that share a model, for an approach that is given; none: all of them do.
    """
    from headstart.approaches.finetune import FineTune, seconds_an_epoch
    from headstart.approaches.probe import Probe

    if approach is not None:
        name = type(approach).__module__.rpartition(".")[2]
        return [_candidate(name, approach, backbone, task, split, run, groups)], [f"you asked for {name}"]
    probe = _candidate("probe", Probe(), backbone, task, split, run)
    if "gradients" not in backbone.provides:
        return [probe], [f"{backbone.reference} has no gradients, so it can only be probed"]
    if advice is not None and advice.only:
        return [probe], [f"advised: {advice.title}, because {advice.why}"]
    left = DEFAULT_BUDGET if run.deadline is None else run.seconds_left()
    if advice is not None and advice.approach == "scratch":
        from headstart.approaches.scratch import Scratch

        limited = replace(run, deadline=time.monotonic() + processes().share(left))
        fresh = _candidate("scratch", Scratch(), backbone, task, split, limited)
        return [probe, fresh], [f"advised: {advice.title}, because {advice.why}"]
    left, epoch = processes().share([left, seconds_an_epoch(backbone, task, split)])
    if epoch > left:
        why = (f"fine-tuning was not tried: one pass takes about {epoch:.0f} s and {left:.0f} s are left "
               "(--budget sets more)")  # fmt: skip
        return [probe], [why]
    limited = replace(run, deadline=time.monotonic() + left)
    tuned = _candidate("finetune", FineTune(), backbone, task, split, limited)
    gap = tuned.worth - probe.worth
    chosen = "finetune" if gap > 0 else "probe"
    told = [] if advice is None else [f"advised: {advice.title}, because {advice.why}"]
    return [probe, tuned], [
        *told,
        f"validation {task.metric.title}: probe {probe.worth:.3f} in {probe.seconds:.0f} s, fine-tuning "
        f"{tuned.worth:.3f} in {tuned.seconds:.0f} s; {chosen} is kept"
    ]


def _candidate(
    name: str, approach: Approach, backbone: Backbone, task: Task, split: Split, run: Run, groups: Groups = ()
) -> Candidate:
    begun = time.perf_counter()
    check_kind(approach, task)
    predictor = fit_groups(approach, groups, backbone, task, split, run.named(name)).tuned(split.valid, run.store)
    found = predictor.task.score(predictor.probabilities(split.valid, run.store), split.valid.labels or [])
    valid = processes().share(found)  # so that all of them keep the same candidate
    return Candidate(name, approach, predictor, valid, time.perf_counter() - begun)
