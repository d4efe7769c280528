"""torchvision.models: the reference implementations of ResNet, VGG, Inception, MobileNet, DenseNet, ViT, ..."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import ModelError, UnknownModel
from headstart.models import nearest
from headstart.models.card import ModelCard
from headstart.models.pictures import PictureBackbone, global_average
from headstart.models.zoo import NOTHING, Zoo, fill
from headstart.progress import say


class Torchvision(Zoo):
    """``torchvision:NAME`` (its default weights) or ``torchvision:NAME.WEIGHTS``."""

    def names(self) -> list[str]:
        from torchvision import models

        return list(models.list_models(module=models))

    def build(
        self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING
    ) -> PictureBackbone:
        network, pool = headless(create(name, card.arguments))
        return PictureBackbone(network, card, pool, reference)

    def load(self, name: str, *, pretrained: bool = True) -> PictureBackbone:
        architecture, _, tag = name.partition(".")
        weights = self._weights(architecture, tag)
        card = card_of(architecture, weights)
        backbone = self.build(architecture, card, f"torchvision:{name}")
        if pretrained:
            fill(backbone, fetched(weights.url, f"torchvision:{name}"), f"torchvision:{name}")
        return backbone

    def _weights(self, architecture: str, tag: str) -> Any:
        from torchvision import models

        if architecture not in self.names():
            known = [f"torchvision:{entry}" for entry in self.names()]
            raise UnknownModel(f"torchvision has no architecture {architecture!r}." + nearest(architecture, known))
        choices = models.get_model_weights(architecture)
        if tag and tag not in choices.__members__:
            raise UnknownModel(
                f"torchvision:{architecture} has no weights {tag!r}; there are: {', '.join(choices.__members__)}"
            )
        return choices[tag] if tag else choices.DEFAULT  # type: ignore[misc]


def create(name: str, arguments: dict) -> nn.Module:
    """A torchvision network with fresh weights."""
    from torchvision import models

    slow_start = {"init_weights": True} if name in ("inception_v3", "googlenet") else {}
    try:
        return models.get_model(name, weights=None, **{**slow_start, **arguments})
    except (ValueError, TypeError) as problem:
        raise UnknownModel(f"torchvision cannot build {name!r}: {problem}") from problem


def headless(network: nn.Module) -> tuple[nn.Module, Any]:
    """The network without its classifier, and how its features are pooled.

    Networks with a ``features`` part and a ``classifier`` (VGG, MobileNet, SqueezeNet, DenseNet, EfficientNet)
    give the mean of the feature maps; the others (ResNet, Inception, ViT, Swin) all that precedes the last layer.
    """
    for name in ("AuxLogits", "aux1", "aux2"):
        if hasattr(network, name):
            setattr(network, name, None)
            network.aux_logits = False  # type: ignore[assignment]
    for name in ("fc", "head", "heads"):
        if isinstance(getattr(network, name, None), nn.Module):
            setattr(network, name, nn.Identity())
            return network, whole_output
    last = nn.ReLU() if "DenseNet" in type(network).__name__ else nn.Identity()
    return _Features(network.get_submodule("features"), last), global_average


class _Features(nn.Module):
    def __init__(self, features: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))


def whole_output(network: nn.Module, x: Tensor) -> tuple[Tensor, None]:
    return network(x).flatten(1), None


def card_of(architecture: str, weights: Any) -> ModelCard:
    """The card that the transforms of a torchvision checkpoint amount to."""
    transforms = weights.transforms()
    crop, resize = transforms.crop_size[0], transforms.resize_size[0]
    return ModelCard(
        architecture=f"torchvision/{architecture}",
        modality="image",
        # these two were trained on other statistics and change the input themselves, if told so
        arguments={"transform_input": True} if architecture in ("inception_v3", "googlenet") else {},
        pretrained_on=str(weights.name),
        input_size=(3, crop, crop),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
        crop_fraction=crop / resize,
        license="BSD-3-Clause (code); weights as torchvision documents",
        origin=weights.meta.get("recipe", ""),
    )


def fetched(url: str, reference: str) -> dict[str, Tensor]:
    """The state dict behind a torchvision address: from torch's own cache, else fetched; tensors only."""
    path = os.path.join(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])  # noqa: PTH118
    if not os.path.exists(path):  # noqa: PTH110
        say(f"Fetching {reference}, once; later runs use the local copy.")
    try:
        return torch.hub.load_state_dict_from_url(
            url, progress=False, map_location="cpu", weights_only=True, check_hash=True
        )
    except Exception as problem:  # no network, a full disk, a damaged file: each ends here
        raise ModelError(
            f"{reference} is not on this machine and could not be fetched ({type(problem).__name__}: {problem}). "
            "Connect to the network once, or use the model that comes with headstart: --model embedded:image."
        ) from problem
