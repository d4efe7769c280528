import json
import math
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rehearsal import rehearse
from torch import nn

from headstart.errors import ConfigError, RunError
from headstart.training import loop
from headstart.training.loop import Recipe
from headstart.training.run import Run
from headstart.training.schedule import pace
from tiny import environment, frozen_bytes


class Interrupted(Exception):
    pass


def result(module: nn.Module, state: dict, run: Run) -> tuple:
    """All that a training leaves behind, less its times."""
    return frozen_bytes(module), {k: v for k, v in state.items() if k not in ("seconds", "tensors")}, run.history


def interrupt_at(validation: int):  # type: ignore[no-untyped-def]
    def watch(call: int, module: nn.Module) -> None:
        if call == validation:
            raise Interrupted

    return watch


RECIPES = {
    "plain": Recipe(6, average=0.0),
    "averaged": Recipe(6, average=0.5),
    "patient": Recipe(12, patience=2, average=0.5),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("validation", [0, 1, 3, 6])
def test_resumed_is_uninterrupted_bit_for_bit(recipe: Recipe, validation: int, tmp_path: Path) -> None:
    whole = result(*rehearse(None, recipe=recipe))  # checkpoints decide nothing
    if validation < len(whole[1]["rows"]):
        with pytest.raises(Interrupted):
            rehearse(tmp_path, recipe=recipe, watch=interrupt_at(validation))
    assert result(*rehearse(tmp_path, recipe=recipe)) == whole
    assert result(*rehearse(tmp_path, recipe=recipe)) == whole  # nor does running once more


def test_interrupted_again_and_again(tmp_path: Path) -> None:
    whole = result(*rehearse(None))
    for _ in range(4):  # of each try the second validation fails, so it gets an epoch further
        with pytest.raises(Interrupted):
            rehearse(tmp_path, watch=interrupt_at(1))
    assert result(*rehearse(tmp_path)) == whole


def stop_at(computation: int):  # type: ignore[no-untyped-def]
    def meet(call: int, size: int) -> float:
        if call == computation:
            raise Interrupted
        return 1.0

    return meet


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_interrupted_within_an_epoch_again_and_again(recipe: Recipe, tmp_path: Path) -> None:
    """Of each try the third step fails: it gets two steps further each time, in the middle of epochs too."""
    whole = result(*rehearse(None, recipe=recipe))
    for tries in range(1, 40):
        try:
            end = result(*rehearse(tmp_path, recipe=recipe, meet=stop_at(3), pause=0.0))
            break
        except Interrupted:
            state = json.loads(next(tmp_path.glob("*.json")).read_text())
            assert 4 * state["epochs"] + state["step"] == 2 * tries
    assert end == whole and tries > 8


@pytest.mark.slow
def test_killed_at_random_moments_again_and_again(tmp_path: Path) -> None:
    """SIGKILL at random steps; what stands at the end is the uninterrupted result, bit for bit."""
    whole = result(*rehearse(None))
    script = str(Path(__file__).with_name("rehearsal.py"))
    for _ in range(2):
        command = [sys.executable, script, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
            assert process.stdout is not None
            assert all(process.stdout.readline() for _ in range(random.randint(2, 9)))  # steps
            time.sleep(random.uniform(0, 0.03))  # into a step, a validation or the writing of a checkpoint
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("*.json"))  # it got somewhere, and not to the end
    assert result(*rehearse(tmp_path)) == whole


def test_same_seed_same_result() -> None:
    assert result(*rehearse(None)) == result(*rehearse(None))
    assert result(*rehearse(None))[0] != result(*rehearse(None, seed=1))[0]


def test_it_learns_and_the_best_epoch_is_kept() -> None:
    module, state, run = rehearse(None, recipe=Recipe(8))
    accuracies = [row["valid_accuracy"] for row in run.history]
    assert accuracies[state["epoch"]] == max(accuracies) > accuracies[0] + 0.1
    assert run.history[-1]["train_loss"] < run.history[1]["train_loss"]
    assert [row["epoch"] for row in run.history] == list(range(9))
    assert run.history[0]["train_loss"] is None and not module.training


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_early_stopping_restores_the_best_weights_and_says_so(average: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, seen = [0.1, 0.3, 0.9, 0.5, 0.6, 0.7, 0.99], []
    said: list[str] = []
    monkeypatch.setattr(loop, "say", said.append)

    def watch(call: int, module: nn.Module) -> float:
        seen.append(frozen_bytes(module))
        return scores[call]

    module, state, _ = rehearse(None, recipe=Recipe(20, patience=3, average=average), watch=watch)
    assert state["stopped"] == "no better validation score"
    assert (state["epoch"], state["epochs"], state["score"]) == (2, 5, 0.9)
    assert frozen_bytes(module) == seen[2] != seen[5]
    epochs = [line for line in said if line.startswith("rehearsal epoch")]
    assert [bool(re.search(r" s an epoch, up to \d+ s to go$", line)) for line in epochs] == [True] * 4 + [False]
    assert said[-1] == (
        "rehearsal: stopped after epoch 5 of at most 20, the last 3 without a better validation score; the weights of epoch "
        "2 are kept, the best on validation"
    )


def test_a_start_that_is_never_beaten_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, said = [], []
    monkeypatch.setattr(loop, "say", said.append)

    def watch(call: int, module: nn.Module) -> float:
        seen.append(frozen_bytes(module))
        return 1.0 if call == 0 else 0.5

    module, state, run = rehearse(None, recipe=Recipe(3), watch=watch)
    assert state["epoch"] == 0 and frozen_bytes(module) == seen[0] != seen[1]
    assert [row.get("note") for row in run.history] == [None] * 3 + [
        "no epoch was better on validation than the start, whose weights are kept"
    ]
    assert said[-1] == "rehearsal: no epoch was better on validation than the start, whose weights are kept"


def explode(call: int, size: int) -> float:
    return math.inf if call == 2 else 1.0


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_a_loss_that_is_no_number_keeps_the_start_and_says_so(
    average: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, said = [], []
    monkeypatch.setattr(loop, "say", said.append)

    def watch(call: int, module: nn.Module) -> None:
        seen.append(frozen_bytes(module))

    module, state, run = rehearse(tmp_path, recipe=Recipe(4, average=average), meet=explode, watch=watch)
    assert frozen_bytes(module) == seen[0] and len(seen) == 1 and not module.training
    assert (state["epoch"], state["epochs"], state["stopped"]) == (0, 0, "diverged")
    assert len(said) == 1
    assert re.fullmatch(
        r"rehearsal: the loss became (NaN|infinite) in epoch 1 at step 2; the best weights so far, of epoch 0, are kept; "
        r"lower the learning rate \(the highest was 0.01 there\): --set learning_rate=...",
        said[0],
    )
    last = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert last == run.history[-1] and last["stopped"] == "diverged" and last["note"] in said[0]
    assert last["epoch"] == 1 and last["train_loss"] is None


def test_nothing_usable_at_all_is_an_error() -> None:
    with pytest.raises(RunError, match=r"no weights, the start included.*learning_rate"):
        rehearse(None, recipe=Recipe(4), meet=explode, watch=lambda call, module: math.nan)
    with pytest.raises(RunError, match="no weights"):
        rehearse(None, recipe=Recipe(2), watch=lambda call, module: math.nan)


def test_a_start_without_a_score_is_replaced_by_the_first_that_has_one() -> None:
    scores = [math.nan, math.nan, 0.2, 0.1]
    _, state, _ = rehearse(None, recipe=Recipe(3), watch=lambda call, module: scores[call])
    assert (state["epoch"], state["score"]) == (2, 0.2)


def test_divergence_later_keeps_the_best_epoch() -> None:
    seen = []

    def watch(call: int, module: nn.Module) -> float:
        seen.append(frozen_bytes(module))
        if call == 2:  # from here on every loss is NaN
            with torch.inference_mode(False), torch.no_grad():
                next(iter(module.parameters())).fill_(math.nan)
        return (0.1, 0.3, 0.2)[call]

    module, state, run = rehearse(None, recipe=Recipe(6), watch=watch)
    assert state["stopped"] == "diverged" and state["epochs"] == 2 and len(run.history) == 4
    assert "became NaN in epoch 3 at step 1; the best weights so far, of epoch 1, are kept" in run.history[3]["note"]
    assert state["epoch"] == 1 and frozen_bytes(module) == seen[1]


def test_time_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "seconds_left", lambda self: 0.0)
    _, state, run = rehearse(None, recipe=Recipe(6), deadline=0.0)
    assert state["stopped"] == "out of time" and state["epochs"] == 1
    assert run.history[-1]["note"].startswith("the time budget ended the training in epoch 1 of at most 6")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty json", "no tensors", "other json", "list"])
def test_a_damaged_checkpoint_is_never_used(damage: str, tmp_path: Path) -> None:
    whole = result(*rehearse(None))
    with pytest.raises(Interrupted):
        rehearse(tmp_path, watch=interrupt_at(4))
    (tensors,), (facts,) = tmp_path.glob("*.safetensors"), tmp_path.glob("*.json")
    blob = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(blob[:-9] + bytes([blob[-9] ^ 1]) + blob[-8:])
    elif damage == "cut":
        tensors.write_bytes(blob[: len(blob) // 2])
    elif damage == "no tensors":
        tensors.unlink()
    else:
        facts.write_text({"empty json": "", "other json": "{}", "list": "[]"}[damage])
    assert result(*rehearse(tmp_path)) == whole


def test_a_budget_too_short_for_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(loop, "say", said.append)
    monkeypatch.setattr(Run, "seconds_left", lambda self: -1.0)
    _, state, run = rehearse(None, recipe=Recipe(6), deadline=0.0)
    assert (state["stopped"], state["epochs"]) == ("out of time", 1) and len(run.history) == 2
    assert "in epoch 1 of at most 6, after 1 of its 4 steps" in run.history[-1]["note"]  # fit tells it in its reasons
    assert said[0] == (
        "rehearsal: the time budget ended in epoch 1, after 1 of its 4 steps; these count as they stand. A larger "
        "--budget, fewer --shots or --approach probe would fit."
    )


def test_other_data_or_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        rehearse(tmp_path, watch=interrupt_at(2))
    with pytest.raises(RunError, match=r"cannot be gone on with: data: some there, others here\. Restore"):
        rehearse(tmp_path, data="others")
    with pytest.raises(RunError, match=r"epochs: 8 there, 9 here; average: 0.5 there, 0.0 here"):
        rehearse(tmp_path, recipe=Recipe(9))
    with pytest.raises(RunError, match=r"group 1: lr 0.01, 168 numbers there, lr 0.02, 168 numbers here; group 2"):
        rehearse(tmp_path, rate=0.02)
    assert result(*rehearse(tmp_path)) == result(*rehearse(None))  # and nothing was spoilt


@pytest.mark.parametrize("rate", [0.0, -1e-3, 1e9, math.inf, math.nan])
def test_rates_that_teach_nothing_are_refused(rate: float) -> None:
    with pytest.raises(
        ConfigError, match=r"learning_rate: .* is no rate to learn with; expected more than 0 and at most"
    ):
        rehearse(None, rate=rate)


def test_pace() -> None:
    steps = [pace(i, 100, 0.1) for i in range(100)]
    assert steps[0] == pytest.approx(0.1) and steps[9] == steps[10] == 1.0 and steps[99] < 0.001
    assert steps[:10] == sorted(steps[:10]) and steps[10:] == sorted(steps[10:], reverse=True)
    assert steps[55] == pytest.approx(0.5)  # the middle of the cosine
    assert [pace(0, 1, 0.1), pace(0, 1, 0.0)] == [1.0, 1.0]  # a single step is a whole one
