"""The only training loop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import RunError
from headstart.progress import brief_duration, say, track
from headstart.training.checkpoint import read_checkpoint, restore, save_checkpoint, shared
from headstart.training.curve import sparkline
from headstart.training.identity import refuse_others
from headstart.training.optimiser import adamw
from headstart.training.processes import processes
from headstart.training.run import Run
from headstart.training.schedule import Schedule
from headstart.training.step import Step

START_KEPT = "no epoch was better on validation than the start, whose weights are kept"


@dataclass(frozen=True)
class Recipe:
    """How long and how carefully to train.

    Attributes:
        epochs: passes over the training data at the most.
        patience: stop after this many epochs without a better validation score; 0 never stops early.
        warmup: share of all steps over which the rate rises from zero; it then falls along a cosine.
        clip: largest norm of the gradient.
        average: decay a step of the moving average of weights that is validated and kept; 0 keeps none.
        at_once: most samples computed at once, the gradients of a batch's portions being summed; 0: as memory allows.
    """

    epochs: int
    patience: int = 0
    warmup: float = 0.1
    clip: float = 1.0
    average: float = 0.0
    at_once: int = 0


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        module: everything that is trained or kept; in evaluation mode where ``groups`` leave it alone.
        batches: epoch number -> batches, the same for the same number.
        steps: batches an epoch.
        losses: batch -> named scalar losses, means over its samples; their sum is minimised.
        validate: module -> metrics, among them "score": higher is better.
        set_mode: puts ``module`` into training mode, frozen parts left in evaluation mode.
        identity: facts (of the data, say) without which a checkpoint cannot be gone on with.
    """

    module: nn.Module
    batches: Callable[[int], Iterable[Any]]
    steps: int
    losses: Callable[[Any], dict[str, Tensor]]
    validate: Callable[[nn.Module], dict[str, float]]
    set_mode: Callable[[], None]
    identity: Callable[[], dict[str, Any]] = field(default=dict)


