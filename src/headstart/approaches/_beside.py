"""Helpers beside the target: how far each may move the shared weights is decided in every step, by its gradient.

Du et al. 2018, Adapting Auxiliary Losses Using Gradient Similarity, arXiv 1812.02224, the weighted version: a helper's loss
counts max(0, cos) on the shared weights, where cos is the cosine of the angle between its gradient and that of the
target's loss. So a helper that pulls the other way does not count, and one that has nothing to say hardly does. Its head
learns by its own loss, unweighted, for it is the helper's alone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from headstart.auxiliary import Auxiliary, Question, Recipe
from headstart.models.backbone import Backbone, Features
from headstart.progress import say
from headstart.tasks import Head
from headstart.training.batches import Batch


@dataclass(frozen=True)
class Joint:
    """A batch of the target, and one of each helper."""

    main: Batch
    asked: tuple[Batch, ...]


class Beside(nn.Module):
    """The heads of helpers and what is remembered of them since ``drain``; in buffers, so that a checkpoint keeps it."""

    told: Tensor

    def __init__(self, questions: Mapping[str, Question], shared: Sequence[nn.Parameter], stage: str) -> None:
        super().__init__()
        self.names, self.stage = tuple(questions), stage
        self.heads = nn.ModuleList(question.head for question in questions.values())
        self._posed = tuple(question.posed for question in questions.values())
        self._shared = [parameter for parameter in shared if parameter.requires_grad]
        self.register_buffer(
            "told", torch.zeros(len(questions), 4, dtype=torch.float64)
        )  # steps, weights, cosines, losses
        self._said: set[str] = set()

    def joined(self, shown: Callable[[int], Iterable[Batch]]) -> Callable[[int], Iterator[Joint]]:
        """Batches by epoch with those of the helpers beside them."""

        def epoch_of(epoch: int) -> Iterator[Joint]:
            main, *copies = itertools.tee(shown(epoch), 1 + len(self._posed))
            asked = [posed(copy, epoch) for posed, copy in zip(self._posed, copies, strict=True)]
            for batch, *others in zip(main, *asked, strict=False):
                yield Joint(batch, tuple(others))

        return epoch_of

    def losses(self, backbone: Backbone, main: Tensor, asked: Sequence[Batch]) -> dict[str, Tensor]:
        """A term for each helper whose gradient is that of its weighted loss, and whose value is 0.

        So what is reported as the loss of the training stays that of the target.

        Args:
            main: the loss of the target in this step.
        """
        found: dict[str, Tensor] = {}
        wanted = self._slope(main)
        for place, (name, head, batch) in enumerate(zip(self.names, self.heads, asked, strict=True)):
            assert isinstance(head, Head)
            with undisturbed(backbone):
                features = backbone(batch.inputs)
            loss = torch.stack(list(head.losses(features, batch.labels).values())).sum()
            value = float(loss.detach())
            if not math.isfinite(value):
                self._say(name, value)
                continue
            cosine = cosine_of(wanted, self._slope(loss))
            weight = max(0.0, cosine)
            self.told[place] += torch.tensor([1.0, weight, cosine, value], dtype=torch.float64, device=self.told.device)
            own = torch.stack(list(head.losses(weighted(features, weight), batch.labels).values())).sum()
            found[f"helper {name}"] = own - own.detach()
        return found

    def drain(self) -> dict[str, float]:
        """Means since the last call: the weight of each helper, its cosine with the target, its loss."""
        found: dict[str, float] = {}
        for name, row in zip(self.names, self.told.tolist(), strict=True):
            if row[0]:
                found |= {
                    f"helper {what} {name}": value / row[0]
                    for what, value in zip(("weight", "cosine", "loss"), row[1:], strict=True)
                }
        self.told.zero_()
        return found

    def _slope(self, loss: Tensor) -> Tensor:
        """(p,) the gradient on the shared weights."""
        slopes = torch.autograd.grad(loss, self._shared, retain_graph=True, allow_unused=True)
        return torch.cat([torch.zeros(p.numel(), device=p.device) if g is None else g.flatten().float()
                          for p, g in zip(self._shared, slopes, strict=True)])  # fmt: skip

    def _say(self, name: str, value: float) -> None:
        if name not in self._said:
            self._said.add(name)
            say(
                f"{self.stage}: the loss of the helper {name!r} became {value}; steps in which it is no number go on without it"
            )


def begun(
    helpers: Mapping[str, Auxiliary], backbone: Backbone, size: int, recipe: Recipe, seed: int, stage: str
) -> Beside:
    """The helpers of a training."""
    questions = {name: helper.begin(backbone, size, recipe, seed) for name, helper in helpers.items()}
    return Beside(questions, list(backbone.parameters()), stage)


def cosine_of(one: Tensor, other: Tensor) -> float:
    """0 where one of both has no length."""
    return float(one.double() @ other.double() / (one.double().norm() * other.double().norm()).clamp(min=1e-30))


def weighted(features: Features, weight: float) -> Features:
    """The same features, whose gradient is multiplied by the weight on its way to the backbone."""

    def scaled(part: Tensor | None) -> Tensor | None:
        return None if part is None else part * weight + part.detach() * (1 - weight) if weight else part.detach()

    vector = scaled(features.vector)
    assert vector is not None
    return replace(features, vector=vector, tokens=scaled(features.tokens), maps=scaled(features.maps))


@contextlib.contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Within it, batch norms in training mode take the statistics of the batch and do not remember them."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
