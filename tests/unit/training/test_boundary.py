"""The boundary cache gives the results of training without it; where it cannot, it is not used, and that is said."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny
import tiny_models
from headstart.approaches.finetune import FineTune
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.models.agreement import relative_gap
from headstart.models.backbone import Backbone
from headstart.models.pictures import PictureBackbone
from headstart.models.replay import NoShortcut, crossing, num_frozen, replay, trace
from headstart.training import boundary as module
from headstart.training.batches import Batches
from headstart.training.boundary import Boundary, boundary, saved_share
from headstart.training.kept import Kept
from headstart.training.run import Run
from headstart.tuning import freeze_others, named, training_mode

# the features of the tiny network hold those of its last two stages, so its boundary is before them
FROZEN = FineTune(epochs=3, tuning="last:2", start="random", augment="", batch_size=6, patience=0)


def fitted(settings: FineTune, split: Split, made: Backbone, run: Run) -> Any:
    return settings.fit(copy.deepcopy(made), tiny_models_task(split), split, run)


def tiny_models_task(split: Split) -> Any:
    from headstart.tasks.classification import Classification

    return Classification.learn(split.train.labels or [])


def parts(made: Backbone, split: Split, tuning: str = "last:2", **options: Any) -> tuple[Batches, Batches]:
    """Training and validation batches of a backbone that is frozen as the tuning says."""
    freeze_others(made, named(tuning).groups(made, 1e-3))  # type: ignore[union-attr]
    labels = tiny.task().encode(split.train.labels or [])
    own = Batches(split.train, labels, made, 6, **options)
    return own, Batches(split.valid, tiny.task().encode(split.valid.labels or []), made, 6)


def compared(made: Backbone, split: Split, settings: FineTune, caplog: pytest.LogCaptureFixture) -> None:
    """Fit with the cache and without, and compare weights, answers and curves."""
    cached, plain = Run(None, 1), Run(None, 1)
    with caplog.at_level("INFO", "headstart"):
        one = fitted(settings, split, made, cached)
    assert "Every epoch saves" in caplog.text
    other = fitted(replace(settings, boundary=0.0), split, made, plain)
    assert caplog.text.count("Every epoch saves") == 1
    for (name, a), b in zip(one.backbone.state_dict().items(), other.backbone.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    np.testing.assert_allclose(one.probabilities(split.test), other.probabilities(split.test), atol=1e-4)
    for a, b in zip(cached.history, plain.history, strict=True):
        assert a["epoch"] == b["epoch"]
        assert a["train_loss"] == (b["train_loss"] and pytest.approx(b["train_loss"], abs=1e-4))
        assert a.get("valid_loss") == (b.get("valid_loss") and pytest.approx(b["valid_loss"], abs=1e-4))
    moved = [not torch.equal(a, b) for a, b in zip(one.backbone.parameters(), made.parameters(), strict=True)]
    assert any(moved) and not all(moved)


@pytest.mark.parametrize("tuning", ["last:2", "stages"])
@pytest.mark.parametrize("still_norms", [True, False])
def test_pictures_train_alike(tuning: str, still_norms: bool, caplog: pytest.LogCaptureFixture) -> None:
    made = tiny.backbone()
    if tuning == "stages":  # one in the middle: frozen ones before it and behind it
        tuning = f"stages:{made.stages[3].name}"
    compared(made, tiny.split(), replace(FROZEN, tuning=tuning, still_norms=still_norms), caplog)


CELLS = [cell for cell in tiny_models.CELLS.values() if cell.zoo in ("timm", "torchvision", "transformers", "families")]


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
def test_every_network_gives_its_own_features_or_says_why_not(
    cell: tiny_models.Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and gradients by way of the boundary are those of the whole network, in batches of other composition."""
    if cell.lacking:
        pytest.skip(cell.lacking)
    monkeypatch.setattr(module, "WORTH", 0.0)  # tiny networks save little
    made, split = cell.backbone(tmp_path), tiny_models.split(cell.modality)
    if "gradients" not in made.provides or len(made.stages) < 2:
        pytest.skip("it has no gradients or a single stage")
    train, valid = parts(made, split, "last:1")
    run = Run(None, stage="here")
    with caplog.at_level("INFO", "headstart"):
        found = boundary(train, valid, 3, run)
    if found is None:
        assert "here: boundary cache not used: " in caplog.text
        return
    try:
        for kept, batches in ((found.train, train), (found.valid, valid)):
            places = [4, 0, 3, 1]
            with torch.no_grad(), run.autocast:
                whole = made(made.batch([batches.sample(place, 0) for place in places])).vector
                short = kept.features(made, places).vector
            if kept.precision is torch.bfloat16:
                assert relative_gap(whole.float(), short.float()) < module.CLOSE[torch.bfloat16][0]
            else:
                torch.testing.assert_close(short.float(), whole.float(), atol=2e-4, rtol=2e-3)
    finally:
        found.close()


