"""rank for fine-tuning: the best stage counts beside the last features, at the cost of one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

import headstart as hs
import tiny
from headstart import cli
from headstart.errors import ConfigError, Incompatible, ModelError
from headstart.features.depth import stage_vectors, watch
from headstart.features.extract import extract
from headstart.models.backbone import Backbone
from headstart.models.pictures import PictureBackbone, global_average
from headstart.ranking import evidence, rank, stages
from headstart.ranking.scorers import linear
from headstart.store import Store


class Eyes(nn.Module):
    """Channels that tell shapes apart: the edges at each of 64 places, a channel each."""

    def __init__(self, seeing: bool) -> None:
        super().__init__()
        self.scale, self.seeing = nn.Parameter(torch.tensor([1.0 + seeing])), seeing  # other weights, another place in the cache

    def forward(self, x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        grey = (grey - grey.mean((2, 3), keepdim=True)) / grey.std((2, 3), keepdim=True).clamp(min=1e-6)
        seen = functional.adaptive_avg_pool2d(grey, 8).flatten(1)[:, :, None, None] * self.scale
        return seen if self.seeing else x.mean((2, 3), keepdim=True).repeat(1, 22, 1, 1)[:, :64] * self.scale


class Mixed(nn.Module):
    """An end that hides nearly all of what came before it: a sum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.sum(1, keepdim=True).tanh(), x[:, :2].sum(1, keepdim=True)], 1) * self.scale


def model(seeing: bool) -> Callable[[], PictureBackbone]:
    def make() -> PictureBackbone:
        network = nn.Sequential()
        network.add_module("eyes", Eyes(seeing))
        network.add_module("end", Mixed())
        return PictureBackbone(network, tiny.CARD, global_average, "seeing" if seeing else "blind").eval()

    return make


MODELS: dict[str, Any] = {"blind": model(False), "seeing": model(True)}


def test_what_is_known_before_the_end_counts_for_fine_tuning_only() -> None:
    plain = hs.rank(tiny.split(40), MODELS)
    assert plain.approach == "probe" and all(entry.stage == "" and entry.stage_accuracy is None for entry in plain.candidates)
    found = hs.rank(tiny.split(40), MODELS, approach="finetune")
    best, other = found.candidates
    assert best.model == "seeing" and best.stage == "eyes" and best.stage_accuracy is not None and best.stage_accuracy > 0.9
    assert best.scores["linear"] < best.stage_accuracy - 0.2, "its end hides it"
    counted = (0.75 * best.scores["linear"] + 0.25 * best.scores["knn"]) * 2 / 3 + best.stage_accuracy / 3
    rest = 0.75 * other.scores["linear"] + 0.25 * other.scores["knn"]
    rest = max(rest, 2 / 3 * rest + (other.stage_accuracy or 0) / 3)
    assert other.behind == pytest.approx(counted - rest, abs=1e-9)
    assert other.behind_interval is not None and other.behind_interval[0] > 0 and other.group == 1
    assert "of the best stage" in str(found) and f"{100 * best.stage_accuracy:.1f} % eyes" in str(found) and "stage" not in str(plain)


def test_the_best_stage_is_that_of_its_outputs_probed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.features.depth.uses_bfloat16", lambda _: False)
    made, data = tiny.backbone(), tiny.dataset(20)
    labels = np.unique(data.labels or [], return_inverse=True)[1]
    splits = [stages.folds(labels, 3 + repeat) for repeat in range(evidence.REPEATS)]
    table, best = stages.table(made, data, None, 3, None)
    by_hand = [(linear.predictions(x, labels, 3, splits) == labels).mean() for x in stage_vectors(made, data)]
    assert best.stage == made.stages[int(np.argmax(by_hand))].name and best.accuracy == pytest.approx(max(by_hand))
    np.testing.assert_allclose(table.vectors, extract(made, data, fast=False).vectors, rtol=1e-4, atol=1e-5)
    assert list(table.names) == list(data.names)


def test_a_stage_that_is_no_better_does_not_count() -> None:
    right = np.array([1.0, 0.5, 0.0, 1.0])
    some = evidence.Evidence(4, right, right, right)
    assert stages.weighed(some, stages.Best("a", np.array([0.0, 1, 1, 0]))) is right
    np.testing.assert_allclose(stages.weighed(some, stages.Best("a", np.array([0.0, 1, 1, 1]))), [2 / 3, 2 / 3, 1 / 3, 1])


