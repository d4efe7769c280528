"""Training several tasks at once: the weights of their losses, how their gradients agree, and losses that are no number."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart import balancing
from headstart.balancing import Balancing
from headstart.balancing.fixed import Fixed
from headstart.models.backbone import Backbone, Features
from headstart.progress import hushed, say
from headstart.tasks import Head
from headstart.tasks._several import SeveralHead
from headstart.training.run import Run

LOOKS = 8  # steps an epoch whose gradients are compared where the way of balancing does not do so anyway;
EVERY = 4  # and at most one in so many, for it costs a pass backwards for every task
MANY = 10  # times the samples of another task, from which on "auto" samples alike
LIGHTER = 0.3  # weight of a task that is tried to count less


class _Known(torch.autograd.Function):
    """A value whose gradients on the parameters are given, so that nothing is computed backwards a second time."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slopes: Sequence[Tensor | None], *parameters: Tensor) -> Tensor:
        ctx.slopes = slopes
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Any:
        return (None, None, *(None if slope is None else above[0] * slope for slope in ctx.slopes))


def _moving(head: Head) -> list[nn.Parameter]:
    return [parameter for parameter in head.parameters() if parameter.requires_grad]


class Weigher(nn.Module):
    """Losses of several tasks whose sum has the gradient that a way of balancing asks for.

    The heads move along the gradient of their own loss, the shared parameters along the weighted sum: features enter the
    loss of task t as they are, and its gradient leaves them multiplied by weight t. What it remembers is in its buffers,
    so a checkpoint keeps it.
    """

    state: Tensor
    cosines: Tensor
    seen: Tensor
    step: Tensor

    def __init__(self, way: Balancing, head: SeveralHead, shared: Sequence[nn.Parameter], steps: int, stage: str) -> None:
        super().__init__()
        number = len(head.names)
        self.way, self.names, self.stage, self.steps = way, head.names, stage, steps
        self._shared = [parameter for parameter in shared if parameter.requires_grad]
        self.register_buffer("state", way.begin(number, steps))
        self.register_buffer("cosines", torch.zeros(number, number, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(number, number, dtype=torch.float64))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._said: set[str] = set()

    def losses(self, head: Head, features: Features, labels: Tensor) -> dict[str, Tensor]:
        """One loss a task; those that are no number are left out of this step, and named."""
        found = self._usable(head.losses(features, labels))
        if not torch.is_grad_enabled() or not found:
            return found
        names = [name for name in self.names if name in found]
        places = [self.names.index(name) for name in names]
        look = bool(self._shared) and len(names) > 1 and int(self.step) % max(EVERY, self.steps // LOOKS) == 0
        slopes: list[list[Tensor | None]] = []
        gram = None
        if self._shared and (look or self.way.gradients) and len(names) > 1:
            slopes = self._slopes(head, [found[name] for name in names])
            gram = self._gram(slopes)
        if gram is not None and look:
            self.cosines[torch.tensor(places)[:, None], torch.tensor(places)] += balancing.cosines(gram)
            self.seen[torch.tensor(places)[:, None], torch.tensor(places)] += 1
        self.step += 1
        weights = self._weights(found, names, gram)
        if slopes:
            return self._known(head, found, [float(weights[place]) for place in places], slopes)
        return found if bool((weights == 1).all()) else self._weighted(head, features, labels, names, weights)

    def _weights(self, found: dict[str, Tensor], names: list[str], gram: Tensor | None) -> Tensor:
        """(T,) of all tasks. A step in which a task has no loss leaves the memory alone and weighs all alike."""
        if len(names) < len(self.names) or (self.way.gradients and gram is None):
            return torch.ones(len(self.names), dtype=torch.float64)
        values = torch.tensor([float(found[name].detach()) for name in self.names], dtype=torch.float64)
        weights, state = self.way.weigh(values, gram, self.state.cpu())
        self.state.copy_(state)
        return weights

    def _weighted(
        self, head: Head, features: Features, labels: Tensor, names: list[str], weights: Tensor
    ) -> dict[str, Tensor]:
        found = {}
        for name in names:
            weight = float(weights[self.names.index(name)])
            vector = features.vector * weight + features.vector.detach() * (1 - weight)
            found[name] = head.losses(replace(features, vector=vector), labels)[name]
        return found

    def _slopes(self, head: Head, losses: list[Tensor]) -> list[list[Tensor | None]]:
        """For each loss the gradient on every shared parameter, then on every one of the heads; None where it has none."""
        moving = [*self._shared, *_moving(head)]
        return [list(torch.autograd.grad(loss, moving, retain_graph=number + 1 < len(losses), allow_unused=True))
                for number, loss in enumerate(losses)]  # fmt: skip

    def _gram(self, slopes: list[list[Tensor | None]]) -> Tensor:
        rows = []
        for own in slopes:
            flat = [torch.zeros_like(p).flatten() if g is None else g.flatten()
                    for p, g in zip(self._shared, own, strict=False)]  # fmt: skip
            rows.append(torch.cat(flat).float())
        table = torch.stack(rows)
        return (table @ table.T).double().cpu()

    def _known(
        self, head: Head, losses: dict[str, Tensor], weights: list[float], slopes: list[list[Tensor | None]]
    ) -> dict[str, Tensor]:
        """The losses with the gradients that are computed already, those of the shared parameters weighted."""
        count, moving = len(self._shared), [*self._shared, *_moving(head)]
        found = {}
        for (name, loss), weight, own in zip(losses.items(), weights, slopes, strict=True):
            weighted = [None if g is None else g * weight for g in own[:count]]
            found[name] = _Known.apply(loss.detach(), [*weighted, *own[count:]], *moving)  # type: ignore[no-untyped-call]
        return found

    def _usable(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        odd = [name for name, value in values.items() if not math.isfinite(value)]
        if not odd or len(odd) == len(losses):  # all of them: the loop stops as it does for a single task
            return losses
        for name in odd:
            if name not in self._said:
                self._said.add(name)
                say(f"{self.stage}: the loss of the task {name!r} became {values[name]}; steps in which it is no number go "
                    "on without it, and the other tasks are kept. Check its labels, or lower the rate")  # fmt: skip
        return {name: loss for name, loss in losses.items() if name not in odd}

    def drain(self) -> dict[str, float]:
        """The mean cosine of each pair of gradients since the last call, by name."""
        found = {}
        for i, j in itertools.combinations(range(len(self.names)), 2):
            if float(self.seen[i, j]):
                found[f"cosine {self.names[i]} | {self.names[j]}"] = float(self.cosines[i, j] / self.seen[i, j])
        self.cosines.zero_()
        self.seen.zero_()
        return found


def tuned_weights(
    way: str, head: Head, run: Run, trial: Callable[[str, Head, Run], dict[str, Any]]
) -> tuple[str, str]:
    """Fixed weights chosen by short trainings, and why: all alike, or one task lighter than the others.

    Args:
        way: as ``balancing.named`` reads it; anything but "fixed" without weights is taken as it is.
        trial: trains copies for an epoch with a way, and gives the state at the end.
    """
    chosen = balancing.named(way)
    if not isinstance(head, SeveralHead) or not isinstance(chosen, Fixed) or chosen.weights:
        return way, ""
    number = len(head.names)
    rows = [[1.0] * number, *([LIGHTER if i == j else 1.0 for j in range(number)] for i in range(number))]
    scores = []
    for row in rows:
        text = "fixed:" + "+".join(f"{weight:g}" for weight in row)
        with hushed():
            state = trial(text, copy.deepcopy(head), Run(None, run.seed, run.store, run.deadline, f"{run.stage} trial"))
        scores.append((float(state["scores"][-1]), text))  # not the best one, which may be the start
    best = max(range(len(rows)), key=lambda i: scores[i][0])
    listed = ", ".join(f"{text.removeprefix('fixed:')} {score:.3f}" for score, text in scores)
    return scores[best][1], (f"weights of the tasks {', '.join(head.names)} tuned by an epoch each, validation score: "
                             f"{listed}; {scores[best][1].removeprefix('fixed:')} are taken")  # fmt: skip


def drawn(way: str, labels: np.ndarray, head: Head, stage: str) -> np.ndarray | None:
    """(n,) for each sample the number of its group, where an epoch should draw from all groups alike; else None.

    Samples that have labels of the same tasks are a group: with several data sets, each is one.

    Args:
        way: "proportional", "balanced", or "auto": balanced where a group is ``MANY`` times as large as another.
        labels: (n, columns), NaN where one is missing.
    """
    if way == "proportional" or not isinstance(head, SeveralHead):
        return None
    blocks = np.split(np.isfinite(labels), np.cumsum(head.widths)[:-1], axis=1)
    have = np.stack([block.any(1) for block in blocks], 1)
    _, kinds, counts = np.unique(have, axis=0, return_inverse=True, return_counts=True)
    if len(counts) < 2 or (way == "auto" and counts.max() < MANY * counts.min()):
        return None
    # groups that overlap (a column with gaps) are no data sets: an epoch of the few would hide the many
    if way == "auto" and (have.sum(1) > 1).any():
        return None
    say(f"{stage}: every epoch draws as many samples of each of {len(counts)} groups of tasks, which have "
        f"{', '.join(map(str, sorted(counts.tolist())))} training samples; --set sampling=proportional draws every sample once")  # fmt: skip
    return np.asarray(kinds).reshape(-1)


def weigher(way: str, head: Head, backbone: Backbone, steps: int, stage: str) -> Weigher | None:
    """For a head of several tasks; None for others."""
    if not isinstance(head, SeveralHead):
        return None
    return Weigher(balancing.named(way or "fixed"), head, list(backbone.parameters()), steps, stage)
