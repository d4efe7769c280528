"""Folding norms into convolutions changes speed alone."""

from __future__ import annotations

import copy
import ctypes
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import tiny
from headstart.approaches.finetune import FineTune
from headstart.models import folding
from headstart.models.backbone import Backbone
from headstart.models.folding import folded, trios
from headstart.models.pictures import PictureBackbone
from headstart.models.precision import uses_bfloat16
from headstart.models.zoo import assemble
from headstart.training import memory
from headstart.training.memory import kept_memory
from headstart.training.run import Run, sow


def made(architecture: str, **arguments: object) -> Backbone:
    sow(5)
    card = tiny.CARD.replace(architecture=architecture, arguments=arguments)
    backbone = assemble(card, "tiny", None)
    tiny.unsettle(backbone.network)
    return backbone.eval()


def pixels(count: int = 4, side: int = 32) -> Tensor:
    sow(6)
    return torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)


def slopes(backbone: Backbone, x: Tensor) -> list[Tensor]:
    backbone.zero_grad()
    backbone(x).vector.square().sum().backward()
    return [p.grad.clone() for p in backbone.parameters() if p.grad is not None]


NETWORKS = {
    "timm/mobilenetv2_035": 52,  # ReLU6 inside of the norms; counted by hand: 1 + 2 + 16 x 3 + 1
    "timm/tf_efficientnet_lite0": 49,  # padded as TensorFlow does: 1 + 2 + 15 x 3 + 1
    "timm/test_resnet": None,  # ReLU behind the norms, some of them behind a sum
    "timm/mobilenetv3_small_050": None,  # hard swish, squeeze and excitation
}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_and_gradients_are_the_same(name: str) -> None:
    backbone, x = made(name), pixels()
    with torch.no_grad():
        vector = backbone(x).vector
    wanted = slopes(backbone, x)
    with folded(backbone, x) as count:
        assert count == (NETWORKS[name] or count) and count > 3
        torch.testing.assert_close(backbone(x).vector, vector, rtol=1e-3, atol=1e-4)
        for got, expected in zip(slopes(backbone, x), wanted, strict=True):
            assert float((got - expected).norm() / expected.norm().clamp(min=1e-9)) < 0.02
        with torch.inference_mode():
            torch.testing.assert_close(backbone(x).vector, vector, rtol=1e-3, atol=1e-4)
    assert not any("forward" in vars(part) for part in backbone.modules())


