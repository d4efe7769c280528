"""Adapters of tasks: hard sharing at the start, each moved by its own task alone, kept with the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.approaches import _several, finetune
from headstart.approaches.finetune import FineTune
from headstart.balancing.fixed import Fixed
from headstart.data.dataset import Dataset
from headstart.data.labels import joined
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.models.backbone import Features
from headstart.predictor import Predictor, load_predictor
from headstart.tasks._adapters import AdaptedHead, adapted, adapter_parameters
from headstart.tasks.multitask import MultiTask
from headstart.training.run import Run
from tiny import backbone, dataset, frozen_bytes
from tiny import split as single
from tiny import task as shapes

GIVEN = "shape=classification,size=regression,grade=ordinal:small<middle<large"
QUICK = FineTune(epochs=2, batch_size=8, learning_rate=0.003, augment="", patience=0, balance="fixed:1+1+1")


def labelled(part: Dataset) -> Dataset:
    numbers, grades = {"ring": 3.5, "bar": 1.25, "cross": 2.0}, {"ring": "large", "bar": "small", "cross": "middle"}
    rows = [joined({"shape": label, "size": f"{numbers[label] + place / 100:.2f}", "grade": grades[label]})
            for place, label in enumerate(part.labels or ())]  # fmt: skip
    return replace(part, labels=rows)


def split() -> Split:
    return Split(labelled(dataset(8, 1)), labelled(dataset(4, 2)), labelled(dataset(4, 3)), task=f"multitask:{GIVEN}")


def task() -> MultiTask:
    return MultiTask.learn(split().train.labels or [], GIVEN)


def features(number: int = 6, dim: int = 5) -> Features:
    return Features(torch.randn(number, dim, generator=torch.Generator().manual_seed(0)))


def test_it_starts_as_hard_sharing() -> None:
    head = task().head(5)
    made = adapted(head, 5, 2)
    labels = torch.from_numpy(task().encode(split().train.labels or [])[:6])
    assert torch.equal(made(features()), head(features()))
    plain = head.losses(features(), labels)
    for name, loss in made.losses(features(), labels).items():
        assert torch.equal(loss, plain[name])
    assert sum(entry.numel() for entry in adapter_parameters(made)) == 3 * (5 * 2 + 2 + 2 * 5 + 5)
    assert not adapter_parameters(head)


def test_a_training_starts_from_the_probes() -> None:
    """Epoch 0, the start, is judged as without adapters, digit by digit."""
    starts = []
    for width in (0, 3):
        run = Run(None, seed=3, stage="finetune")
        replace(QUICK, epochs=1, adapters=width).fit(backbone(), task(), split(), run)
        start = next(row for row in run.history if row["epoch"] == 0 and "valid_loss" in row)
        starts.append({name: value for name, value in start.items() if name.startswith("valid_")})
    assert starts[0] == starts[1] and len(starts[0]) >= 5


def test_a_task_moves_its_own_adapter_alone() -> None:
    made = adapted(task().head(5), 5, 2)
    for entry in adapter_parameters(made):
        torch.nn.init.normal_(entry)
    labels = torch.from_numpy(task().encode(split().train.labels or [])[:6])
    losses = made.losses(features(), labels)
    for name, loss in losses.items():
        for other, head in zip(made.names, made.heads, strict=True):
            slopes = torch.autograd.grad(loss, list(head.parameters()), retain_graph=True, allow_unused=True)
            assert all((slope is not None and bool(slope.abs().sum() > 0)) == (name == other) for slope in slopes), (name, other)


def test_the_weights_of_tasks_reach_the_shared_features_alone() -> None:
    """As without adapters: heads and adapters follow their own loss, the backbone the weighted one."""
    made, shared = adapted(task().head(5), 5, 2), torch.nn.Linear(4, 5)
    for entry in adapter_parameters(made):
        torch.nn.init.normal_(entry, generator=torch.Generator().manual_seed(1))
    labels = torch.from_numpy(task().encode(split().train.labels or [])[:6])
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    losses = made.losses(Features(shared(inputs)), labels)
    own = torch.autograd.grad(sum(losses.values()), list(made.parameters()), retain_graph=True)
    weights = {"shape": 1.0, "size": 0.25, "grade": 0.5}
    wanted = torch.autograd.grad(sum(weights[name] * loss for name, loss in losses.items()), list(shared.parameters()))
    weigh = _several.Weigher(Fixed("1+0.25+0.5"), made, list(shared.parameters()), 4, "x")
    sum(weigh.losses(made, Features(shared(inputs)), labels).values()).backward()
    for entry, slope in zip(shared.parameters(), wanted, strict=True):
        assert torch.allclose(entry.grad, slope, rtol=1e-4, atol=1e-6)
    for entry, slope in zip(made.parameters(), own, strict=True):
        assert torch.allclose(entry.grad, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("several", [True, False])
def test_it_is_saved_and_loaded_with_the_model(several: bool, tmp_path: Path) -> None:
    parts, made, settings = (split(), task(), QUICK) if several else (single(), shapes(), replace(QUICK, balance="fixed"))
    run = Run(None, seed=3, stage="finetune")
    trained = replace(settings, adapters=2).fit(backbone(), made, parts, run)
    head = adapted(made.head(trained.backbone.spec.dim), trained.backbone.spec.dim, 2)  # the best epoch may be the start
    for entry in head.parameters():
        torch.nn.init.normal_(entry, std=0.1)
    for found in (trained, Predictor(trained.backbone, head.eval(), made, "image")):
        kept = load_predictor(found.save(tmp_path / "model"))
        assert frozen_bytes(kept.head) == frozen_bytes(found.head)
        assert np.array_equal(kept.probabilities(parts.test), found.probabilities(parts.test))
    assert json.loads((tmp_path / "model" / "task.json").read_text())["head"] == ("SeveralHead" if several else "AdaptedHead")
    heads = kept.head.heads if several else [kept.head]
    assert all(isinstance(one, AdaptedHead) for one in heads)  # type: ignore[union-attr]
    note = next(row["note"] for row in run.history if "an adapter of width 2" in row.get("note", ""))
    assert f"{sum(entry.numel() for entry in adapter_parameters(kept.head)):,} parameters in all" in note


def test_they_move_at_the_rate_of_what_is_fresh_and_a_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, seen, train = replace(QUICK, adapters=2), [], finetune.train

    def noted(*parts: object, groups: list[dict], **more: object) -> object:
        seen.append((parts[1], {id(entry): group["lr"] for group in groups for entry in group["params"]}))
        return train(*parts, groups=groups, **more)

    monkeypatch.setattr(finetune, "train", noted)
    run = Run(tmp_path, seed=3, stage="finetune")
    found = settings.fit(backbone(), task(), split(), run)
    head, rates = seen[0]
    fresh = {id(entry) for entry in adapter_parameters(head)}
    assert len(fresh) == 12
    for entry in head.parameters():
        factor = finetune.FRESH_HEAD if id(entry) in fresh else finetune.FITTED_HEAD
        assert rates[id(entry)] == pytest.approx(factor * settings.learning_rate)
    again = settings.fit(backbone(), task(), split(), Run(tmp_path, seed=3, stage="finetune"))  # from its last checkpoint
    assert frozen_bytes(again.head) == frozen_bytes(found.head)


def test_a_width_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"\$.approach.adapters: expected a width of 1 or more, or 0 for none, got -1"):
        replace(QUICK, adapters=-1).fit(backbone(), task(), split(), Run())
