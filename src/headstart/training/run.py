"""Run: where and how training happens. Approaches get one; it holds no model and no data."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.models.precision import bfloat16_is_native
from headstart.store import Store


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
    """

    folder: Path | None = None
    seed: int = 0
    store: Store | None = None
    deadline: float | None = None
    stage: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def autocast(self) -> torch.autocast:
        """bfloat16 where the hardware computes in it, float32 elsewhere."""
        native = bfloat16_is_native(self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=native)

    def named(self, stage: str) -> Run:
        """The same run in another stage; the history is shared."""
        return Run(self.folder, self.seed, self.store, self.deadline, stage, self.history)

    def seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def record(self, row: dict[str, Any]) -> None:
        """Keep a row of the history, and append it to ``history.jsonl`` for who watches."""
        self.history.append({"stage": self.stage, **row})
        if self.folder is not None:
            with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.history[-1]) + "\n")


def sow(*seeds: int) -> None:
    """Set every random state from these numbers: same numbers, same weights, same order, same noise."""
    number = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