def minimise(objective: Objective, groups: list[dict[str, Any]], recipe: Recipe, run: Run) -> dict[str, Any]:
    """Train until the epochs, the patience or the time run out; ``objective.module`` ends with its best weights
    (with ``run.last``: its last).

    After every epoch, and within long ones, all that decides the rest (weights, moments, schedule, patience, best
    weights) is checkpointed, and the order of an epoch and the noise of a step depend on nothing but the seed and their
    numbers: a killed run that is started again ends with the very result of an uninterrupted one.

    Returns:
        the state at the end: "epoch" (of the best weights; 0 is the start), "score", "epochs" (done), "stopped" (why).

    Raises:
        ConfigError: a rate with which nothing can be learned.
        RunError: no weights, not even those of the start, have a validation score that is a number; or the run's folder
            holds a checkpoint of other data or settings.
    """
    module, crew = objective.module, processes()
    crew.begin_alike(module)
    optimiser = adamw(groups)
    schedule = Schedule(optimiser, recipe.epochs * objective.steps, recipe.warmup, objective.steps)
    step = Step(objective.losses, optimiser, run, recipe.clip, recipe.at_once)
    best, averaged = copy.deepcopy(module), copy.deepcopy(module)
    modules = {"module": module, "best": best, "averaged": averaged}
    path = None if run.folder is None else run.folder / f"{run.stage}.checkpoint"
    own = {} if path is None else _identity(objective, groups, recipe, run)
    if found := shared(read_checkpoint(path) if path and crew.first else None):
        state = found.state
        refuse_others(state.pop("identity", {}), own, str(run.folder))
        restore(found, modules, optimiser)
        step.resume(state.pop("memory"))
        say(f"{run.stage}: going on after epoch {state['epochs']}, step {state['step']} of the next")
        if state.setdefault("computing", run.computing) != run.computing:  # it is new in checkpoints
            _moved(state, run)
    else:
        state = _begun(objective.validate(module), run.computing)
    for row in state["rows"]:
        run.record(row)

    def save() -> None:
        if path is not None and crew.first:
            save_checkpoint(path, modules, optimiser, {**state, "memory": step.memory(), "identity": own})

    while not state["stopped"] and state["epochs"] < recipe.epochs:
        epoch, begun, before = state["epochs"] + 1, time.perf_counter(), state["seconds"]
        for _ in _steps(objective, step, schedule, averaged, recipe, run, state):
            state["seconds"] = before + time.perf_counter() - begun
            save()
        if state["stopped"] == "diverged":
            _diverged(schedule, state, run)
            break
        crew.even_out(module)
        crew.even_out(averaged)
        kept = averaged if recipe.average else module
        metrics = objective.validate(kept)
        unusable = not math.isfinite(state["score"])  # nothing compares with NaN
        if metrics["score"] > state["score"] or (unusable and math.isfinite(metrics["score"])):
            state.update(score=metrics["score"], epoch=epoch)
            best.load_state_dict(kept.state_dict())
        row = {"epoch": epoch, "train_loss": state["loss"] / max(1, state["step"]), **_public(metrics),
               "learning_rate": schedule.highest}  # fmt: skip
        state["rows"].append(row)
        state["scores"].append(metrics["score"])
        part = f", after {state['step']} of its {objective.steps} steps" if state["step"] < objective.steps else ""
        state.update(epochs=epoch, step=0, loss=0.0, seconds=before + time.perf_counter() - begun)
        state["stopped"] = state["stopped"] or _why_stop(state, recipe, run)
        notes = []
        if state["stopped"] == "out of time":
            notes.append(f"the time budget ended the training in epoch {epoch} of at most {recipe.epochs}{part}")
        if (state["stopped"] or epoch == recipe.epochs) and state["epoch"] == 0 and not run.last:
            notes.append(START_KEPT)
        if notes:
            row["note"] = "; ".join(notes)
        run.record(row)
        say(_progress(state, row["train_loss"], recipe, run))
        save()
    if not math.isfinite(state["score"]):
        raise RunError(f"{run.stage}: no weights, the start included, have a validation score that is a number. Check "
                       "the weights that the training began with, or lower the rate: --set learning_rate=...")  # fmt: skip
    kept = (averaged if recipe.average else module) if run.last and state["stopped"] != "diverged" else best
    module.load_state_dict(kept.state_dict())
    module.eval()
    if not run.last and state["stopped"] != "diverged":
        say(f"{run.stage}: {_ending(state, recipe)}")
    return state


def _steps(
    objective: Objective, step: Step, schedule: Schedule, averaged: nn.Module, recipe: Recipe, run: Run,
    state: dict[str, Any],
) -> Iterator[None]:  # fmt: skip
    """Train through the epoch that ``state`` stands in, from the step on that it stands at; yields to be checkpointed."""
    epoch, saved = state["epochs"] + 1, time.monotonic()
    schedule.thaw(state["epochs"] * objective.steps)
    objective.set_mode()
    for i, batch in enumerate(track(objective.batches(epoch), f"{run.stage} epoch {epoch}", objective.steps)):
        if i < state["step"]:
            continue  # taken before the run was killed
        number = state["epochs"] * objective.steps + i
        schedule.set(number)
        state["loss"] += step(batch, run.seed, epoch, i)
        state["step"] = i + 1
        if not math.isfinite(state["loss"]):
            state["stopped"] = "diverged"
            return
        if recipe.average:
            _average(averaged, objective.module, min(recipe.average, (number + 1) / (number + 10)))
        if run.deadline is not None and processes().share(run.seconds_left() < 0):
            state["stopped"] = "out of time"
            say(f"{run.stage}: the time budget ended in epoch {epoch}, after {i + 1} of its {objective.steps} steps; these "
                "count as they stand. A larger --budget, fewer --shots or --approach probe would fit.")  # fmt: skip
            return
        if time.monotonic() - saved > run.pause:
            yield
            saved = time.monotonic()


