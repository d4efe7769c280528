"""Freezing and layer-wise rates stand on the stages: every parameter in exactly one, early to late."""

import copy

import pytest
import torch

from headstart import models
from headstart.models.backbone import Backbone
from tiny import backbone

NAMES = [
    "timm:resnet18",
    "timm:vgg11",
    "timm:mobilenetv2_100",
    "timm:densenet121",
    "timm:inception_v3",
    "timm:vit_tiny_patch16_224",
    "torchvision:resnet18",
    "torchvision:mobilenet_v2",
    "torchvision:vit_b_16",
    "embedded:image",
]


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest) -> Backbone:
    return models.load(request.param, pretrained=False)


def test_every_parameter_is_in_exactly_one_stage(made: Backbone) -> None:
    staged = [id(parameter) for stage in made.stages for parameter in stage.parameters()]
    assert len(staged) == len(set(staged))
    names = {id(parameter): name for name, parameter in made.named_parameters()}
    assert {names[i] for i in staged} == set(names.values())


def test_stages_are_few_named_and_not_empty(made: Backbone) -> None:
    assert 3 <= len(made.stages) <= 8
    assert len({stage.name for stage in made.stages}) == len(made.stages)
    assert all(stage.parameters() for stage in made.stages)


def test_stages_run_early_to_late(made: Backbone) -> None:
    """By the order in which a forward pass first enters them, whatever the order of the module tree."""
    entered: list[int] = []
    hooks = [
        part.register_forward_pre_hook(lambda *_, number=number: entered.append(number))
        for number, stage in enumerate(made.stages)
        for module in stage.modules
        for part in module.modules()
        if any(True for _ in part.parameters(recurse=False))
    ]
    _, height, width = made.card.input_size or (3, 0, 0)
    with torch.inference_mode():
        made.eval()(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    assert list(dict.fromkeys(entered)) == list(range(len(made.stages)))


def test_stages_of_a_copy_are_the_copy_s() -> None:
    first = backbone()
    twin = copy.deepcopy(first)
    inside = {id(parameter) for parameter in twin.parameters()}
    assert {id(p) for stage in twin.stages for p in stage.parameters()} == inside
    assert not inside & {id(p) for p in first.parameters()}
