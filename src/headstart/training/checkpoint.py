"""Checkpoints: tensors in safetensors, the rest in JSON, replaced in one step so that none is ever half-written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from headstart.errors import RunError
from headstart.progress import say
from headstart.training.optimiser import like
from headstart.training.processes import processes


@dataclass(frozen=True)
class Checkpoint:
    """``state`` as it was saved (plain JSON values), and the tensors as one safetensors file."""

    state: dict[str, Any]
    blob: bytes


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Raises:
        RunError: the disk is full or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunError(
            f"{path} could not be written: {problem.strerror or problem}. Free some space or choose another "
            "place with --out; what was there before is untouched."
        ) from problem


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Everything the loop needs to go on: weights, optimiser moments, and ``state`` (plain JSON values)."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        tensors.update({f"{prefix}/{name}": value.contiguous() for name, value in module.state_dict().items()})
    moments = optimiser.state_dict()["state"]
    for number, entries in moments.items():
        tensors.update(
            {f"optimiser/{number}/{name}": torch.as_tensor(value).contiguous() for name, value in entries.items()}
        )
    blob = save({name: value.detach().cpu().clone() for name, value in tensors.items()})
    digest = hashlib.blake2b(blob, digest_size=16).hexdigest()
    write_atomically(path.with_suffix(f".{digest}.safetensors"), blob)
    write_atomically(path.with_suffix(".json"), json.dumps({**state, "tensors": digest}).encode())
    for old in path.parent.glob(f"{path.stem}.*.safetensors"):
        if digest not in old.name:
            old.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """What ``save_checkpoint`` saved; None where there is nothing. What is not whole is said, and not used."""
    facts = path.with_suffix(".json")
    if not facts.exists():
        return None
    try:
        state = json.loads(facts.read_text("utf-8"))
        blob = path.with_suffix(f".{state['tensors']}.safetensors").read_bytes()
        if hashlib.blake2b(blob, digest_size=16).hexdigest() == state["tensors"]:
            return Checkpoint(state, blob)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    say(f"{facts} is damaged or its tensors are missing; what it would have gone on with begins anew")
    return None


def shared(found: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint that the first process found, for all of them."""
    crew = processes()
    state = crew.share(found.state if found else None)
    return None if state is None else Checkpoint(state, crew.share_bytes(found.blob if found else b""))


def restore(found: Checkpoint, modules: dict[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    """Put the tensors of a checkpoint back, every one in the memory layout that it had."""
    tensors = load(found.blob)
    for prefix, module in modules.items():
        own = {n.removeprefix(f"{prefix}/"): v for n, v in tensors.items() if n.startswith(f"{prefix}/")}
        module.load_state_dict(own)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            _, number, key = name.split("/", 2)
            entries.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter in parameters:
        for key, value in optimiser.state.get(parameter, {}).items():
            optimiser.state[parameter][key] = like(value, parameter)
