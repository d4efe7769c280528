"""What a search tries: every head of a probe, then fine-tunings whose settings Optuna draws one after another."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from headstart import probing
from headstart.data import augment
from headstart.errors import ConfigError, Incompatible, MissingExtra
from headstart.models.backbone import Backbone
from headstart.progress import say
from headstart.tasks import Task
from headstart.tuning import Tuning, named

if TYPE_CHECKING:
    from optuna.trial import Trial

TUNINGS = ("full", "last:1", "last:2", "norms", "lora:8", "gradual")
EPOCHS = (2, 4, 8)
WIDTH = 10.0  # the learning rate is looked for from the usual one divided by this up to it times this
DECAYS = (1e-4, 0.3)  # weight decay; the usual one of fine-tuning is 0.01
DECAY = 0.01
AT_LEAST = 3  # fine-tunings of the longest kind that a budget must have room for


@dataclass(frozen=True)
class Space:
    """
    Attributes:
        heads: of a probe. There are so few that each is tried once, before anything else.
        rate: the usual learning rate of the model.
        tunings: what can move in this model, by name; empty where it cannot be fine-tuned.
        augments: recipes of augmentation, the usual one first.
        epochs: lengths of training that the budget has room for.
    """

    heads: tuple[str, ...]
    rate: float = 0.0
    tunings: tuple[str, ...] = ()
    augments: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()

    def first(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is tried before anything is drawn: every probe, then fine-tuning as it is without a search."""
        yield from (("probe", {"head": head}) for head in self.heads)
        if self.tunings:
            usual = {"learning_rate": self.rate, "tuning": self.tunings[0], "augment": self.augments[0],
                     "epochs": self.epochs[-1]}  # fmt: skip
            yield "finetune", usual | ({"weight_decay": DECAY} if _decays(self.tunings[0]) else {})

    def drawn(self, approach: str, trial: Trial) -> dict[str, Any]:
        """The settings of the approach that a trial stands for, as run.toml has them."""
        if approach == "probe":
            return {"name": "probe", "head": trial.suggest_categorical("head", self.heads)}
        rate = trial.suggest_float("learning_rate", self.rate / WIDTH, self.rate * WIDTH, log=True)
        tuning = trial.suggest_categorical("tuning", self.tunings)
        if _decays(tuning):
            tuning += f":weight_decay={trial.suggest_float('weight_decay', *DECAYS, log=True):.2g}"
        return {
            "name": "finetune",
            "learning_rate": float(f"{rate:.3g}"),
            "tuning": tuning,
            "augment": trial.suggest_categorical("augment", self.augments),
            "epochs": trial.suggest_categorical("epochs", self.epochs),
        }


def space_of(backbone: Backbone, task: Task, modality: str, epoch: float, budget: float | None) -> Space:
    """The space for a model and its data; says what is left out, and why.

    Args:
        epoch: seconds that one pass of full fine-tuning takes.
        budget: seconds for the whole search, or None.
    """
    heads = probing.distinct(task)
    if "gradients" not in backbone.provides:
        say(f"{backbone.reference} has no gradients, so only the {len(heads)} heads of a probe are tried")
        return Space(heads)
    epochs = tuple(number for number in EPOCHS if budget is None or AT_LEAST * number * epoch <= budget)
    if not epochs and budget is not None and epoch <= budget:
        epochs = (1,)
    if not epochs:
        say(f"only the {len(heads)} heads of a probe are tried: one pass of fine-tuning takes about {epoch:.0f} s "
            f"and the budget is {budget:.0f} s (--budget sets more, --shots fewer samples)")  # fmt: skip
        return Space(heads)
    return Space(heads, backbone.rate, tuple(_possible(backbone)), tuple(recipes(modality)), epochs)


def recipes(modality: str) -> Iterator[str]:
    """The usual augmentations, none, and the usual ones with each of the others that need no setting."""
    usual = augment.usual(modality)
    yield ",".join(usual)
    if usual:
        yield ""
    for step in augment.steps(modality, augment.names(modality)):
        if not step.usual and step.settled and not step.available():
            yield ",".join((*usual, step.name))


def _possible(backbone: Backbone) -> Iterator[str]:
    """The tunings that have something to move in this model."""
    for name in TUNINGS:
        chosen = named(name)
        assert isinstance(chosen, Tuning)
        try:
            chosen.groups(copy.deepcopy(backbone), backbone.rate)
        except (ConfigError, Incompatible, MissingExtra) as problem:
            say(f"note: the tuning {name} is left out: {problem}")
        else:
            yield name


def _decays(tuning: str) -> bool:
    """Whether the tuning has a weight decay of its own; where only vectors move there is none."""
    return "weight_decay" in {entry.name for entry in fields(named(tuning))}  # type: ignore[arg-type]
