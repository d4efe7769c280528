"""One step of the optimiser, however many portions and processes its batch needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import RunError
from headstart.progress import say
from headstart.training.portions import divided, num_samples
from headstart.training.processes import processes
from headstart.training.run import Run, sow

FULL = ("can't allocate memory", "not enough memory")  # what the allocators of the CPU say


@dataclass
class Step:
    """Gradients of a whole batch, summed over its portions and processes, then clipped and applied.

    A batch that does not fit into memory is taken in twice as many portions from then on: the gradient stays that of
    the whole batch (of losses that are means over samples; batch norms in training mode see a portion at a time).

    Attributes:
        clip: largest norm of the gradient.
        at_once: most samples that are computed at once; 0 begins with the whole batch.
        portions: into how many portions a batch is cut so far.
    """

    losses: Callable[[Any], dict[str, Tensor]]
    optimiser: torch.optim.Optimizer
    run: Run
    clip: float
    at_once: int = 0
    portions: int = 1

    def __post_init__(self) -> None:
        self.processes = processes()
        # float16 alone needs it: small gradients would become 0 (Micikevicius et al. 2018, arXiv 1710.03740)
        enabled = self.run.precision is torch.float16
        self.scaler = torch.amp.GradScaler(self.run.device.type, enabled=enabled)

    def __call__(self, batch: Any, *seeds: int) -> float:
        """Take the step; the noise in it depends on the seeds alone. Returns the loss of the whole batch.

        Raises:
            RunError: not even a single sample fits into memory.
        """
        while (loss := self._gradients(batch, *seeds)) is None:
            self._halve(batch)
        moving = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        self.processes.sum_gradients(moving)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(moving, self.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return float(self.processes.sum(loss))

    def memory(self) -> dict[str, Any]:
        """What a resumed training must know of the steps before, as JSON can hold it."""
        return {"portions": self.portions, "scaler": self.scaler.state_dict()}

    def resume(self, memory: dict[str, Any]) -> None:
        self.portions = memory["portions"]
        if memory["scaler"]:  # empty where the training began in a precision that needs no scale
            self.scaler.load_state_dict(memory["scaler"])

    def _gradients(self, batch: Any, *seeds: int) -> Tensor | None:
        """Leave the gradients of this process's share in the parameters; None where memory ran out."""
        sow(*seeds, *([self.processes.rank] if self.processes.rank else []))
        self.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.run.device)
        shares = divided(batch, self.processes.count)
        own = shares[self.processes.rank : self.processes.rank + 1]  # none where there are more processes than samples
        try:
            for mine, part in own:
                for portion, share in divided(mine, self._num_portions(mine)):
                    with self.run.autocast:
                        losses = self.losses(portion)
                    loss = torch.stack(list(losses.values())).sum() * (share * part)
                    self.scaler.scale(loss).backward()
                    total += loss.detach()
        except (torch.cuda.OutOfMemoryError, MemoryError):
            return None
        except RuntimeError as problem:
            if not any(words in str(problem) for words in FULL):
                raise
            return None
        return total

    def _num_portions(self, batch: Any) -> int:
        wanted = math.ceil(num_samples(batch) / self.at_once) if self.at_once else 1
        return max(self.portions, wanted)

    def _halve(self, batch: Any) -> None:
        """After memory ran out, outside of the error, whose traceback would hold on to the memory."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.run.device.type == "cuda":
            torch.cuda.empty_cache()
        own = math.ceil(num_samples(batch) / self.processes.count)
        before = self._num_portions(divided(batch, self.processes.count)[0][0])
        if before >= own:
            raise RunError("Memory is not enough to train with even one sample at a time. Choose a smaller model or smaller "
                           "inputs, move fewer stages (--set tuning=last:1), or take --approach probe.")  # fmt: skip
        self.portions = 2 * before
        say(f"{self.run.stage}: out of memory with {math.ceil(own / before)} samples at once; going on with "
            f"{math.ceil(own / self.portions)} at once, and the same {num_samples(batch)} a step")  # fmt: skip
