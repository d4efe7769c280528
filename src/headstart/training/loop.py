"""The only training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import RunError
from headstart.progress import say, track
from headstart.training.checkpoint import load_checkpoint, save_checkpoint
from headstart.training.run import Run, sow


@dataclass(frozen=True)
class Recipe:
    """How long and how carefully to train.

    Attributes:
        epochs: passes over the training data at the most.
        patience: stop after this many epochs without a better validation score; 0 never stops early.
        warmup: share of all steps over which the rate rises from zero; it then falls along a cosine.
        clip: largest norm of the gradient.
        average: decay a step of the moving average of weights that is validated and kept; 0 keeps none.
    """

    epochs: int
    patience: int = 0
    warmup: float = 0.1
    clip: float = 1.0
    average: float = 0.0


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        module: everything that is trained or kept; in evaluation mode where ``groups`` leave it alone.
        batches: epoch number -> batches, the same for the same number.
        steps: batches an epoch.
        losses: batch -> named scalar losses; their sum is minimised.
        validate: module -> metrics, among them "score": higher is better.
        set_mode: puts ``module`` into training mode, frozen parts left in evaluation mode.
    """

    module: nn.Module
    batches: Callable[[int], Iterable[Any]]
    steps: int
    losses: Callable[[Any], dict[str, Tensor]]
    validate: Callable[[nn.Module], dict[str, float]]
    set_mode: Callable[[], None]


def minimise(objective: Objective, groups: list[dict[str, Any]], recipe: Recipe, run: Run) -> dict[str, Any]:
    """Train until the epochs, the patience or the time run out; ``objective.module`` ends with its best weights.

    After every epoch all that decides the rest (weights, moments, schedule, patience, best weights) is
    checkpointed, and an epoch's order and noise depend on nothing but the seed and its number: a killed run
    that is started again ends with the very result of an uninterrupted one.

    Returns:
        the state at the end: "epoch" (of the best weights; 0 is the start), "score", "epochs" (done), "stopped" (why).

    Raises:
        RunError: no weights, not even those of the start, have a validation score that is a number.
    """
    import copy

    module = objective.module
    optimiser = torch.optim.AdamW(groups)
    peaks = [group["lr"] for group in optimiser.param_groups]
    best, averaged = copy.deepcopy(module), copy.deepcopy(module)
    modules = {"module": module, "best": best, "averaged": averaged}
    path = None if run.folder is None else run.folder / f"{run.stage}.checkpoint"
    state = load_checkpoint(path, modules, optimiser) if path else None
    if state is None:
        metrics = objective.validate(module)
        state = {"epochs": 0, "epoch": 0, "score": metrics["score"], "stopped": "", "seconds": 0.0, "rows": []}
        state["rows"].append({"epoch": 0, "train_loss": None, **_public(metrics)})
        run.record(state["rows"][-1])
    else:
        say(f"{run.stage}: going on after epoch {state['epochs']}")
        for row in state["rows"]:
            run.record(row)
    total = recipe.epochs * objective.steps
    while not state["stopped"] and state["epochs"] < recipe.epochs:
        begun, epoch = time.perf_counter(), state["epochs"] + 1
        sow(run.seed, epoch)
        objective.set_mode()
        losses: list[float] = []
        for i, batch in enumerate(track(objective.batches(epoch), f"{run.stage} epoch {epoch}", objective.steps)):
            step = state["epochs"] * objective.steps + i
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * pace(step, total, recipe.warmup)
            losses.append(_step(objective, optimiser, batch, recipe.clip, run))
            if not math.isfinite(losses[-1]):
                break
            if recipe.average:
                _average(averaged, module, min(recipe.average, (step + 1) / (step + 10)))
        if not math.isfinite(losses[-1]):
            _diverged(losses, epoch, state, run)
            break
        kept = averaged if recipe.average else module
        metrics = objective.validate(kept)
        unusable = not math.isfinite(state["score"])  # nothing compares with NaN
        if metrics["score"] > state["score"] or (unusable and math.isfinite(metrics["score"])):
            state.update(score=metrics["score"], epoch=epoch)
            best.load_state_dict(kept.state_dict())
        state["epochs"] = epoch
        state["seconds"] += time.perf_counter() - begun
        row = {"epoch": epoch, "train_loss": sum(losses) / len(losses), **_public(metrics),
               "learning_rate": max(g["lr"] for g in optimiser.param_groups)}  # fmt: skip
        state["rows"].append(row)
        state["stopped"] = _why_stop(state, recipe, run)
        run.record(row)
        say(f"{run.stage} epoch {epoch}/{recipe.epochs}: loss {row['train_loss']:.3f}, validation "
            f"{metrics['score']:.3f}{' (best)' if state['epoch'] == epoch else ''}, {state['seconds'] / epoch:.0f} s an epoch")  # fmt: skip
        if path is not None:
            save_checkpoint(path, modules, optimiser, state)
    if not math.isfinite(state["score"]):
        raise RunError(f"{run.stage}: no weights, the start included, have a validation score that is a number. Check "
                       "the weights that the training began with, or lower the rate: --set learning_rate=...")  # fmt: skip
    module.load_state_dict(best.state_dict())
    module.eval()
    return state


def _diverged(losses: list[float], epoch: int, state: dict[str, Any], run: Run) -> None:
    """Say and record that a training ends because its loss is no number any more."""
    what = f"the loss became {'NaN' if math.isnan(losses[-1]) else 'infinite'} in epoch {epoch} at step {len(losses)}"
    note = f"{what}; the best weights so far, of epoch {state['epoch']}, are kept; lower the learning rate"
    say(f"{run.stage}: {note}")
    state["stopped"] = "diverged"
    state["rows"].append({"epoch": epoch, "train_loss": None, "stopped": "diverged", "note": note})
    run.record(state["rows"][-1])


def pace(step: int, total: int, warmup: float) -> float:
    """The share of the peak rate at a step: linear warm-up, then half a cosine down to zero."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, total - rising))


def _step(objective: Objective, optimiser: torch.optim.Optimizer, batch: Any, clip: float, run: Run) -> float:
    optimiser.zero_grad(set_to_none=True)
    with run.autocast:
        losses = objective.losses(batch)
    loss = torch.stack(list(losses.values())).sum()
    loss.backward()
    moving = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    nn.utils.clip_grad_norm_(moving, clip)
    optimiser.step()
    return float(loss.detach())


@torch.no_grad()
def _average(averaged: nn.Module, module: nn.Module, decay: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), module.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _why_stop(state: dict[str, Any], recipe: Recipe, run: Run) -> str:
    if recipe.patience and state["epochs"] - state["epoch"] >= recipe.patience:
        return "no better validation score"
    if run.seconds_left() < state["seconds"] / state["epochs"]:
        say(f"{run.stage}: stopping after epoch {state['epochs']}, the time budget has no room for another.")
        return "out of time"
    return ""


def _public(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items() if name != "score"}
