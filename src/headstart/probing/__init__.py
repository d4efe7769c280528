"""How a head is fitted on a table of features, for each kind of task: one file each, with the name of the task.

Each module has::

    HEADS: tuple[str, ...]                      # what "head" may be; the first is what "auto" stands for
    DISTINCT: tuple[str, ...]                   # without those that choose among others; without it all of them
    def fit(task, vectors, labels, options: Options) -> Fitted
    def mirrors(task, labels) -> bool           # where mirror images may help; without it they are never tried

``vectors`` are (n, dim) float32 raw features, ``labels`` what ``task.encode`` made of the labels. Regularisation is chosen
by cross-validation within these samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headstart import plugins
from headstart.errors import ConfigError, Incompatible
from headstart.synthetic import Synthetic
from headstart.tasks import Head, Task

AUTO = "auto"


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        head: a name out of ``HEADS``.
        groups: n names of what belongs together: no group is on both sides of a fold.
        more: how small classes get synthetic rows.
        twins: (n, dim) features of the same samples mirrored, learned too where cross-validation is better with them.
    """

    head: str
    seed: int = 0
    groups: Sequence[str] | None = None
    more: Synthetic | None = None
    twins: np.ndarray | None = None


@dataclass(frozen=True)
class Fitted:
    """A head, the name of its kind, and how good it was in cross-validation, in words.

    Attributes:
        softened: the head that fine-tuning begins with, where it is another one: as unsure of its own samples as it is of
            others, see ``probing.classification``.
    """

    head: Head
    name: str
    said: str
    softened: Callable[[], Head] | None = None

    @property
    def start(self) -> Head:
        """What fine-tuning begins with."""
        return self.head if self.softened is None else self.softened()


def check(task: Task, head: str) -> str:
    """The name of the head that "auto" or a name stands for.

    Raises:
        ConfigError: there is no such head.
        Incompatible: the head is for another kind of task.
    """
    heads = plugins.load("probing", task.kind).HEADS
    if head in (AUTO, *heads):
        return str(heads[0] if head == AUTO else head)
    known = {name for kind in plugins.names("probing") for name in plugins.load("probing", kind).HEADS}
    listed = ", ".join(heads)
    if head in known:
        raise Incompatible(f"The head {head} is not for the task {task.kind}; there are: {listed}.")
    raise ConfigError(f"There is no head {head!r} for the task {task.kind}: {listed}.")


def fit(
    task: Task, vectors: np.ndarray, labels: np.ndarray, *,
    head: str = AUTO, seed: int = 0, groups: Sequence[str] | None = None, more: Synthetic | None = None,
    twins: np.ndarray | None = None,
) -> Fitted:  # fmt: skip
    """The head that suits the task, fitted on features.

    Args:
        twins: see ``Options``; left out where ``mirrors`` says no.

    Raises:
        ConfigError, Incompatible: see ``check``.
    """
    name = check(task, head)
    if more and task.kind != "classification":
        raise Incompatible(f"Synthetic rows are made for small classes, and the task is {task.kind}. Leave synthetic out.")
    if twins is not None and not mirrors(task, labels):
        twins = None
    found: Fitted = plugins.load("probing", task.kind).fit(task, vectors, labels, Options(name, seed, groups, more, twins))
    return found


def distinct(task: Task) -> tuple[str, ...]:
    """The heads of a kind of task that a search tells apart."""
    module = plugins.load("probing", task.kind)
    found: tuple[str, ...] = getattr(module, "DISTINCT", module.HEADS)
    return found


def mirrors(task: Task, labels: np.ndarray) -> bool:
    """Whether mirror images of the samples, if they have any, are worth a try for these labels."""
    asked = getattr(plugins.load("probing", task.kind), "mirrors", None)
    return bool(asked and asked(task, labels))
