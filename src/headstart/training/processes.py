"""Several processes on one training: who this one is, and what they tell each other.

``accelerate launch`` (Hugging Face Accelerate, the extra ``distributed``) or ``torchrun`` starts them, and Accelerate's
``PartialState`` connects them: NCCL between GPUs, gloo between processors. Every process goes the
same way through the same code: each takes its share of every batch, the gradients are summed, and the first one alone
speaks, keeps the run folder, and decides what depends on the clock.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from headstart.errors import ConfigError, MissingExtra
from headstart.progress import num_processes, say

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Attributes:
    rank: the number of this process; 0 is the first.
    count: how many there are.
    device: where tensors must lie for being sent.
    """

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, value: T) -> T:
        """What the first process has for ``value``, which JSON can hold."""
        if self.count == 1:
            return value
        return json.loads(self.share_bytes(json.dumps(value).encode() if self.first else b""))

    def share_bytes(self, content: bytes) -> bytes:
        if self.count == 1:
            return content
        size = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(size, 0)
        room = np.frombuffer(content, np.uint8).copy() if self.first else np.empty(int(size), np.uint8)
        sent = torch.from_numpy(room).to(self.device)
        distributed.broadcast(sent, 0)
        return sent.cpu().numpy().tobytes()

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, of the same shape."""
        if self.count == 1:
            return values
        sent = values.to(self.device, copy=True).contiguous()
        distributed.all_reduce(sent)
        return sent.to(values.device)

    @torch.no_grad()
    def begin_alike(self, module: nn.Module) -> None:
        """Everyone begins with the first one's weights: a fit on other hardware may differ in the last bit."""
        for value in module.state_dict().values() if self.count > 1 else ():
            sent = value.to(self.device, copy=True).contiguous()
            distributed.broadcast(sent, 0)
            value.copy_(sent)

    @torch.no_grad()
    def even_out(self, module: nn.Module) -> None:
        """Statistics that each process gathered on its own share (of batch norms) become their mean."""
        for value in module.buffers() if self.count > 1 else ():
            if value.is_floating_point():
                value.copy_(self.sum(value) / self.count)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes; in one message, for many small ones are slow."""
        moving = [parameter for parameter in parameters if parameter.requires_grad]
        if self.count == 1 or not moving:
            return
        there = torch.tensor([0.0 if p.grad is None else 1.0 for p in moving], device=moving[0].device)
        flat = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).float() for p in moving]
        counts, *sums = self.sum(torch.cat([there, *flat])).split([len(moving), *(p.numel() for p in moving)])
        for parameter, used, total in zip(moving, counts.tolist(), sums, strict=True):
            if used:  # by any of them; else it has no gradient with one process either
                parameter.grad = torch.empty_like(parameter).copy_(total.view(parameter.shape))


@cache
def processes() -> Processes:
    """This process among those that ``accelerate launch`` started; alone where it was started plainly.

    Raises:
        MissingExtra: it was started as one of several, and Accelerate is not installed.
        ConfigError: there are fewer GPUs than processes.
    """
    if num_processes() <= 1:
        return Processes()
    try:
        from accelerate import PartialState
    except ImportError:
        raise MissingExtra("accelerate", "distributed", "Training on several processes") from None
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < torch.cuda.device_count() < here:
        raise ConfigError(f"{here} processes were started here, and there are {torch.cuda.device_count()} GPUs; each needs its "
                          "own. Start as many, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on the processor.")  # fmt: skip
    state = PartialState(cpu=not torch.cuda.is_available())
    atexit.register(state.destroy_process_group)
    say(f"training on {state.num_processes} processes ({state.device}); each takes its share of every batch")
    return Processes(state.process_index, state.num_processes, str(state.device))


def own_place(folder: Path) -> Path:
    """The run folder for the first process; the others work in a temporary one, gone when they end."""
    if processes().first:
        return folder
    return Path(_scratch().name) / "run"


@cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="headstart-")