def test_most_networks_have_the_shortcut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusing everything would also be right, and worthless."""
    monkeypatch.setattr(module, "WORTH", 0.0)
    wanted = {"timm-efficientnet", "timm-vit", "torchvision-squeezenet", "transformers-bert", "families-yamnet"}
    for cell in CELLS:
        if cell.name in wanted and not cell.lacking:
            made = cell.backbone(tmp_path / cell.name)
            found = boundary(*parts(made, tiny_models.split(cell.modality), "last:1"), 3, Run(None))
            assert found, cell.name
            found.close()


def test_it_is_mapped_bounded_and_gone_afterwards(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made, split = tiny.backbone(), tiny.split()
    train, valid = parts(made, split)
    run = Run(tmp_path, stage="tuned")
    found = boundary(train, valid, 3, run)
    assert isinstance(found, Boundary) and found.folder == tmp_path / "tuned.boundary"
    with run.autocast:
        found.train.features(made, [0, 1])
    assert isinstance(found.train._columns[0].mapped, np.memmap)
    on_disk = sum(file.stat().st_size for file in (found.folder / "train").iterdir())
    assert on_disk == found.train.size > 0
    found.close()
    assert not found.folder.exists()
    with caplog.at_level("INFO", "headstart"):
        limit = found.train.size // 2
        assert boundary(train, valid, 3, Run(tmp_path, stage="tuned", boundary_limit=limit)) is None
    assert "allowed" in caplog.text or "full after" in caplog.text
    assert list(tmp_path.iterdir()) == []  # nor is a part of it left


def test_full_while_recording(tmp_path: Path) -> None:
    """The limit holds even where the first samples promised less."""
    train, _ = parts(tiny.backbone(), tiny.split())
    place = crossing(train.backbone, train.backbone.batch([train.sample(0, 0)]), num_frozen(train.backbone))
    kept = Kept(place, num_frozen(train.backbone), train, tmp_path / "train", 2000)
    with pytest.raises(NoShortcut, match="which were full after"):
        kept.record(range(len(train.dataset)), 6, "some")


@pytest.mark.parametrize(
    ("options", "epochs", "tuning", "said"),
    [
        ({"recipe": ("flip",)}, 3, "last:1", "flip changes what they see in every epoch"),
        ({}, 1, "last:1", ""),  # nothing is computed twice
        ({}, 3, "full", ""),  # nothing is frozen
    ],
)
def test_not_used_where_there_is_nothing_to_save(
    options: dict, epochs: int, tuning: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "headstart"):
        assert boundary(*parts(tiny.backbone(), tiny.split(), tuning, **options), epochs, Run(None, stage="x")) is None
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_mixing_is_said_to_prevent_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "headstart"):
        fitted(replace(FROZEN, epochs=2, mix="mixup"), tiny.split(), tiny.backbone(), Run(None))
    assert "Mixup changes what they see" in caplog.text


class Sidestep(nn.Module):
    """Its last stage gets what the first computed, and the input itself, past the boundary."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(8, 8, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        early = self.two(self.one(x).relu()).relu()
        return self.three(early).relu() + x.mean()


def test_a_way_past_the_boundary_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = network(x)
        return maps.mean((2, 3)), maps

    made = PictureBackbone(Sidestep(), tiny.CARD, pool, "sidestep").eval()
    with caplog.at_level("INFO", "headstart"):
        assert boundary(*parts(made, tiny.split()), 3, Run(None, stage="x")) is None
    assert "by way of the boundary features differ" in caplog.text


def test_asking_for_answers_changes_nothing() -> None:
    """The shapes of frozen answers are found out within training mode, without a trace in statistics or random state."""
    made = tiny.backbone()
    train, valid = parts(made, tiny.split())
    found = boundary(train, valid, 3, Run(None))
    assert found
    training_mode(made)
    found.train._answers.clear()
    before, state = tiny.frozen_bytes(made), torch.get_rng_state()
    with torch.no_grad(), Run(None).autocast:
        training_mode(made, still_norms=True)
        found.train.features(made, [0, 1, 2])
    assert tiny.frozen_bytes(made) == before and torch.equal(torch.get_rng_state(), state)
    training_mode(made)  # the moving norms now gather statistics: once, from the batch itself
    norm = next(m for m in made.stages[-1].modules[-1].modules() if isinstance(m, nn.BatchNorm2d))
    counted = int(norm.num_batches_tracked)
    found.train._answers.clear()
    with Run(None).autocast:
        found.train.features(made, [0, 1, 2])
    assert int(norm.num_batches_tracked) == counted + 1
    found.close()


def test_the_share_of_the_work_is_counted() -> None:
    """By hand: of two equal convolutions the first is frozen. A step is 1 + 3 of which the frozen 1 is saved."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x))

    made = PictureBackbone(Twice(), tiny.CARD, lambda n, x: (n(x).mean((2, 3)), None), "twice").eval()
    train, _ = parts(made, tiny.split(), "last:1")
    inputs = made.batch([train.sample(0, 0)])
    assert saved_share(made, inputs, crossing(made, inputs, num_frozen(made))) == pytest.approx(1 / 4)


def test_another_path_is_refused() -> None:
    made = tiny.backbone()
    train, _ = parts(made, tiny.split())
    inputs = made.batch([train.sample(0, 0)])
    frozen = num_frozen(made)
    place = crossing(made, inputs, frozen)
    other = replace(place, calls=place.calls[::-1])
    seen = trace(made, inputs, {place.entry})
    with pytest.raises(NoShortcut, match="not called in the order"):
        replay(made, inputs, other, seen.outputs[::-1], [seen.tensors[leaf] for leaf in place.leaves])
    assert not any("forward" in vars(part) for part in made.network.modules())  # and the network is as before


def test_wrong_size_is_an_error_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r"\$\.approach\.boundary"):
        fitted(replace(FROZEN, boundary=-1.0), tiny.split(), tiny.backbone(), Run(None))
