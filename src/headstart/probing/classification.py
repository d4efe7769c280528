"""Classification: every solver fits a head of it."""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import torch

from headstart import plugins, solvers
from headstart.metrics.classification import log_loss
from headstart.models.backbone import Features
from headstart.probing import Fitted, Options
from headstart.progress import say
from headstart.tasks import Head, Task
from headstart.tasks._heads import LinearHead

FIRST = "logistic"
HEADS = (FIRST, *(name for name in plugins.names("solvers") if name != FIRST))

LEAST_SURE = 0.95  # of the loss of knowing nothing: a head that is no better on others keeps at least its direction
LEAST = -12.0  # logarithm of the least factor
FEW = 1000  # samples up to which mirror images are tried: beyond they gain little and cost a second pass


def mirrors(task: Task, labels: np.ndarray) -> bool:
    return len(labels) <= FEW


def fit(task: Task, vectors: np.ndarray, labels: np.ndarray, options: Options) -> Fitted:
    def solved(twins: np.ndarray | None) -> solvers.Fitted:
        return solvers.fit(options.head, vectors, labels, len(task.outputs), seed=options.seed, groups=options.groups,
                           more=options.more, twins=twins)  # fmt: skip

    found = solved(None)
    if not found.tried:
        said = f"{options.head} head at {found.setting:g}, the middle of its grid: too few samples for cross-validation"
        return Fitted(found.head, options.head, said)
    mirrored = ""
    if options.twins is not None:
        other = solved(options.twins)
        mirrored = f", without mirror images ({other.accuracy:.3f} with them)"
        if other.loss < found.loss:
            mirrored = f", with mirror images ({found.accuracy:.3f} without)"
            found = other
    said = f"{options.head} head, cross-validated accuracy {found.accuracy:.3f} at {found.setting:g}{mirrored}"
    return Fitted(found.head, options.head, said, partial(softened, found.head, vectors, labels, found.loss))


def softened(head: Head, vectors: np.ndarray, labels: np.ndarray, loss: float) -> Head:
    """The head with smaller logits, so that its loss on its own samples is what it is on others; what it answers is the same.

    With more features than samples a head fits its samples almost without loss, and a backbone that begins with it has next
    to no gradient to learn from: LP-FT then ends where it began. As unsure as it is of samples that it has not seen, it has one,
    in the direction that it points to.

    Args:
        vectors, labels: (n, dim) and (n,), its own samples.
        loss: cross-validated.
    """
    from scipy.optimize import brentq

    made = copy.deepcopy(head)
    if not isinstance(made, LinearHead):
        return made
    with torch.inference_mode():
        logits = made(Features(torch.from_numpy(np.asarray(vectors, np.float32)))).double().numpy()
    wanted = min(loss, LEAST_SURE * math.log(logits.shape[1]))

    def excess(power: float) -> float:
        return log_loss(math.exp(power) * logits, labels) - wanted

    if excess(0.0) < 0 < excess(LEAST):
        factor = math.exp(brentq(excess, LEAST, 0.0, xtol=1e-3))
        with torch.no_grad():
            made.linear.weight.mul_(factor)
            made.linear.bias.mul_(factor)
        say(f"fine-tuning begins with the head's logits times {factor:.2g}, as unsure of the training samples as it is of others")
    return made