def test_one_pass_is_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No features are extracted beside it, and a larger part of the race computes only what the smaller one had not."""
    counts: list[int] = []

    class Counting(Eyes):
        def forward(self, x: Tensor) -> Tensor:
            counts.append(len(x))
            return super().forward(x)

    def counting() -> PictureBackbone:
        network = nn.Sequential(Counting(True), Mixed())
        return PictureBackbone(network, tiny.CARD, global_average, "counting").eval()

    def never(*_: Any) -> None:
        raise AssertionError("features were extracted")

    monkeypatch.setattr(rank, "extract", never)
    monkeypatch.setattr(rank, "milliseconds", lambda *_: 1.0)
    monkeypatch.setattr(rank.domain, "similarity", lambda *_: None)
    monkeypatch.setattr("headstart.features.depth.uses_bfloat16", lambda _: False)
    split = tiny.split(80)
    hs.rank(split, {"counting": counting, **MODELS}, approach="finetune", store=Store(tmp_path / "store.sqlite"))
    assert rank.parts(240, 3, 3) == [150, 240]
    assert sum(counts) == 240 + 2 * 2, "each sample once; of a part, one as the backbone is made, and one to see how wide the outputs are"


def test_bfloat16_is_used_where_it_agrees_and_float32_where_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    monkeypatch.setattr("headstart.features.depth.say", said.append)
    monkeypatch.setattr("headstart.features.depth.uses_bfloat16", lambda _: True)
    made, data = tiny.backbone(), tiny.dataset(4)
    exact, quick = watch(made, data), watch(made, data, fast=True)
    assert (exact.precision, quick.precision, quick.computed) == ("float32", "bfloat16", 12)
    for one, other in zip([*exact.stages, exact.end], [*quick.stages, quick.end], strict=True):
        assert np.abs(one - other).max() > 0
        assert (one * other).sum() > 0.999 * np.linalg.norm(one) * np.linalg.norm(other)
    monkeypatch.setattr("headstart.features.depth.AGREEMENT", 1.1)
    assert not said and watch(made, data, fast=True).precision == "float32"
    assert len(said) == 1 and "in bfloat16 differs from float32" in said[0]
    hs.rank(tiny.split(80), {"tiny": tiny.backbone(1), **MODELS}, approach="finetune", store=Store(tmp_path / "store.sqlite"))
    assert len(said) == 4, "three models, two parts of the race: each is told once"


def test_stages_that_cannot_be_watched_are_said() -> None:
    def hidden() -> PictureBackbone:
        return PictureBackbone(tiny.backbone(1).network, tiny.CARD, lambda _, x: (x.mean((2, 3)), None), "hidden")

    found = hs.rank(tiny.split(20), {"hidden": hidden, **MODELS}, approach="finetune")
    assert len(found.candidates) == 3 and any(note.startswith("hidden is judged by its last features alone: ") for note in found.notes)
    [entry] = [entry for entry in found.candidates if entry.model == "hidden"]
    assert entry.stage == "" and entry.stage_accuracy is None and str(found)


def test_what_cannot_be_fine_tuned_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def frozen() -> Backbone:
        made = tiny.backbone()
        made.provides = frozenset({"vector"})
        return made

    found = hs.rank(tiny.split(12), {"frozen": frozen, **MODELS}, approach="finetune")
    assert [entry.name for entry in found.failures] == ["frozen"] and "needs gradients" in found.failures[0].reason
    assert not hs.rank(tiny.split(12), {"frozen": frozen, **MODELS}).failures
    with pytest.raises(ModelError, match="needs gradients"):
        hs.rank(tiny.split(12), {"frozen": frozen}, approach="finetune")
    with pytest.raises(ConfigError, match="'probe' or for 'finetune'"):
        hs.rank(tiny.split(12), MODELS, approach="scratch")  # type: ignore[arg-type]


def test_one_candidate_is_told_what_a_probe_of_it_would_get() -> None:
    found = hs.rank(tiny.split(40), {"seeing": MODELS["seeing"]}, approach="finetune")
    assert f"expect about {100 * found.best.scores['linear']:.1f} % right answers from a probe" in found.advice
    assert found.best.expected > found.best.scores["linear"] + 0.05


def test_outputs_that_are_all_the_same_are_refused() -> None:
    class Zero(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :2] * self.weight

    made = PictureBackbone(nn.Sequential(Zero()), tiny.CARD, global_average, "nothing").eval()
    with pytest.raises(Incompatible, match="the same for all samples"):
        stages.table(made, tiny.dataset(4), None, 0, None)


def test_the_verb_says_it_and_the_page_shows_it(tmp_path: Path) -> None:
    from PIL import Image

    data = tiny.dataset(30)
    for i, (item, label) in enumerate(zip(data.items, data.labels or (), strict=True)):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(item).save(tmp_path / "data" / label / f"{i}.png")  # type: ignore[arg-type]
    place = tiny.saved(tmp_path / "model")
    words = ["rank", str(tmp_path / "data"), "--models", f"{place}?input_size=3,16,16,{place}", "--approach", "finetune"]
    done = CliRunner().invoke(cli.app, [*words, "--report", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "probe of the end" in done.output and "of the best stage" in done.output
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "of the best stage" in page and "counting by a third" in page and "expected accuracy of a probe" not in page
    done = CliRunner().invoke(cli.app, [*words[:-1], "scratch"])
    assert done.exit_code == 2 and "'probe' or for 'finetune'" in done.output
