"""The decision tree, as data: questions about measured facts, and what follows. docs/choosing.md tells how it was checked.

Read it from the bottom up: every question names a fact, a threshold and where yes and no lead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headstart.advising.facts import Facts


@dataclass(frozen=True)
class Leaf:
    """What to do.

    Attributes:
        title: in a few words.
        approach: what to try first; ``only`` says that nothing else is worth its time.
        transfer: False where pretraining is not expected to help.
        why: the reason.
        change: which evidence would change the advice.
    """

    title: str
    approach: str
    why: str
    change: str
    only: bool = False
    transfer: bool = True


@dataclass(frozen=True)
class Question:
    """Whether a fact is at least a threshold.

    Attributes:
        ask: the question in words.
        fact: a field of ``Facts``.
        unit: how the fact is said: "points" or "share" (times 100), "plain" or "count".
        unknown: the answer where the fact is not known.
    """

    ask: str
    fact: str
    at_least: float
    yes: Question | Leaf
    no: Question | Leaf
    unit: str = "plain"
    unknown: bool = False


@dataclass(frozen=True)
class Step:
    """A question with its answer: one step of the path through the tree."""

    ask: str
    fact: str
    value: float | None
    at_least: float
    unit: str
    yes: bool


PROBE_ONLY = Leaf(
    "Probe: nearly everything is right already", "probe",
    "the probe is so good that what fine-tuning could add is hardly measurable",
    "a test set on which the probe errs more often", only=True,
)  # fmt: skip
TOO_FEW = Leaf(
    "Probe: too few labels to move the backbone", "probe",
    "with so few labels a class fine-tuning mostly learns them by heart, and validation cannot tell when to stop",
    "more labels: about 15 a class or more",
)  # fmt: skip
NO_TIME = Leaf(
    "Probe: fine-tuning does not fit into the budget", "probe",
    "the model cannot be fine-tuned, or it would take longer than there is time",
    "a larger --budget, a smaller model, or smaller inputs (?input_size=)", only=True,
)  # fmt: skip
SHIFTED = Leaf(
    "Probe, then adapt to the other domain", "probe",
    "the inputs to be answered differ from the training inputs, and fine-tuning would fit the training inputs even closer",
    "labels from the other domain; the approaches coral, dann and their like, with its inputs as target",
)  # fmt: skip
SCRATCH = Leaf(
    "Do not transfer: train from scratch", "scratch",
    "pretrained features are no better than raw values, and there are enough labels to learn features from",
    "another pretrained model, nearer to this data", transfer=False,
)  # fmt: skip
NO_GAIN = Leaf(
    "Do not expect much from this transfer", "finetune",
    "frozen features are no better than raw values, so only moving them can help; there are too few labels to do without",
    "another pretrained model (headstart rank), or a few times as many labels", transfer=False,
)  # fmt: skip
NO_GAIN_NO_TIME = Leaf(
    "Do not expect much from this transfer", "probe",
    "frozen features are no better than raw values, and the model cannot be fine-tuned within the budget",
    "another pretrained model (headstart rank), a larger --budget, or smaller inputs", only=True, transfer=False,
)  # fmt: skip
NO_SIGNAL = Leaf(
    "Stop: nothing is learned from these labels yet", "probe",
    "the probe is no better than always answering the commonest class",
    "clean labels (headstart audit), another model (headstart rank), or more labels", only=True, transfer=False,
)  # fmt: skip
FAR = Leaf(
    "Fine-tune: the features were learned for something else", "finetune",
    "the data is not like what the model was pretrained on, and there are enough labels to move its features",
    "a model pretrained on data like this; then a probe may do",
)  # fmt: skip
LIMITED = Leaf(
    "Fine-tune: the features are the limit", "finetune",
    "more labels hardly help the probe any more, so its features have to change",
    "a larger pretrained model, whose probe may do better than this one fine-tuned",
)  # fmt: skip
GROWING = Leaf(
    "Fine-tune, and collect more labels", "finetune",
    "the probe still learns from every further label, and there are enough of them to move the features, too",
    "a probe that stops growing, or fine-tuning that does not win on validation: then keep the probe",
)  # fmt: skip

LIKE = Question(
    "Would twice the labels give the probe less than 1 point?", "flatness", -0.01, LIMITED, GROWING, "points"
)
NEAR = Question("Is the data like what the model was pretrained on?", "similarity", 0.9, LIKE, FAR)
SHIFT = Question("Do the inputs to be answered differ from the training inputs?", "shift", 1.2, SHIFTED, NEAR)
ENOUGH = Question("Are there 15 labels a class?", "labels", 15, SHIFT, TOO_FEW, "count")
TIME = Question("Can the model be fine-tuned within the budget?", "affordable", 1, ENOUGH, NO_TIME)
CEILING = Question("Is the probe right 97 times in 100?", "probe", 0.97, PROBE_ONLY, TIME, "share")
MANY = Question("Are there 200 labels a class?", "labels", 200, SCRATCH, NO_GAIN, "count")
TIME_TO_MOVE = Question("Can the model be fine-tuned within the budget?", "affordable", 1, MANY, NO_GAIN_NO_TIME)
LEAD = Question(
    "Could the probe be better than a linear model on raw values?", "lead_high", 0.0, CEILING, TIME_TO_MOVE, "points", True
)
JUDGED = Question("Are there 15 labels a class?", "labels", 15, NO_SIGNAL, TOO_FEW, "count")
TREE = Question("Does the probe beat always answering the commonest class?", "signal", 0.005, LEAD, JUDGED, "points")


def walk(facts: Facts, node: Question | Leaf = TREE) -> tuple[list[Step], Leaf]:
    """The path that the facts take, and where it ends."""
    steps = []
    while isinstance(node, Question):
        value = getattr(facts, node.fact)
        yes = node.unknown if value is None else bool(value >= node.at_least)
        steps.append(Step(node.ask, node.fact, value, node.at_least, node.unit, yes))
        node = node.yes if yes else node.no
    return steps, node


def questions(node: Question | Leaf = TREE) -> Iterator[Question | Leaf]:
    """Every node, a parent before its children."""
    yield node
    if isinstance(node, Question):
        yield from questions(node.yes)
        yield from questions(node.no)
