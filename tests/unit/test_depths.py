"""Accuracy by depth: what each stage outputs, what is made of it, and what a person sees."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import tiny
import tiny_models
from headstart import depths
from headstart.approaches.finetune import FineTune
from headstart.errors import ConfigError, Incompatible
from headstart.features.depth import pooled_stages, stage_vectors
from headstart.models.backbone import Stage
from headstart.stagewise import by_depth, wilson
from headstart.store import Store
from headstart.training.run import Run
from headstart.tuning import Evidence, named
from headstart.tuning.auto import behind, peak
from headstart.tuning.full import Full
from headstart.tuning.gradual import Gradual

CELLS = [cell for cell in tiny_models.CELLS.values() if cell.name in (
    "timm-vit", "timm-efficientnet", "transformers-bert", "families-yamnet", "embedded-sound")]  # fmt: skip


def test_what_is_watched_is_what_the_stages_output() -> None:
    """Against the stages called by hand: the tiny network is a chain of modules."""
    made, data = tiny.backbone(), tiny.dataset(2)
    found = stage_vectors(made, data)
    with torch.no_grad():
        x, wanted = made.prepare(data.items), []
        for part in list(made.network.conv1)[:5]:  # the second stage ends in a norm, before its ReLU
            x = part(x)
        wanted.append(x.mean((2, 3)))
    np.testing.assert_allclose(found[1], wanted[0].numpy(), rtol=1e-4, atol=1e-5)
    assert [table.shape[0] for table in found] == [len(data)] * len(made.stages)


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
def test_alone_and_together_are_the_same(cell: tiny_models.Cell, tmp_path: Path) -> None:
    """Padding and neighbours in a batch leave no trace in the averages."""
    if cell.lacking:
        pytest.skip(cell.lacking)
    made, data = cell.backbone(tmp_path), tiny_models.dataset(cell.modality, 2)
    together = stage_vectors(made, data)
    assert len(together) == len(made.stages)
    for place in (0, 3):
        alone = stage_vectors(made, data.subset([place]))
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_[place], rtol=2e-3, atol=2e-4)


def test_the_store_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, data, store = tiny.backbone(), tiny.dataset(3), Store(tmp_path / "features.sqlite")
    first = stage_vectors(made, data, store)
    batches = []
    monkeypatch.setattr("headstart.features.depth._computed", lambda *args: batches.append(args[3]) or [])
    again = stage_vectors(made, data, store)
    assert batches == [[]]  # nothing was left to compute
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_copies_share_a_row() -> None:
    made, data = tiny.backbone(), tiny.dataset(2)
    twice = data.subset([0, 1, 0, 2])
    for table in stage_vectors(made, twice):
        np.testing.assert_array_equal(table[0], table[2])
        assert not np.allclose(table[0], table[1])


def test_a_stage_that_is_never_called_is_named() -> None:
    made = tiny.backbone()
    made.stages = [*made.stages, Stage("unused", (nn.Linear(2, 2),))]
    with pytest.raises(Incompatible, match="unused"):
        pooled_stages(made, made.prepare(tiny.dataset(1).items))


def test_a_stage_that_tells_the_classes_is_found() -> None:
    """A network whose middle knows the answer, after which it is lost: the probe says where."""
    made, data = tiny.backbone(), tiny.dataset(12)
    labels = tiny.task().encode(data.labels or [])
    found = by_depth(made, data, labels, 3)
    assert [depth.stage for depth in found] == [stage.name for stage in made.stages]
    assert all(low <= depth.accuracy <= high for depth in found for low, high in [depth.interval])
    assert found[0].parameters == sum(p.numel() for p in made.stages[0].parameters())


def test_wilson_against_published_values() -> None:
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263 and 0 of 20 by the score method."""
    assert wilson(81 / 263, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson(0.0, 20) == (0.0, pytest.approx(0.1611, abs=1e-4))


@pytest.mark.parametrize(
    ("accuracies", "place", "first"),
    [
        ([0.2, 0.5, 0.8, 0.6, 0.4], 2, 2),  # it falls behind the third of five: two learn at the whole rate
        ([0.2, 0.4, 0.6, 0.7, 0.9], 4, 1),  # the last is the best: it alone does
        ([0.2, 0.77, 0.8, 0.79, 0.6], 2, 2),  # 0.77 is more than a standard error below
        ([0.2, 0.79, 0.8, 0.79, 0.6], 1, 3),  # 0.79 is not
        ([0.5, 0.5], 0, 1),
    ],
)
def test_what_auto_makes_of_it(accuracies: list[float], place: int, first: int) -> None:
    found = [(accuracy, 0.02) for accuracy in accuracies]
    assert (peak(found), behind(found)) == (place, first)


def test_auto_asks_for_depths_alone_and_says_why() -> None:
    made = tiny.backbone()
    depths_ = [(0.3 if number != 4 else 0.9, 0.01) for number in range(len(made.stages))]

    def never(*_: object) -> float:
        raise AssertionError("it was not to be asked")

    chosen, why = named("auto").choose(made, Evidence(never, never, lambda: depths_))  # type: ignore[union-attr, arg-type]
    assert chosen == Full(0.85, even=2) == named("full:decay=0.85:even=2"), "by that name it can be asked for again"
    assert "full:decay=0.85:even=2" in why and made.stages[4].name in why and "0.900" in why
    chosen, why = named("auto:0.5:weight_decay=0").choose(made, Evidence(never, never, lambda: depths_))  # type: ignore[union-attr, arg-type]
    assert "full:decay=0.5:weight_decay=0:even=2" in why and chosen == named("full:decay=0.5:weight_decay=0:even=2")


def test_stages_behind_the_peak_learn_at_the_whole_rate() -> None:
    made = tiny.backbone()
    rate_of = {id(p): group["lr"] for group in Full(0.5, even=3).groups(made, 1.0) for p in group["params"]}
    rates = [{rate_of[id(p)] for p in stage.parameters()} for stage in made.stages]
    assert rates == [{0.0625}, {0.125}, {0.25}, {0.5}, {1.0}, {1.0}, {1.0}]
    for even in (0, 8):
        with pytest.raises(ConfigError, match=f"has 7 stages; expected full:even=1 to full:even=7, got {even}"):
            Full(even=even).groups(made, 1.0)


def test_gradual_begins_with_the_first_ones() -> None:
    made = tiny.backbone()
    groups = Gradual(0.5, first=3).groups(made, 1e-3)
    begins = {id(p): group["begins"] for group in groups for p in group["params"]}
    by_stage = [{begins[id(p)] for p in stage.parameters()} for stage in made.stages]
    assert by_stage[-3:] == [{0.0}] * 3
    assert [next(iter(found)) for found in by_stage[:-3]] == pytest.approx([0.5, 0.375, 0.25, 0.125])
    with pytest.raises(ConfigError, match="has 7 stages"):
        Gradual(first=8).groups(made, 1e-3)


def test_fit_with_auto_says_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(None, 0)
    settings = FineTune(epochs=1, tuning="auto", start="random", batch_size=8)
    with caplog.at_level("INFO", "headstart"):
        settings.fit(copy.deepcopy(tiny.backbone()), tiny.task(), tiny.split(), run)
    assert "auto takes full:decay=0.85" in caplog.text
    assert any("auto takes full:decay=0.85" in row.get("note", "") for row in run.history)


def test_the_verb_and_its_page(tmp_path: Path) -> None:
    from PIL import Image

    from headstart.cli import app

    rng = np.random.default_rng(0)
    for label in ("ring", "b<a>r"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(14):
            Image.fromarray(tiny.picture("ring" if label == "ring" else "bar", rng)).save(folder / f"{number}.png")
    model, page = tiny.saved(tmp_path / "model"), tmp_path / "page.html"
    base = ["layers", str(tmp_path / "photos"), "--model", str(model), "--out", str(page)]
    answer = CliRunner().invoke(app, [*base, "--json"])
    assert answer.exit_code == 0, answer.output
    facts = json.loads(answer.stdout.strip().splitlines()[-1])
    assert facts["page"] == str(page) and len(facts["depths"]) == 7 and facts["tuning"].startswith("full:decay=0.85")
    text = page.read_text("utf-8")
    assert text.count("<circle") == 7 and "<script" not in text and facts["best"] in text
    answer = CliRunner().invoke(app, base)
    assert answer.exit_code == 0 and "<- as good as at any depth" in answer.stdout and str(page) in answer.stdout


def test_names_are_escaped() -> None:
    from headstart.report.depth import page

    depth = {"stage": "<b>x</b>", "dim": 1, "parameters": 2, "accuracy": 0.5, "interval": (0.4, 0.6)}
    text = page({"model": "<m>", "data": "<d>", "samples": 3, "classes": 2, "depths": [depth], "best": "<b>x</b>", "tuning": "t"})
    assert not {"<b>x", "<m>", "<d>"} & {part for part in ("<b>x", "<m>", "<d>") if part in text}


def test_the_public_call_looks_at_training_samples_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    data = tiny.dataset(12)
    found = depths.layers(data, str(tiny.saved(tmp_path / "model")))
    assert 0 < found.samples < len(data) and found.classes == 3
    assert found.to_dict()["best"] == found.depths[found.best].stage
