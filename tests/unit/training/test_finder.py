import math

import pytest
import torch
from rehearsal import network, samples
from torch.nn import functional

from headstart.training.finder import NUM_STEPS, find_rate
from headstart.training.loop import Objective
from headstart.training.run import Run
from tiny import frozen_bytes


def objective(module: torch.nn.Module, noise: bool = False) -> Objective:
    def losses(batch):  # type: ignore[no-untyped-def]
        if noise:  # nothing can be learned
            return {"a": sum(p.square().sum() for p in module.parameters()) * 0 + 1.0}
        return {"a": functional.cross_entropy(module(batch[0]), batch[1])}

    def batches(epoch: int):  # type: ignore[no-untyped-def]
        return (samples(10 * epoch + i) for i in range(4))

    return Objective(module, batches, 4, losses, lambda module: {"score": 0.0}, lambda: module.train() and None)


def groups(module: torch.nn.Module, rate: float) -> list[dict]:
    some = list(module.parameters())
    return [{"params": some[:2], "lr": rate / 2}, {"params": some[2:], "lr": rate}]


@pytest.mark.parametrize("rate", [1e-4, 3e-2])
def test_the_same_rate_is_found_wherever_it_begins(rate: float) -> None:
    module = network()
    before, given = frozen_bytes(module), groups(module, rate)
    curve = find_rate(objective(module), given, Run(stage="x"))
    assert frozen_bytes(module) == before and given[1]["lr"] == rate  # as if nothing had been
    slow, fast = (group["lr"] for group in curve.applied(given))
    assert fast == pytest.approx(2 * slow) and 3e-4 < fast < 0.1
    assert curve.factors == sorted(curve.factors) and len(curve.losses) == len(curve.factors) <= NUM_STEPS
    assert min(curve.losses) < 0.9 * curve.losses[0]
    assert f"{fast:.2g}" in curve.why


def test_a_curve_that_tells_nothing_keeps_the_usual_rate() -> None:
    module = network()
    curve = find_rate(objective(module, noise=True), groups(module, 1e-3), Run())
    assert curve.factor == 1.0 and "does not fall" in curve.why and math.isfinite(curve.losses[-1])


def test_it_is_repeatable() -> None:
    module = network()
    one, other = (find_rate(objective(module), groups(module, 1e-3), Run()) for _ in range(2))
    assert one == other
