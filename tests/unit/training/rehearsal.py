"""A small training with everything that could make a resumed run differ: batch norm, dropout, averaging, channels last."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.training.loop import Objective, Recipe, minimise
from headstart.training.run import Run, sow

torch.set_num_threads(1)
STEPS = 4


def network() -> nn.Module:
    sow(3)
    parts = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(6 * 36, 2)]
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def samples(seed: int, n: int = 16) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 3, 8, 8)) + 0.4 * y[:, None, None, None]
    return torch.from_numpy(x.astype(np.float32)).contiguous(memory_format=torch.channels_last), torch.from_numpy(y)


def rehearse(
    folder: Path | None,
    *,
    recipe: Recipe | None = None,
    seed: int = 0,
    rate: float = 0.01,
    watch: Callable[[int, nn.Module], float | None] = lambda call, module: None,
    meet: Callable[[int, int], float] = lambda call, size: 1.0,
    pause: float = 300.0,
    plain: bool = False,
    data: str = "some",
    deadline: float | None = None,
    steps: int = STEPS,
) -> tuple[nn.Module, dict[str, Any], Run]:
    """Train; ``watch(call, module)`` sees every validation and may set its score.

    ``meet(call, size)`` sees every computation of losses before it happens, with the size of its batch, and gives a
    factor. ``plain`` leaves out what differs between a batch and its portions: dropout and the batch norm's own statistics.
    """
    module, run, calls, met = network(), Run(folder, seed, deadline=deadline, stage="rehearsal", pause=pause), [], []

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for i in range(steps):
            yield samples(1000 * seed + 10 * epoch + i)

    def losses(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        met.append(0)
        factor = meet(len(met), len(batch[1]))
        logits = module(batch[0])
        return {"a": factor * functional.cross_entropy(logits, batch[1]), "b": 0.01 * logits.square().mean()}

    @torch.inference_mode()
    def validate(module: nn.Module) -> dict[str, float]:
        calls.append(0)
        x, y = samples(-1 % 2**31, 200)
        logits = module.eval()(x).float()
        score = watch(len(calls) - 1, module)
        accuracy = float((logits.argmax(1) == y).float().mean())
        loss = float(functional.cross_entropy(logits, y))
        return {"accuracy": accuracy, "score": accuracy - 0.001 * loss if score is None else score}

    def set_mode() -> None:
        module.train(not plain)

    objective = Objective(module, batches, steps, losses, validate, set_mode, lambda: {"data": data})
    decayed = [
        {"params": list(module.parameters())[:2], "lr": rate},
        {"params": list(module.parameters())[2:], "lr": rate / 2},
    ]
    state = minimise(objective, decayed, recipe or Recipe(8, average=0.5), run)
    return module, state, run


def linger(call: int, size: int) -> float:
    print(call, flush=True)
    time.sleep(0.01)
    return 1.0


if __name__ == "__main__":
    rehearse(Path(sys.argv[1]), meet=linger, pause=0.0)
