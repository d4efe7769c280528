"""Portions, running out of memory and half precision."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rehearsal import rehearse

from headstart.errors import RunError
from headstart.training import step
from headstart.training.batches import Batch
from headstart.training.loop import Recipe
from headstart.training.portions import divided, num_samples
from headstart.training.run import Run
from tiny import frozen_bytes


def batch(n: int = 5) -> Batch:
    inputs = {"ids": torch.arange(3 * n).reshape(n, 3), "scale": torch.ones(3 if n != 3 else 2)}
    return Batch(inputs, torch.arange(n), np.arange(n), 7)


@pytest.mark.parametrize("num", [1, 2, 3, 5, 9])
def test_portions_are_the_whole(num: int) -> None:
    whole = batch()
    pairs = divided(whole, num)
    assert len(pairs) == min(num, 5) and sum(share for _, share in pairs) == pytest.approx(1)
    assert torch.equal(torch.cat([part.inputs["ids"] for part, _ in pairs]), whole.inputs["ids"])
    assert np.array_equal(np.concatenate([part.places for part, _ in pairs]), whole.places)
    for part, share in pairs:
        assert share == len(part.labels) / 5 and part.view == 7 and len(part.inputs["scale"]) == 3
    assert max(len(part.labels) for part, _ in pairs) - min(len(part.labels) for part, _ in pairs) <= 1


def test_windows_of_sounds_go_with_their_sound() -> None:
    owner = torch.tensor([0, 0, 1, 2, 2, 2])
    inputs = {"values": torch.arange(6.0)[:, None], "real": torch.arange(6), "owner": owner, "count": torch.zeros(3)}
    (first, _), (second, _) = divided(Batch(inputs, torch.arange(3), np.arange(3), 0), 2)
    assert first.inputs["values"].flatten().tolist() == [0, 1, 2] and first.inputs["owner"].tolist() == [0, 0, 1]
    assert second.inputs["values"].flatten().tolist() == [3, 4, 5] and second.inputs["owner"].tolist() == [0, 0, 0]
    assert len(first.inputs["count"]) == 2 and len(second.inputs["count"]) == 1


def test_a_batch_without_arrays_cannot_be_divided() -> None:
    with pytest.raises(TypeError, match="holds no arrays"):
        num_samples({"a": "text"})


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_accumulated_gradients_are_those_of_the_batch(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "precision", torch.float32)
    sizes: list[int] = []

    def meet(call: int, size: int) -> float:
        sizes.append(size)
        return 1.0

    recipe = Recipe(1, clip=math.inf)
    whole, _, _ = rehearse(None, recipe=recipe, plain=True, steps=1)
    parts, _, _ = rehearse(None, recipe=dataclasses.replace(recipe, at_once=at_once), plain=True, steps=1, meet=meet)
    assert sum(sizes) == 16 and max(sizes) <= at_once
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


ERRORS = [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError(),
          RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "python", "allocator"])
def test_memory_runs_out(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is halved until it fits; the effective batch, and so the training, stays; it is said once."""
    said: list[str] = []
    monkeypatch.setattr(step, "say", said.append)
    monkeypatch.setattr(Run, "precision", torch.float32)
    sizes: list[int] = []

    def meet(call: int, size: int) -> float:
        if size > 4:
            raise error
        sizes.append(size)
        return 1.0

    expected, _, whole = rehearse(None, recipe=Recipe(2), plain=True)
    module, _, run = rehearse(None, recipe=Recipe(2), plain=True, meet=meet)
    assert set(sizes) == {4} and sum(sizes) == 2 * 4 * 16
    assert said == [
        "rehearsal: out of memory with 16 samples at once; going on with 8 at once, and the same 16 a step",
        "rehearsal: out of memory with 8 samples at once; going on with 4 at once, and the same 16 a step",
    ]
    for one, other in zip(expected.parameters(), module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-3)
    assert run.history[1]["train_loss"] == pytest.approx(whole.history[1]["train_loss"], abs=1e-4)


def test_memory_is_not_even_enough_for_one() -> None:
    def meet(call: int, size: int) -> float:
        raise MemoryError

    with pytest.raises(RunError, match="even one sample at a time"):
        rehearse(None, meet=meet)


def test_other_errors_pass() -> None:
    def meet(call: int, size: int) -> float:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        rehearse(None, meet=meet)


def test_what_memory_allowed_is_remembered(tmp_path) -> None:  # type: ignore[no-untyped-def]
    def meet(call: int, size: int) -> float:
        if size > 8:
            raise MemoryError
        return 1.0

    def watch(call: int, module: torch.nn.Module) -> None:
        if call == 2:
            raise KeyboardInterrupt

    whole, state, _ = rehearse(None, recipe=Recipe(4), meet=meet)
    with pytest.raises(KeyboardInterrupt):
        rehearse(tmp_path, recipe=Recipe(4), meet=meet, watch=watch)
    again, resumed, _ = rehearse(tmp_path, recipe=Recipe(4), meet=meet)
    assert frozen_bytes(again) == frozen_bytes(whole) and resumed["rows"] == state["rows"]


def test_half_precision_with_scaled_gradients_resumes_exactly(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """float16, as on a GPU without bfloat16: the first scale overflows, is lowered, and is part of the checkpoint."""
    monkeypatch.setattr(Run, "precision", torch.float16)
    autocast = property(lambda self: torch.autocast("cpu", torch.float16))
    monkeypatch.setattr(Run, "autocast", autocast)

    def watch(call: int, module: torch.nn.Module) -> None:
        if call == 3:
            raise KeyboardInterrupt

    whole, state, run = rehearse(None)
    assert all(math.isfinite(row["train_loss"]) for row in run.history[1:])
    assert run.history[-1]["train_loss"] < run.history[1]["train_loss"]
    with pytest.raises(KeyboardInterrupt):
        rehearse(tmp_path, watch=watch)
    again, resumed, _ = rehearse(tmp_path)
    assert frozen_bytes(again) == frozen_bytes(whole) and resumed["rows"] == state["rows"]


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_going_on_in_another_precision_is_said(
    precision: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine, or with HEADSTART_PRECISION changed. Of the two precisions one has no scale to resume with."""
    monkeypatch.setattr(Run, "precision", torch.float32)

    def watch(call: int, module: torch.nn.Module) -> None:
        if call == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(tmp_path, watch=watch)
    monkeypatch.setattr(Run, "precision", precision)
    with pytest.raises(KeyboardInterrupt):
        rehearse(tmp_path, watch=watch)
    _, state, run = rehearse(tmp_path)
    notes = [row["note"] for row in run.history if "note" in row]
    name = str(precision).removeprefix("torch.")
    assert len(notes) == 1 and notes[0].startswith("computed on cpu in float32 up to step 0 of epoch 3, where it was")
    assert f"and on cpu in {name} from there on: the result is not bit for bit" in notes[0]
    assert state["computing"] == f"cpu in {name}" and state["epochs"] == 8
    assert not [row for row in rehearse(None)[2].history if "note" in row]
