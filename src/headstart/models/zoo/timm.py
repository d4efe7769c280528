"""timm (https://github.com/huggingface/pytorch-image-models): over a thousand picture architectures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from headstart.errors import MissingStatistics, ModelError, UnknownModel
from headstart.models import nearest
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard
from headstart.models.pictures import PictureBackbone
from headstart.models.sounds import patch_backbone
from headstart.models.zoo import NOTHING, Zoo, fill, read_weights
from headstart.models.zoo._hub import cached_or_fetched


class Timm(Zoo):
    """``timm:NAME`` or ``timm:NAME.TAG``, as timm lists them; weights come from the Hugging Face hub."""

    def names(self) -> list[str]:
        import timm

        untagged = timm.list_models(pretrained=True, include_tags=False)  # each stands for its default tag
        return sorted({*untagged, *timm.list_pretrained()})

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
        network = create(name, {**card.arguments, "num_classes": 0})
        if card.modality == "audio":
            return patch_backbone(network, card, pool, reference)
        return PictureBackbone(network, card, pool, reference)

    def load(self, name: str, *, pretrained: bool = True) -> PictureBackbone:
        network = create(name, {"num_classes": 0})
        facts: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        card = card_of(name, facts)
        backbone = PictureBackbone(network, card, pool, f"timm:{name}")
        if pretrained:
            if not facts.get("hf_hub_id"):
                raise ModelError(f"timm has no pretrained weights for {name!r} on the hub; add a tag, or choose one of: "
                                 + ", ".join(f"timm:{n}" for n in self.names() if n.startswith(name.split('.')[0])))  # fmt: skip
            path = cached_or_fetched(facts["hf_hub_id"], "model.safetensors", f"timm:{name}")
            fill(backbone, read_weights(path), f"timm:{name}")
        return backbone


def create(name: str, arguments: dict) -> nn.Module:
    """A timm network with fresh weights.

    Raises:
        UnknownModel: timm has no such architecture; the nearest names are offered.
    """
    import timm

    if not timm.is_model(name.split(".")[0]):
        known = [f"timm:{entry}" for entry in timm.list_models()]
        raise UnknownModel(f"timm has no architecture {name!r}." + nearest(name.split(".")[0], known))
    try:
        return timm.create_model(name, pretrained=False, **arguments)
    except (RuntimeError, TypeError) as problem:
        raise UnknownModel(f"timm cannot build {name!r}: {problem}") from problem


def card_of(name: str, facts: dict) -> ModelCard:
    """The card that timm's own configuration of a checkpoint amounts to."""
    if not facts.get("mean") or not facts.get("std"):
        raise MissingStatistics(f"timm states no mean and std for {name!r}; use a folder with a card.json that does.")
    crop_mode = facts.get("crop_mode") or "center"
    if crop_mode not in ("center", "squash", "border"):
        raise ModelError(
            f"timm:{name} was evaluated with the crop mode {crop_mode!r}, which is not supported; choose another."
        )
    return ModelCard(
        architecture=f"timm/{name}",
        modality="image",
        pretrained_on=facts.get("tag") or "",
        input_size=tuple(facts["input_size"]),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        interpolation=facts.get("interpolation") or "bicubic",
        crop_fraction=float(facts.get("crop_pct") or 1.0),
        crop_mode=crop_mode,  # type: ignore[arg-type]
        license=facts.get("license") or "unknown",
        origin=facts.get("hf_hub_id") or "",
    )


def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """timm's own pooling: (n, dim), and the maps where the features are maps."""
    maps = network.forward_features(x)  # type: ignore[operator]
    vector = network.forward_head(maps, pre_logits=True)  # type: ignore[operator]
    return vector, maps if maps.ndim == 4 else None
