"""advise: which approach first, what to expect, when not to transfer, and what would change that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from headstart import defaults, models
from headstart.advising.facts import Facts, facts
from headstart.advising.tree import TREE, Leaf, Question, Step, walk
from headstart.config import to_dict
from headstart.data import Dataset, Split
from headstart.data import read as read_data
from headstart.data.duplicates import clusters, drop_unreadable, scan
from headstart.data.split import split as split_data
from headstart.errors import ConfigError, Incompatible
from headstart.models import catalog
from headstart.models.backbone import Backbone
from headstart.models.columns import REFERENCE
from headstart.progress import say
from headstart.ranking.rank import rank
from headstart.ranking.result import Ranking
from headstart.store import Store
from headstart.tasks import Task
from headstart.tasks._kinds import only_classes
from headstart.tasks.classification import Classification
from headstart.training.processes import processes

MOST_MODELS = 4  # of those on this machine that are ranked where nobody names a model
CLOSE = 0.01  # a first choice within one point of the best counts as right


@dataclass(frozen=True)
class Advice:
    """What to do first, and why; printing it shows the path through the tree.

    Attributes:
        model: that the facts are of.
        title, approach, only, transfer, why, change: as in ``tree.Leaf``.
        expected: the range in which the test accuracy of the approach should fall.
        steps: the questions with their answers.
        facts: what was measured.
        ranking: where several models were compared.
    """

    model: str
    title: str
    approach: str
    only: bool
    transfer: bool
    why: str
    change: str
    expected: tuple[float, float]
    steps: tuple[Step, ...]
    facts: Facts
    ranking: Ranking | None = None

    @property
    def command(self) -> str:
        model = "" if self.model == REFERENCE else f" --model {self.model}"  # no table has one that could be named
        return f"headstart fit DATA{model} --approach {self.approach}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the whole tree for the page."""
        ranking = self.ranking.to_dict() if self.ranking else None
        return {**to_dict(replace(self, ranking=None)), "ranking": ranking, "tree": drawn(self.steps), "command": self.command}

    def __str__(self) -> str:
        lines = [str(self.ranking), ""] if self.ranking else []
        for step in self.steps:
            lines.append(f"{step.ask} {'yes' if step.yes else 'no'} ({said(step)})")
        low, high = self.expected
        lines += [
            f"=> {self.title}",
            f"   because {self.why}",
            f"   expect {100 * low:.0f} to {100 * high:.0f} % right answers; {expectation(self.facts)}",
            f"   this would change it: {self.change}",
            f"   {self.command}",
        ]
        return "\n".join(lines)


def advise(
    data: Any,
    candidates: Sequence[str | Backbone] = (),
    *,
    budget: float | None = None,
    seed: int = 0,
    shots: int | None = None,
    store: Store | None = None,
    on_bad: str = "error",
    **reading: str | None,
) -> Advice:
    """Which approach to try first on labelled data, from the training samples that ``fit`` with this seed has.

    Args:
        data: what ``hs.read`` takes, a Dataset or a Split.
        candidates: models; several are ranked, and the advice is about the best. By default those on this machine.
        budget: seconds for adapting the model; by default 600.
        seed: of the split.
        shots: training samples a class, None for all.
        store: the feature cache; by default the usual one.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out and says which.
        reading: ``labels``, ``paths``, ``text``, ``group``, ``modality``, as for ``hs.read``.

    Raises:
        DataError: no labels, a single class.
        Incompatible: the task is no classification.
        ModelError: no model can be had.
    """
    store = store or Store()
    split = data if isinstance(data, Split) else _split(data, seed, shots, store, on_bad, reading)
    if split.task != "classification":
        raise Incompatible(f"Advice is for classification, and the task is {split.task}.")
    if isinstance(candidates, (str, Backbone)):
        candidates = [candidates]
    backbone, ranking, _ = chosen(split, store, seed, candidates)
    task = Classification.learn(split.train.labels or [])
    return judged(backbone, task, split, store, seed=seed, budget=budget, ranking=ranking)


def judged(
    backbone: Backbone, task: Task, split: Split, store: Store | None, *, seed: int = 0, budget: float | None = None,
    ranking: Ranking | None = None,
) -> Advice:  # fmt: skip
    """The advice for one model on a split."""
    found = facts(backbone, task, split, store, seed=seed, budget=budget)
    # a clock decides what is affordable, and processes that train together must decide alike
    seconds, affordable = processes().share([found.finetune_seconds, found.affordable])
    found = replace(found, finetune_seconds=seconds, affordable=affordable or 0.0)
    if ranking and len(ranking.candidates) > 1:
        found = replace(found, margin=ranking.candidates[1].behind)
    steps, leaf = walk(found)
    return Advice(backbone.reference, leaf.title, leaf.approach, leaf.only, leaf.transfer, leaf.why, leaf.change,
                  expected(found, leaf), tuple(steps), found, ranking)  # fmt: skip


