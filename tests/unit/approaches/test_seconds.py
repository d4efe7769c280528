"""How long an epoch would take, by a clock that goes by samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import tiny
from headstart.approaches import finetune
from headstart.models.pictures import PictureBackbone
from headstart.training.batches import Batches


@pytest.mark.parametrize(("each", "shown"), [(4, 120), (12, 320), (40, 384)])
def test_an_epoch_is_as_long_as_the_samples_that_it_shows(each: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few samples are shown several times an epoch, in the few that are timed as in the whole."""
    clock = [0.0]

    def pool(network: Any, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        clock[0] += 0.01 * len(x)
        return network(x).mean((2, 3)), None

    monkeypatch.setattr(finetune.time, "perf_counter", lambda: clock[0])
    made = PictureBackbone(tiny.backbone().network, tiny.CARD, pool, "timed")
    split, task = tiny.split(each), tiny.task()
    labels = task.encode(split.train.labels or [])
    whole = Batches(split.train, labels, made, min(32, len(labels)), ("auto",))
    assert sum(len(batch.places) for batch in whole(0)) == shown
    assert finetune.seconds_an_epoch(made, task, split) == pytest.approx(0.01 * shown)
    assert clock[0] < 0.01 * 16 * 12, "a few steps are enough to tell"
