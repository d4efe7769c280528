"""The rate finder: a short training whose rate rises from far too small to far too large.

Smith 2017, Cyclical learning rates, arXiv 1506.01186, section 3.3. The weights are as before afterwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headstart.progress import say
from headstart.training.loop import Objective
from headstart.training.optimiser import LARGEST_RATE, adamw
from headstart.training.run import Run
from headstart.training.step import Step

NUM_STEPS = 50
SPAN = (1e-3, 1e3)  # times the rates of the groups
MEMORY = 0.9  # of the smoothed loss, a step
EXPLODED = 3.0  # times the lowest loss: what comes after tells nothing
MARGIN = 10.0  # below the rate of the lowest loss training is still stable when it goes on for long


@dataclass(frozen=True)
class RateCurve:
    """Attributes:
    factors: by which all rates were multiplied, step by step.
    losses: the smoothed loss at each.
    factor: the one to train with; 1.0, the usual rates, where the curve tells nothing.
    why: in words.
    """

    factors: list[float]
    losses: list[float]
    factor: float
    why: str

    def applied(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The groups at the rates found."""
        return [{**group, "lr": group["lr"] * self.factor} for group in groups]


def find_rate(objective: Objective, groups: list[dict[str, Any]], run: Run) -> RateCurve:
    """Try rising rates on at most ``NUM_STEPS`` steps; the ratios between the groups stay.

    Raises:
        ConfigError: the groups have rates with which nothing can be learned.
    """
    module = objective.module
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    optimiser = adamw(groups)
    rates = [group["lr"] for group in optimiser.param_groups]
    low, high = SPAN[0], min(SPAN[1], LARGEST_RATE / max(rates))
    step = Step(objective.losses, optimiser, run, clip=math.inf)
    factors: list[float] = []
    losses: list[float] = []
    mean = 0.0
    objective.set_mode()
    for i, batch in enumerate(itertools.islice(_batches(objective), NUM_STEPS)):
        factor = low * (high / low) ** (i / (NUM_STEPS - 1))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        loss = step(batch, run.seed, 0, i)  # the loss before this step, so that of the rates before
        mean = MEMORY * mean + (1 - MEMORY) * loss
        smooth = mean / (1 - MEMORY ** (i + 1))
        if not math.isfinite(smooth) or (losses and smooth > EXPLODED * min(losses)):
            break
        factors.append(factor)
        losses.append(smooth)
    module.load_state_dict(before)
    found, why = _chosen(factors, losses, max(rates))
    say(f"{run.stage}: {why}")
    return RateCurve(factors, losses, found, why)


def _chosen(factors: list[float], losses: list[float], rate: float) -> tuple[float, str]:
    """The factor that the curve speaks for, and why; ``rate`` is the highest one at the factor 1."""
    lowest = min(range(len(losses)), key=losses.__getitem__, default=0)
    if lowest < 5 or losses[lowest] > 0.98 * losses[0]:
        return 1.0, (f"rate finder: the loss does not fall clearly at any rate within {len(losses)} steps, so the usual rate "
                     f"{rate:.2g} stays")  # fmt: skip
    found = factors[lowest] / MARGIN
    return found, (f"rate finder: the loss is lowest, {losses[lowest]:.3g} after {losses[0]:.3g}, at the rate "
                   f"{rate * factors[lowest]:.2g}; training at a tenth of it, {rate * found:.2g}")  # fmt: skip


def _batches(objective: Objective) -> Iterator[Any]:
    for epoch in itertools.count(1):
        yield from objective.batches(epoch)
