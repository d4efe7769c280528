"""Preprocessing against the zoos' own, and the fast path against the plain one."""

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from headstart import models
from headstart.models.card import ModelCard
from headstart.models.fastpath import FusedConvolution, diffused
from headstart.models.pictures import PictureBackbone
from headstart.models.precision import uses_bfloat16
from headstart.models.zoo.timm import card_of
from tiny import backbone, dataset, unsettle

native = pytest.mark.skipif(not uses_bfloat16(torch.device("cpu")), reason="no bfloat16 on this processor")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: soft patches of colour."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return np.array(Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC))


WHOLE = [(256, 256), (224, 224), (64, 64), (100, 400)]  # where timm's crop to 224 of 256 needs no rounding
SIZES = [(256, 256), (224, 224), (64, 64), (300, 500), (481, 321), (1200, 900), (100, 400), (225, 223)]


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_100", "vit_tiny_patch16_224"])
def test_parity_with_timm(name: str) -> None:
    made = models.load(f"timm:{name}", pretrained=False)
    settings = timm.data.resolve_data_config({}, pretrained_cfg=made.network.pretrained_cfg)
    transform = timm.data.create_transform(**settings)
    for height, width in SIZES:
        value = photo(height, width)
        wanted = transform(Image.fromarray(value))
        found = made.prepare([value])[0]
        assert found.shape == wanted.shape
        gap = (found - wanted).abs() * torch.tensor(made.card.std).view(3, 1, 1) * 255  # grey levels of 0..255
        # timm rounds the size of the resized picture and the place of the crop to whole pixels: up to half a pixel off
        assert gap.mean() < 1.5, (height, width, float(gap.mean()))
        assert np.corrcoef(found.flatten(), wanted.flatten())[0, 1] > 0.999
        if name == "mobilenetv2_100" and (height, width) in WHOLE:
            assert gap.max() < 0.01


@pytest.mark.parametrize("fraction", [1.0, 0.9])
@pytest.mark.parametrize("size", [(32, 32), (31, 48)])
def test_a_border_is_that_of_timm_to_the_pixel(fraction: float, size: tuple[int, int]) -> None:
    facts = {"input_size": (3, *size), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
             "interpolation": "bicubic", "crop_pct": fraction, "crop_mode": "border"}  # fmt: skip
    made = PictureBackbone(torch.nn.Conv2d(3, 4, 1), card_of("x", facts), lambda n, x: (n(x).mean((2, 3)), None), "x")
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=facts), normalize=False)
    for height, width in (*SIZES, (33, 34), (50, 31), (7, 90)):
        value = photo(height, width)
        wanted = transform(Image.fromarray(value)).numpy().transpose(1, 2, 0)
        assert np.array_equal(made.shape(value), wanted), (height, width)
    assert made.shape(photo(7, 90))[0, 0].tolist() == [124, 116, 104]  # 255 times the mean
    assert made.shape(photo(1, 200)).shape == (*size, 3)  # timm fails: nothing is left of the shorter side
    whole = np.asarray(Image.fromarray(photo(90, 91)).resize(size[::-1], Image.Resampling.BICUBIC))
    assert np.abs(made.shape(photo(90, 91), whole=True).astype(int) - whole).max() <= 1


def test_a_border_of_a_blue_first_or_grey_checkpoint() -> None:
    blue = {"mean": (10.0, 20.0, 30.0), "std": (1.0, 1.0, 1.0), "value_range": (0.0, 255.0), "channel_order": "BGR"}
    card = ModelCard("timm/x", "image", crop_mode="border", input_size=(3, 8, 8)).replace(**blue)
    made = PictureBackbone(torch.nn.Conv2d(3, 4, 1), card, lambda n, x: (n(x).mean((2, 3)), None), "x")
    assert made.shape(photo(4, 16))[0, 0].tolist() == [30, 20, 10]
    assert made.prepare([photo(4, 16)])[0, :, 0, 0].abs().max() < 1e-4  # the mean itself
    grey = ModelCard("timm/x", "image", crop_mode="border", input_size=(1, 8, 8), mean=(0.2,), std=(0.5,))
    made = PictureBackbone(torch.nn.Conv2d(1, 4, 1), grey, lambda n, x: (n(x).mean((2, 3)), None), "x")
    assert made.shape(photo(16, 4))[0, 0].tolist() == [51, 51, 51]


def test_squares_without_a_crop_are_a_plain_resize() -> None:
    made, value = backbone(), photo(60, 60)
    wanted = np.asarray(Image.fromarray(value).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(made.shape(value), wanted)
    same = photo(32, 32)
    assert np.array_equal(made.shape(same), same)


def test_the_centre_is_kept_and_whole_keeps_everything() -> None:
    made = backbone()
    value = np.zeros((40, 120, 3), np.uint8)
    value[:, 40:80] = 255
    assert made.shape(value).min() > 200 or (made.shape(value)[:, 2:-2] == 255).all()
    assert (made.shape(value, whole=True)[:, [0, -1]] == 0).all()
    tall = np.ascontiguousarray(value.transpose(1, 0, 2))
    assert np.array_equal(made.shape(tall), made.shape(value).transpose(1, 0, 2))


def test_statistics_and_range_by_hand() -> None:
    made, value = backbone(), photo(32, 32)
    wanted = (value / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.25, 0.3, 0.2])
    assert np.allclose(made.batch([value])[0].numpy().transpose(1, 2, 0), wanted, atol=1e-5)