def test_every_gradient_by_itself_in_double_precision() -> None:
    """In float64 no ReLU is at its edge by rounding, so the gradients agree to rounding."""
    backbone = made("timm/mobilenetv2_035").double()
    backbone.input_precision = torch.float64  # type: ignore[assignment]
    x = pixels().double()
    wanted = slopes(backbone, x)
    with folded(backbone, x) as count:
        assert count
        for got, expected in zip(slopes(backbone, x), wanted, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def convolved(edge: type[nn.Module] | None, groups: int, kind: torch.dtype, compute: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Output and slopes of input, weight and bias: of the convolution and edge in one, and of its parts."""
    sow(7)
    x = (3 * torch.randn(2, 4, 9, 9)).contiguous(memory_format=torch.channels_last)
    weight, bias, aim = 3 * torch.randn(4, 4 // groups, 3, 3), torch.randn(4), torch.randn(2, 4, 5, 5)
    how, found = ((2, 2), (1, 1), (1, 1), groups), []
    for own in (kind, compute):
        given = [part.to(kind).to(own).requires_grad_() for part in (x, weight, bias)]
        if own is kind:
            y = folding.ConvolutionAndEdge.apply(*given, how, edge)
        else:
            y = (edge or nn.Identity)()(nn.functional.conv2d(*given, *how))
        found.append([y.detach(), *torch.autograd.grad((y * aim.to(own)).sum(), given)])
    return found[0], found[1]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("edge", [None, nn.ReLU, nn.ReLU6])
def test_convolution_and_edge_against_its_parts(edge: type[nn.Module] | None, groups: int) -> None:
    got, wanted = convolved(edge, groups, torch.float32, torch.float64)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not uses_bfloat16(torch.device("cpu")), reason="this processor does not compute in bfloat16")
@pytest.mark.parametrize("edge", [None, nn.ReLU, nn.ReLU6])
def test_back_through_depthwise_with_a_stride_in_bfloat16(edge: type[nn.Module] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN has no kernel for that, so the slope of the input, and that alone, is computed in float32."""
    asked = []
    original = folding._slopes
    monkeypatch.setattr(folding, "_slopes", lambda *given: (asked.append((given[0].dtype, given[-1])), original(*given))[1])
    got, wanted = convolved(edge, 4, torch.bfloat16, torch.float64)
    assert asked == [(torch.float32, [True, False, False]), (torch.bfloat16, [False, True, True])]
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype is torch.bfloat16
        assert float((one.double() - other).norm() / other.norm()) < 0.02
    asked.clear()
    convolved(edge, 2, torch.bfloat16, torch.float64)
    assert asked == [(torch.bfloat16, [True, True, True])]


@pytest.mark.skipif(not uses_bfloat16(torch.device("cpu")), reason="this processor does not compute in bfloat16")
def test_what_is_folded_computes_in_the_precision_of_the_training() -> None:
    backbone, x = made("timm/mobilenetv2_035"), pixels()
    with torch.no_grad():
        vector = backbone(x).vector
    kinds = set()
    for part in backbone.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda module, given, output: kinds.add(output.dtype))
    with folded(backbone, x), Run().autocast, torch.no_grad():
        kinds.clear()
        rounded = backbone(x).vector
    assert kinds == {torch.bfloat16}
    assert float((rounded - vector).norm() / vector.norm()) < 0.1


def test_norms_in_training_mode_gather_their_statistics() -> None:
    backbone, x = made("timm/test_resnet"), pixels()
    other = copy.deepcopy(backbone).train()
    other(x)
    with folded(backbone, x) as count:
        backbone.train()
        assert count
        backbone(x)
    assert tiny.frozen_bytes(backbone) == tiny.frozen_bytes(other)


def test_a_copy_computes_with_its_own_weights() -> None:
    backbone, x = made("timm/test_resnet"), pixels()
    with folded(backbone, x), torch.no_grad():
        twin, before = copy.deepcopy(backbone), backbone(x).vector
        for parameter in twin.parameters():
            parameter.mul_(1.1)
        torch.testing.assert_close(backbone(x).vector, before)
        changed = twin(x).vector
    for part in twin.modules():
        part.__dict__.pop("forward", None)
    with torch.no_grad():
        torch.testing.assert_close(twin(x).vector, changed, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(changed, before, rtol=0.01)


class Peeping(nn.Module):
    """What leaves the convolution is read twice: by its norm and by the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.last(x + self.norm(x))


def test_an_output_that_is_read_twice_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    backbone = PictureBackbone(Peeping(), tiny.CARD, lambda n, x: (n(x).mean((2, 3)), None), "peeping").eval()
    tiny.unsettle(backbone.network)
    x = pixels()
    assert len(trios(backbone, x)) == 1
    with torch.no_grad(), caplog.at_level("INFO", "headstart"):
        before = backbone(x).vector
        with folded(backbone, x) as count:
            assert count == 0
            torch.testing.assert_close(backbone(x).vector, before)
    assert "norms are not folded into the convolutions of peeping" in caplog.text


def test_training_ends_with_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    from headstart import approaches

    settings = FineTune(epochs=2, start="random", batch_size=8, augment="flip", patience=0)
    backbone, parts = tiny.backbone(), tiny.split()
    one = settings.fit(copy.deepcopy(backbone), tiny.task(), parts, Run(None, 1))
    assert not any("forward" in vars(part) for part in one.backbone.modules())
    monkeypatch.setattr(approaches, "folded", lambda *_: contextlib.nullcontext(0))
    other = replace(settings).fit(copy.deepcopy(backbone), tiny.task(), parts, Run(None, 1))
    for a, b in zip(one.backbone.parameters(), other.backbone.parameters(), strict=True):
        assert float((a - b).detach().norm() / a.detach().norm().clamp(min=1e-3)) < 0.01  # Adam makes rounding of tiny slopes visible


def test_memory_is_kept_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("no glibc here")

    class Library:
        def __init__(self) -> None:
            self.calls: list[tuple[str, int, int]] = []

        def mallopt(self, option: int, value: int) -> int:
            self.calls.append(("mallopt", option, value))
            return 1

        def malloc_trim(self, pad: int) -> int:
            self.calls.append(("trim", pad, 0))
            return 1

    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    with pytest.raises(KeyError), kept_memory() as done:
        assert done and library.calls == [("mallopt", -1, 2**31 - 1), ("mallopt", -4, 0)]
        raise KeyError
    assert library.calls[2:] == [("mallopt", -1, 131072), ("mallopt", -4, 65536), ("trim", 0, 0)]
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with kept_memory() as done:
        assert not done
