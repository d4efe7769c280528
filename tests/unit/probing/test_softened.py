"""The head that fine-tuning begins with: what it answers is the same, and it is as unsure of its samples as of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny
from headstart import probing, solvers
from headstart.approaches.finetune import FineTune
from headstart.approaches.probe import Probe
from headstart.data.labels import joined
from headstart.metrics.classification import log_loss
from headstart.models.backbone import Features
from headstart.probing.classification import softened
from headstart.tasks._heads import LinearHead
from headstart.tasks.classification import Classification
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run


def logits(head: torch.nn.Module, vectors: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(Features(torch.from_numpy(vectors))).double().numpy()  # type: ignore[no-any-return]


def sample(num: int = 60, dim: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """More features than samples, and classes that overlap."""
    rng = np.random.default_rng(0)
    labels = np.arange(num) % 3
    return (rng.normal(size=(num, dim)) + 0.25 * np.eye(3)[labels] @ rng.normal(size=(3, dim))).astype(np.float32), labels


def test_its_loss_is_the_cross_validated_one_and_its_answers_are_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    vectors, labels = sample()
    task = Classification.learn([str(label) for label in labels])
    found = probing.fit(task, vectors, labels)
    sharp, soft = logits(found.head, vectors), logits(found.start, vectors)
    assert (sharp.argmax(1) == soft.argmax(1)).all()
    wanted = solvers.fit("logistic", vectors, labels, 3).loss
    assert log_loss(sharp, labels) < 0.5 * wanted, "it fits its own samples"
    assert log_loss(soft, labels) == pytest.approx(min(wanted, 0.95 * np.log(3)), rel=0.01)
    factor = (soft / sharp)[0, 0]
    assert np.allclose(soft / sharp, factor, rtol=1e-3), "one factor for all"
    assert f"logits times {factor:.2g}" in caplog.text, "and it is told"


@pytest.mark.parametrize(("loss", "share"), [(50.0, 0.95), (float("nan"), None), (1e-6, None)])
def test_a_head_that_is_no_better_on_others_keeps_its_direction(loss: float, share: float | None) -> None:
    vectors, labels = sample()
    head = probing.fit(Classification.learn([str(label) for label in labels]), vectors, labels).head
    made = softened(head, vectors, labels, loss)
    if share is None:
        assert torch.equal(made.linear.weight, head.linear.weight)  # type: ignore[union-attr]
    else:
        assert log_loss(logits(made, vectors), labels) == pytest.approx(share * np.log(3), rel=0.01)
    assert made is not head


def test_every_task_of_several_has_its_own() -> None:
    vectors, labels = sample()
    rows = [joined({"a": str(label), "b": str(label % 2)}) for label in labels]
    task = MultiTask.learn(rows, "a=classification,b=classification")
    found = probing.fit(task, vectors, task.encode(rows))
    assert isinstance(found.start.heads[0], LinearHead)  # type: ignore[union-attr]
    scales = [float((soft.linear.weight.detach() / sharp.linear.weight.detach()).median()) for soft, sharp in
              zip(found.start.heads, found.head.heads, strict=True)]  # type: ignore[union-attr] # fmt: skip
    assert all(0 < scale < 1 for scale in scales) and scales[0] != scales[1]


@pytest.mark.parametrize("start", ["probe", "sharp"])
def test_where_no_epoch_is_better_the_probe_itself_is_kept(start: str) -> None:
    backbone, task, split = tiny.backbone(), tiny.task(), tiny.split()
    probe = Probe().fit(backbone, task, split, Run(seed=1))
    tuned = FineTune(epochs=1, learning_rate=1e-12, start=start, augment="").fit(backbone, task, split, Run(seed=1))  # type: ignore[arg-type]
    assert np.allclose(tuned.probabilities(split.test), probe.probabilities(split.test), atol=1e-3)