def chosen(
    split: Split, store: Store, seed: int, candidates: Sequence[str | Backbone] = (), approach: Literal["probe", "finetune"] = "probe"
) -> tuple[Backbone, Ranking | None, str]:
    """The model that the advice is about: the best of several, ranked on the training samples for the approach, or the usual one; and why."""
    if not candidates and split.train.modality in catalog.MODALITIES and split.task == "classification":
        here = catalog.find(catalog.Wanted(split.train.modality, here=True))
        candidates = [entry.reference for entry in here][:MOST_MODELS] if len(here) > 1 else []
    if len(candidates) > 1:
        ranking = rank(split, candidates, seed=seed, store=store, approach=approach)
        best = ranking.best.model
        made = next((c for c in candidates if isinstance(c, Backbone) and c.reference == best), None)
        backbone = made or models.load(best)
        return backbone, ranking, f"the model is {best}, the best of {len(ranking.candidates)} ranked: {ranking.advice}"
    if candidates:
        [one] = candidates
        backbone = one if isinstance(one, Backbone) else models.load(one)
        defaults.suits(backbone, split.train)
        return backbone, None, f"the model is {backbone.reference}"
    backbone, why = defaults.choose(split.train)
    return backbone, None, why


def expected(found: Facts, leaf: Leaf) -> tuple[float, float]:
    """The range of the test accuracy. Folds have four fifths of the samples, so the probe on all is a little better;
    fine-tuning is kept only where it wins on validation, and rarely takes more than half of the probe's mistakes away."""
    more = (found.doubling or 0.0) / 3  # all samples are a third of a doubling of four fifths of them, on a log scale
    low, high = found.probe_low, min(1.0, found.probe_high + more)
    if leaf.approach in ("finetune", "scratch"):
        high = min(1.0, max(high, found.probe + (1 - found.probe) / 2))
    return low, high


def expectation(found: Facts) -> str:
    """What more labels and other models would give, in words."""
    words = []
    if found.doubling is not None:
        words.append(f"twice the labels would add about {100 * found.doubling:.1f} points to the probe")
    if found.lead is not None:
        words.append(f"the probe leads raw values by {100 * found.lead:.1f} points")
    return "; ".join(words) or "too few samples to say more"


def said(step: Step) -> str:
    """A fact with its threshold, in words."""
    if step.value is None:
        return "unknown"
    forms = {"points": "{:+.1f} points", "share": "{:.1f} %", "count": "{:.0f}", "plain": "{:.2f}"}
    times = 100 if step.unit in ("points", "share") else 1
    form = forms[step.unit]
    return f"{form.format(times * step.value)}, threshold {form.format(times * step.at_least)}"


def drawn(steps: Sequence[Step], node: Question | Leaf = TREE) -> dict[str, Any]:
    """The whole tree as nested plain data, with the path taken marked."""
    if isinstance(node, Leaf):
        return {"leaf": True, "text": node.title, "approach": node.approach, "taken": not steps, "children": []}
    step = steps[0] if steps and steps[0].ask == node.ask else None
    off = (Step("", "", None, 0.0, "plain", False),)  # no question has this: nothing below is taken
    children = [
        {**drawn(steps[1:] if step and step.yes == way else off, child), "answer": "yes" if way else "no"}
        for way, child in ((True, node.yes), (False, node.no))
    ]
    return {"leaf": False, "text": node.ask, "taken": step is not None, "fact": said(step) if step else "", "children": children}


def outcome(advice: Mapping[str, Any], valid: Mapping[str, float], scores: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the advice came true.

    Args:
        advice: as ``Advice.to_dict`` gives it.
        valid: approach -> validation accuracy of what was tried.
        scores: of the test, with "accuracy" and "accuracy_interval".
    """
    low, high = advice["expected"]
    below, above = scores["accuracy_interval"]
    inside = below <= high and low <= above
    lines = [
        f"expected {100 * low:.0f} to {100 * high:.0f} % right answers, got {100 * scores['accuracy']:.1f} % on the test: "
        + ("as expected" if inside else "better than expected" if below > high else "worse than expected")
    ]
    first = None
    if advice["approach"] in valid and len(valid) > 1:
        best = max(valid, key=lambda name: valid[name])
        first = valid[best] - valid[advice["approach"]] <= CLOSE
        lines.append(f"advised {advice['approach']} first; on validation {best} was best: "
                     + ("the first choice was right within a point" if first else "the first choice was wrong"))  # fmt: skip
    return {"accuracy_as_expected": inside, "first_choice_right": first, "sentences": lines}


def _split(
    data: Any, seed: int, shots: int | None, store: Store, on_bad: str, reading: Mapping[str, str | None]
) -> Split:
    stated = {name: value for name, value in reading.items() if value is not None}
    if isinstance(data, Dataset) and stated:
        raise ConfigError(f"{', '.join(stated)} tell how to read a file; a Dataset is read")
    dataset = data if isinstance(data, Dataset) else read_data(data, **stated)
    only_classes(dataset.labels or (), "Advice")
    found = scan(dataset, store)
    whole = drop_unreadable(dataset, found, on_bad)
    found = found if len(whole) == len(dataset) else scan(whole, store)
    cut = split_data(whole, seed=seed, shots=shots, clusters=clusters(found))
    for note in cut.notes:
        say(f"note: {note}")
    return cut
