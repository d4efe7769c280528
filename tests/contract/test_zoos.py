"""What every zoo must do; new ones are found by their file. No network: the architectures have fresh weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart import models, plugins
from headstart.errors import ModelError, UnknownModel
from headstart.models.backbone import Backbone
from headstart.models.zoo import Zoo, assemble
from tiny import CARD, dataset, saved

NAMES = plugins.names("models.zoo")
SMALL = {"timm": "resnet10t", "torchvision": "squeezenet1_1", "embedded": "image"}  # another zoo: its first name


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    zoo: Zoo = plugins.variant("models.zoo", request.param, Zoo)()
    if request.param == "local":
        return zoo.load(str(saved(tmp_path_factory.mktemp("local"))), pretrained=False)
    return zoo.load(SMALL.get(request.param) or zoo.names()[0], pretrained=False)


def test_raw_pictures_become_features(made: Backbone) -> None:
    samples = dataset(1)
    with torch.inference_mode():
        batch = made.eval().prepare([*samples.items, np.zeros((7, 91, 3), np.uint8)])
        features = made(batch)
    assert features.vector.shape == (4, made.spec.dim) and features.vector.dtype is torch.float32
    assert torch.isfinite(features.vector).all()
    if "maps" in made.provides:
        assert features.maps is not None and features.maps.ndim == 4


def test_gradients_reach_every_stage(made: Backbone) -> None:
    assert "gradients" in made.provides
    made.eval()
    made.zero_grad()
    made(made.prepare(dataset(1).items)).vector.square().sum().backward()
    for stage in made.stages:
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in stage.parameters()), stage.name
    made.zero_grad()


def test_the_card_builds_it_again(made: Backbone) -> None:
    twin = assemble(made.card, made.reference, None)
    own, other = made.network.state_dict(), twin.network.state_dict()
    assert {n: v.shape for n, v in own.items()} == {n: v.shape for n, v in other.items()}
    assert twin.spec == made.spec and twin.provides == made.provides
    twin.network.load_state_dict(own)
    batch = made.eval().prepare(dataset(1).items)
    with torch.inference_mode():
        assert torch.equal(twin.eval()(batch).vector, made(batch).vector)


def test_fresh_weights_are_drawn_anew(made: Backbone) -> None:
    twin = assemble(made.card, made.reference, None)
    moved = [not torch.equal(a, b) for a, b in zip(made.parameters(), twin.parameters(), strict=True) if a.ndim > 1]
    assert all(moved)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_name_is_an_unknown_model(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        models.load(f"{name}:no_such_model_anywhere")
    with pytest.raises(ModelError):
        assemble(CARD.replace(architecture=f"{name}/no_such_model_anywhere"), "mine", None)
