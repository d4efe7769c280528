"""A picture backbone around any torch network that maps (n, channels, height, width) to features."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from headstart.models.backbone import Backbone, Features, FeatureSpec, Inputs, stages_of
from headstart.models.card import ModelCard
from headstart.models.fastpath import fused_network
from headstart.models.precision import fast_precision

RESAMPLING = {
    "nearest": Pillow.Resampling.NEAREST,
    "bilinear": Pillow.Resampling.BILINEAR,
    "bicubic": Pillow.Resampling.BICUBIC,
    "lanczos": Pillow.Resampling.LANCZOS,
    "random": Pillow.Resampling.BICUBIC,
}


class PictureBackbone(Backbone):
    """A network, its card, and a function ``pool(network, x) -> (vector, maps or None)``.

    ``card`` must state input_size, mean and std; ``batch`` applies its value range, channel order and
    statistics, ``shape`` its interpolation, size and crop.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        pool: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor | None]],
        reference: str,
    ) -> None:
        super().__init__()
        self.card = card.with_statistics_checked(reference)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pool = pool
        self.reference = reference
        self.precision = self.input_precision = torch.float32
        self.stages = stages_of(network)
        channels, height, width = self._size
        was_training = network.training
        with torch.inference_mode():
            vector, maps = pool(network.eval(), torch.zeros(1, channels, height, width))
        network.train(was_training)
        self.spec = FeatureSpec(vector.shape[1])
        self.provides = frozenset({"vector", "gradients"} | ({"maps"} if maps is not None else set()))
        low, high = self.card.value_range
        # Every step of the normalisation is affine, so it is one multiplication and one addition:
        # (pixel / 255 * (high - low) + low - mean) / std
        mean, std = torch.tensor(self.card.mean), torch.tensor(self.card.std)
        self.register_buffer("scale", ((high - low) / 255 / std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", ((low - mean) / std).view(1, -1, 1, 1), persistent=False)

    @property
    def _size(self) -> tuple[int, int, int]:
        channels, height, width = self.card.input_size or (3, 224, 224)
        return channels, height, width

    def decode_side(self) -> int | None:
        _, height, width = self._size
        return round(min(height, width) / self.card.crop_fraction)

    def shape(self, value: np.ndarray, *, whole: bool = False) -> np.ndarray:
        """(H, W, 3) uint8 RGB of any size -> (height, width, 3) uint8 of the checkpoint's size.

        Resize and centre crop are one pass: the crop that the usual two steps would keep, to the pixel of the
        resized picture, is mapped back onto the source, and nothing outside it is resampled.
        """
        _, height, width = self._size
        rows, columns = value.shape[:2]
        box = (0.0, 0.0, float(columns), float(rows))
        if not whole and self.card.crop_mode == "center":
            side = math.floor(min(height, width) / self.card.crop_fraction)  # as timm; the longer side is cut, too
            resized_rows, resized_columns = (
                (side, int(side * columns / rows)) if rows <= columns else (int(side * rows / columns), side)
            )
            if resized_rows >= height and resized_columns >= width:
                top, left = round((resized_rows - height) / 2.0), round((resized_columns - width) / 2.0)
                down, across = rows / resized_rows, columns / resized_columns
                box = (left * across, top * down, (left + width) * across, (top + height) * down)
        picture = Pillow.fromarray(np.ascontiguousarray(value))
        if not whole and self.card.crop_mode == "border":
            return self._bordered(picture)
        resized = picture.resize((width, height), RESAMPLING[self.card.interpolation], box=box, reducing_gap=3.0)
        return np.asarray(resized)

    def _bordered(self, picture: Pillow.Image) -> np.ndarray:
        """The longer side resized to fit and the mean colour beside it; the pixels of timm's own two steps.

        As in timm, a crop fraction below 1 cuts what is then larger than the input.
        """
        _, height, width = self._size
        fraction, (low, high) = self.card.crop_fraction, self.card.value_range
        ratio = max(picture.height / math.floor(height / fraction), picture.width / math.floor(width / fraction))
        down, across = (max(1, round(side / ratio)) for side in picture.size[::-1])
        colour = [round(255 * (value - low) / (high - low)) for value in self.card.mean or ()]
        if self.card.channel_order == "BGR":
            colour.reverse()
        canvas = Pillow.new("RGB", (width, height), tuple(colour * (3 if len(colour) == 1 else 1)))
        # beside a smaller picture the border is as wide left as right, or a pixel less; a larger one is cut alike
        left, top = ((room // 2 if room >= 0 else -round(-room / 2)) for room in (width - across, height - down))
        canvas.paste(picture.resize((across, down), RESAMPLING[self.card.interpolation]), (left, top))
        return np.asarray(canvas)

    def batch(self, shaped: Sequence[np.ndarray]) -> Tensor:
        """n pictures (height, width, 3) uint8 -> (n, channels, height, width) float, channels last in memory."""
        pixels = torch.from_numpy(np.stack(shaped)).permute(0, 3, 1, 2)  # a view: channels last already
        if self.card.channel_order == "BGR":
            pixels = pixels.flip(1)
        if self._size[0] == 1:
            pixels = pixels.float().mean(1, keepdim=True)
        values = torch.addcmul(self.shift, pixels.to(self.scale.device).float(), self.scale)
        return values.contiguous(memory_format=torch.channels_last)

    def forward(self, batch: Inputs) -> Features:
        assert isinstance(batch, Tensor)
        vector, maps = self.pool(self.network, batch.to(self.input_precision))
        return Features(vector=vector.float(), maps=maps)

    def fast(self) -> PictureBackbone:
        """Fused convolutions, in bfloat16 where the processor computes in it; on a GPU the backbone itself."""
        precision = fast_precision(next(self.network.parameters()).device)
        if precision is None:
            return self
        twin = copy.copy(self)
        twin._modules = dict(self._modules)
        plain = copy.deepcopy(self.network).eval().requires_grad_(False)
        twin.network, twin.input_precision = fused_network(plain, self._size, precision)
        twin.precision = precision
        return twin


def global_average(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Pool of a network that outputs maps: the mean over positions."""
    maps = network(x)
    return maps.mean((2, 3)), maps