def _begun(metrics: dict[str, float], computing: str) -> dict[str, Any]:
    """All that is known before the first epoch. Epochs are counted from 1, and the start is the best so far."""
    return {"epochs": 0, "epoch": 0, "score": metrics["score"], "stopped": "", "seconds": 0.0, "step": 0, "loss": 0.0,
            "computing": computing, "rows": [{"epoch": 0, "train_loss": None, **_public(metrics)}], "scores": [metrics["score"]]}  # fmt: skip


def _moved(state: dict[str, Any], run: Run) -> None:
    """Say and record that a training goes on with other arithmetic than it began with: no reason to refuse it."""
    note = (f"computed on {state['computing']} up to step {state['step']} of epoch {state['epochs'] + 1}, where it was "
            f"interrupted, and on {run.computing} from there on: the result is not bit for bit that of an uninterrupted run")  # fmt: skip
    say(f"{run.stage}: {note}")
    state["computing"] = run.computing
    state["rows"].append({"epoch": state["epochs"], "train_loss": None, "note": note})


def _identity(objective: Objective, groups: list[dict[str, Any]], recipe: Recipe, run: Run) -> dict[str, Any]:
    facts = {f"group {i}": ", ".join(f"{key} {value:g}" for key, value in group.items() if isinstance(value, (int, float)))
             + f", {sum(p.numel() for p in group['params'])} numbers" for i, group in enumerate(groups, 1)}  # fmt: skip
    return {**objective.identity(), **asdict(recipe), "seed": run.seed, "steps an epoch": objective.steps, **facts}


def _diverged(schedule: Schedule, state: dict[str, Any], run: Run) -> None:
    """Say and record that a training ends because its loss is no number any more."""
    kind, epoch = "NaN" if math.isnan(state["loss"]) else "infinite", state["epochs"] + 1
    note = (f"the loss became {kind} in epoch {epoch} at step {state['step']}; the best weights so far, of epoch "
            f"{state['epoch']}, are kept; lower the learning rate (the highest was {schedule.highest:.2g} there): "
            "--set learning_rate=...")  # fmt: skip
    say(f"{run.stage}: {note}")
    state["rows"].append({"epoch": epoch, "train_loss": None, "stopped": "diverged", "note": note})
    run.record(state["rows"][-1])


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
    if run.deadline is not None and processes().share(run.seconds_left() < state["seconds"] / state["epochs"]):
        say(f"{run.stage}: stopping after epoch {state['epochs']}, the time budget has no room for another.")
        return "out of time"
    return ""


def _progress(state: dict[str, Any], loss: float, recipe: Recipe, run: Run) -> str:
    """What an epoch brought, how long one takes, and how long the training may yet take."""
    epoch, pace = state["epochs"], state["seconds"] / state["epochs"]
    left = min((recipe.epochs - epoch) * pace, max(0.0, run.seconds_left()))
    to_go = "" if state["stopped"] or epoch == recipe.epochs else f", up to {brief_duration(left)} to go"
    return (f"{run.stage} epoch {epoch}/{recipe.epochs}: loss {loss:.3f}, validation {state['scores'][-1]:.3f} "
            f"{sparkline(state['scores'])}{' (best)' if state['epoch'] == epoch else ''}, {brief_duration(pace)} an "
            f"epoch{to_go}")  # fmt: skip


def _ending(state: dict[str, Any], recipe: Recipe) -> str:
    """Which weights are kept, and why the training ended where patience ended it."""
    why = ""
    if state["stopped"] == "no better validation score":
        why = (f"stopped after epoch {state['epochs']} of at most {recipe.epochs}, the last {recipe.patience} without a "
               "better validation score; ")  # fmt: skip
    if state["epoch"] == 0:
        return why + START_KEPT
    return f"{why}the weights of epoch {state['epoch']} are kept, the best on validation"


def _public(metrics: dict[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items() if name != "score"}