def test_blue_first_in_0_to_255() -> None:
    """The Caffe convention: BGR, 0..255, a mean and no scaling."""
    card = ModelCard(
        architecture="torchvision/squeezenet1_1",
        modality="image",
        input_size=(3, 64, 64),
        mean=(104.0, 117.0, 123.0),
        std=(1.0, 1.0, 1.0),
        value_range=(0.0, 255.0),
        channel_order="BGR",
    )
    made = PictureBackbone(torch.nn.Conv2d(3, 4, 1), card, lambda n, x: (n(x).mean((2, 3)), None), "caffe")
    value = photo(64, 64)
    wanted = value[..., ::-1].astype(np.float64) - np.array([104.0, 117.0, 123.0])
    assert np.allclose(made.prepare([value])[0].numpy().transpose(1, 2, 0), wanted, atol=1e-3)


def test_one_channel() -> None:
    card = ModelCard("timm/x", "image", input_size=(1, 16, 16), mean=(0.5,), std=(0.5,))
    made = PictureBackbone(torch.nn.Conv2d(1, 4, 1), card, lambda n, x: (n(x).mean((2, 3)), None), "grey")
    value = photo(16, 16)
    assert np.allclose(made.prepare([value])[0, 0].numpy(), value.mean(2) / 127.5 - 1, atol=1e-5)


def test_preparing_one_by_one_is_preparing_together() -> None:
    made, values = backbone(), [photo(40, 50, 1), photo(33, 64, 2)]
    together = made.prepare(values)
    assert torch.equal(together, torch.cat([made.prepare([value]) for value in values]))
    assert together.is_contiguous(memory_format=torch.channels_last)


# resnet10t: plain batch norms; regnetx_002 and densenet121: BatchNormAct2d, the latter after concatenations;
# tf_efficientnet_lite0: "same" padding; repvgg_a0: branches; vit_tiny: no convolution but the first
FAST = ["resnet10t", "regnetx_002", "mobilenetv2_100", "tf_efficientnet_lite0", "repvgg_a0", "densenet121",
        "vit_tiny_patch16_224"]  # fmt: skip


@pytest.mark.parametrize("native_bfloat16", [pytest.param(True, marks=native), False])
@pytest.mark.parametrize("name", FAST)
def test_fast_features_agree(name: str, native_bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native_bfloat16:
        monkeypatch.setattr("headstart.models.precision.uses_bfloat16", lambda device: False)
    torch.manual_seed(0)
    made = models.load(f"timm:{name}", pretrained=False).eval()
    unsettle(made.network)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    batch = made.prepare([photo(224, 224, seed) for seed in range(2)])
    with torch.inference_mode():
        plain, quick = made(batch).vector, made.fast()(batch).vector
    assert quick.dtype is torch.float32
    cosine = torch.nn.functional.cosine_similarity(plain, quick)
    assert cosine.min() >= (0.999 if native_bfloat16 else 0.999999)
    assert any(isinstance(part, FusedConvolution) for part in made.fast().network.modules())
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())  # the original stays
    assert made.precision is torch.float32


@native
@pytest.mark.parametrize(("name", "exact"), [("mobilenetv2_100", 2), ("resnet18", 1), ("vit_tiny_patch16_224", 1)])
def test_the_first_convolutions_stay_exact(name: str, exact: int) -> None:
    """As far as nothing but their own norm and activation lies between: behind resnet18's stem stands a pooling."""
    made = models.load(f"timm:{name}", pretrained=False).eval().fast()
    kinds = [part.weight.dtype for part in made.network.modules() if isinstance(part, FusedConvolution)]
    assert kinds[:exact] == [torch.float32] * exact
    assert set(kinds[exact:]) <= {torch.bfloat16}


@native
@pytest.mark.skipif(not {"HEADSTART_DATA", "HEADSTART_WEIGHTS"} <= set(os.environ), reason="needs real photos and weights")
def test_fast_features_of_real_photos() -> None:
    """Without an exact stem the least cosine is 0.9985: a flat background is rounded alike everywhere."""
    made = models.load(str(Path(os.environ["HEADSTART_WEIGHTS"]) / "mobilenetv2_100")).eval()
    paths = sorted(Path(os.environ["HEADSTART_DATA"]).joinpath("clothing", "test").glob("*/*.jpg"))[::10]
    batch = made.prepare([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        plain, quick = made(batch).vector, made.fast()(batch).vector
    assert torch.nn.functional.cosine_similarity(plain, quick).min() >= 0.9995


@native
def test_fast_is_close_on_the_embedded_model() -> None:
    made = models.load("embedded:image").eval()
    batch = made.prepare(dataset(4).items)
    with torch.inference_mode():
        plain, quick = made(batch).vector, made.fast()(batch).vector
    assert torch.nn.functional.cosine_similarity(plain, quick).min() >= 0.999


def test_without_native_bfloat16_fast_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.models.precision.uses_bfloat16", lambda device: False)
    made = backbone().fast()
    kinds = {part.weight.dtype for part in made.network.modules() if isinstance(part, FusedConvolution)}
    assert kinds == {torch.float32} and made.precision is torch.float32


def test_where_nothing_can_be_fused_fast_is_the_model_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    made = backbone()
    assert made.fast() is made


def test_diffused_rounding_keeps_the_sum_of_taps() -> None:
    taps = torch.randn(200, 9, generator=torch.Generator().manual_seed(0))
    rounded = diffused(taps)
    assert torch.equal(rounded, rounded.bfloat16().float())
    plain = (taps.bfloat16().float() - taps).sum(1).abs().mean()
    assert (rounded - taps).sum(1).abs().mean() < plain / 5
    assert ((rounded - taps).abs() <= 2**-6 * taps.abs().amax(1, keepdim=True)).all()
