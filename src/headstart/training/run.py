"""Run: where and how training happens. Approaches get one; it holds no model and no data."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.models.precision import float32_is_asked, uses_bfloat16
from headstart.store import Store
from headstart.training.events import write_scalars


@dataclass
class Run:
    """One training session.

    Attributes:
        folder: for checkpoints; None keeps none.
        seed: of everything random.
        store: the feature cache, or None.
        deadline: ``time.monotonic()`` at which training should be done, or None.
        history: one row an epoch; see ``record``.
        stage: name of what is being trained now, part of checkpoint names and history rows.
        boundary_limit: bytes that a boundary cache may take on the disk; 0 keeps none.
        watch: sees every row of the history as it comes, and may end the training by an error of its own.
        last: trainings end with their last weights, not with the best: for short ones that are compared with each other, which
            would all come down to their common start where that is the best.
        pause: seconds between the checkpoints within an epoch, so that an epoch of hours is never lost.
    """

    folder: Path | None = None
    seed: int = 0
    store: Store | None = None
    deadline: float | None = None
    stage: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)
    boundary_limit: int = 4 * 1024**3
    pause: float = 300.0
    watch: Callable[[dict[str, Any]], None] | None = None
    last: bool = False

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def precision(self) -> torch.dtype:
        """bfloat16 where the hardware computes in it, else float16 on a GPU, else float32; see also ``float32_is_asked``."""
        if float32_is_asked():
            return torch.float32
        if uses_bfloat16(self.device):
            return torch.bfloat16
        return torch.float16 if self.device.type == "cuda" else torch.float32

    @property
    def autocast(self) -> torch.autocast:
        precision = self.precision
        narrow = precision is not torch.float32
        return torch.autocast(self.device.type, precision if narrow else torch.bfloat16, enabled=narrow)

    @property
    def computing(self) -> str:
        """Where and in what, in words: "cpu in bfloat16"."""
        return f"{self.device.type} in {str(self.precision).removeprefix('torch.')}"

    def named(self, stage: str) -> Run:
        """The same run in another stage; the history is shared."""
        return replace(self, stage=stage)

    def seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def record(self, row: dict[str, Any]) -> None:
        """Keep a row of the history; ``history.jsonl`` and the event files of TensorBoard show it to who watches."""
        self.history.append({"stage": self.stage, **row})
        if self.folder is not None:
            with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.history[-1]) + "\n")
            write_scalars(self.folder / "tensorboard" / (self.stage or "training"), row)
        if self.watch is not None:
            self.watch(self.history[-1])


def sow(*seeds: int) -> None:
    """Set every random state from these numbers: same numbers, same weights, same order, same noise."""
    number = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
