"""ModelCard: what a checkpoint is and how its inputs are prepared. It travels with the weights as ``card.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from headstart.config import dump_json, from_dict
from headstart.errors import ConfigError, MissingStatistics, ModelError


@dataclass(frozen=True)
class ModelCard:
    """The facts of one checkpoint.

    Attributes:
        architecture: "zoo/name" of the stock architecture, such as "timm/mobilenetv2_100".
        arguments: keyword arguments of the architecture.
        weights: the weights file beside the card (safetensors).
        modality: kind of input, such as "image".
        input_size: channels, height and width in pixels.
        mean, std: per channel, on the scale of ``value_range``.
        value_range: what 0 and 255 of a stored picture become before mean and std.
        channel_order: the order the checkpoint expects.
        interpolation: of the resize; "bilinear", "bicubic", "nearest" or "lanczos".
        crop_fraction: the share of the resized shorter side that the centre crop keeps.
        crop_mode: "center" keeps the aspect ratio and crops, "squash" resizes all of the picture, "border" keeps
            the aspect ratio and all of the picture, with the mean colour around it.
        feature_dim: width of the pooled feature vector.
        maximum_length: tokens of a text that the checkpoint reads.
        pooling: of tokens or frames: "mean" (over those that are not padding), "cls" (the first), "last", "max".
        normalise: whether the pooled vector is scaled to length 1.
        sample_rate: of sounds, in Hz.
        front_end: how a waveform becomes the network's input.
        assets: files beside the card that the checkpoint needs (its tokeniser), by relative name.
    """

    architecture: str
    modality: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    pretrained_on: str = ""
    input_size: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    value_range: tuple[float, ...] = (0.0, 1.0)
    channel_order: Literal["RGB", "BGR"] = "RGB"
    interpolation: str = "bilinear"
    crop_fraction: float = 1.0
    crop_mode: Literal["center", "squash", "border"] = "center"
    feature_dim: int | None = None
    license: str = "unknown"
    origin: str = ""
    checked: str = ""
    sample_rate: int | None = None
    front_end: str = ""
    maximum_length: int | None = None
    pooling: Literal["mean", "cls", "last", "max", ""] = ""
    normalise: bool = False
    assets: tuple[str, ...] = ()

    def with_statistics_checked(self, where: str) -> ModelCard:
        """The card itself when it states how pictures are prepared.

        Raises:
            MissingStatistics: mean, std or input_size is not stated; names the entries to add.
        """
        missing = [name for name in ("input_size", "mean", "std") if getattr(self, name) is None]
        if missing:
            raise MissingStatistics(
                f"{where} does not state {', '.join(missing)}, so its inputs cannot be prepared as it was trained; "
                "wrong statistics cost many points of accuracy in silence. Write them into its card.json, "
                'for example {"input_size": [3, 224, 224], "mean": [0.485, 0.456, 0.406], '
                '"std": [0.229, 0.224, 0.225]} for most ImageNet checkpoints of torchvision.'
            )
        return self

    def replace(self, **changes: Any) -> ModelCard:
        return replace(self, **changes)


def read_card(path: Path) -> ModelCard:
    """The card in a ``card.json`` file.

    Raises:
        ModelError: the file is not a card; the message says which entry is wrong.
    """
    try:
        return from_dict(ModelCard, json.loads(path.read_text("utf-8")), path="$")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise ModelError(f"{path.name} of {path.parent} cannot be read as JSON: {problem}") from problem
    except ConfigError as problem:
        raise ModelError(f"{path.name} of {path.parent} is not a model card: {problem}") from problem


def write_card(card: ModelCard, path: Path) -> None:
    path.write_text(dump_json(card) + "\n", "utf-8")
