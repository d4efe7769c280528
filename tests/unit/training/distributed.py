"""One of two processes: trains the rehearsal, then judges a tiny network; the first writes what came of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from rehearsal import rehearse
from torch import nn

import tiny
from headstart.approaches import Network, judge
from headstart.training.loop import Recipe
from headstart.training.processes import own_place, processes
from headstart.training.run import Run


def outcome(folder: Path | None) -> tuple[dict[str, np.ndarray], dict]:
    """Gradients of the first step, weights after 3 epochs, and what validation saw."""
    arrays: dict[str, np.ndarray] = {}
    module, _, _ = rehearse(None, recipe=Recipe(1, clip=1e9), plain=True, steps=1)
    arrays |= {f"gradient {name}": p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
    module, _, run = rehearse(folder, recipe=Recipe(3), plain=True)
    arrays |= {f"weight {name}": p.detach().numpy() for name, p in module.named_parameters()}
    sizes: list[int] = []
    backbone = tiny.backbone()
    network = Network(backbone, tiny.task().head(backbone.spec.dim))
    network.head.register_forward_hook(lambda module, given, output: sizes.append(len(output)))
    metrics = judge(tiny.task(), tiny.dataset(30, 2), run)(network)
    return arrays, {"history": run.history, "metrics": metrics, "sizes": sizes, "dropout": noise()}


def noise() -> float:
    """What the first step's dropout leaves of ones: every process should draw its own."""
    from headstart.training.step import Step

    weight = nn.Parameter(torch.ones(64))
    step = Step(
        lambda batch: {"a": nn.functional.dropout(weight * batch, 0.5).sum()},
        torch.optim.SGD([weight], 1.0),
        Run(),
        1e9,
    )
    step._gradients(torch.ones(2, 64), 0)
    assert weight.grad is not None
    return float((weight.grad * torch.arange(64)).sum())


if __name__ == "__main__":
    Run.precision = torch.float32  # type: ignore[assignment,method-assign] # so that sums differ by rounding alone
    folder = own_place(Path(sys.argv[1]))
    folder.mkdir(parents=True, exist_ok=True)
    arrays, facts = outcome(folder)
    np.savez(Path(sys.argv[2]) / f"{processes().rank}.npz", **arrays)
    (Path(sys.argv[2]) / f"{processes().rank}.json").write_text(json.dumps({**facts, "folder": str(folder)}))
