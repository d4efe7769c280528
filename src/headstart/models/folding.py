"""Convolution, norm and activation in one pass over memory, for training with norms that stand still.

A batch norm in evaluation mode multiplies and adds fixed numbers for each channel, so it can be part of the convolution
before it: ``norm(conv(x, w)) = conv(x, s w) + (shift - s mean)`` with ``s = scale / sqrt(variance + eps)``. Here the product is
formed anew in every step, so weight, scale and shift have the gradients that they have apart (the inference-time fold is
of Jacob et al. 2018, arXiv 1712.05877, section 3.2). On a processor these norms and activations are bound by memory, and two
in three tensors kept for the backward pass are theirs.

No network is taken apart: the same forward runs, in which the convolution does the work of all three. Parameters, names and
modes are as ever. That nothing else reads what lies between is found out by comparing, see ``folded``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from headstart.models.agreement import probed, relative_gap
from headstart.models.backbone import Backbone, Inputs
from headstart.progress import say

# Largest difference of features and of gradients as a share of their length; a ReLU at its edge turns a gradient off or on.
CLOSE = (1e-3, 2e-2)
SAME = "Conv2dSame"  # timm: as TensorFlow pads
FUSED = (torch.float32, torch.bfloat16)  # what oneDNN computes in
NO_EDGE: tuple[str, list[float], str] = ("none", [], "")
EDGES: dict[type[nn.Module], tuple[str, list[float], str]] = {  # as oneDNN names them
    nn.ReLU: ("relu", [], ""),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], ""),
}
WITH_ACTIVATION = "BatchNormAct2d"  # timm: its activation is in it


@dataclass(frozen=True, eq=False)
class Trio:
    """A convolution, the norm that alone reads its output, and the activation behind that, where there is one."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    activation: nn.Module | None
    inside: bool  # the activation is part of the norm

    @property
    def modules(self) -> list[nn.Module]:
        own = [] if self.inside or self.activation is None else [self.activation]
        return [self.convolution, self.norm, *own]


class ConvolutionAndEdge(torch.autograd.Function):
    """Convolution and ReLU, or ReLU6, by oneDNN in one; only the result is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, how: tuple[Any, ...], edge: type[nn.Module] | None) -> Tensor:
        stride, padding, dilation, groups = how
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, padding, stride, dilation, groups, *(EDGES[edge] if edge else NO_EDGE))
        ctx.save_for_backward(x, weight, *([y] if edge else []))
        ctx.how, ctx.edge = how, edge
        return y

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        x, weight, *y = ctx.saved_tensors
        slope, how, aten = slopes[0], ctx.how, torch.ops.aten
        if ctx.edge is nn.ReLU:
            slope = aten.threshold_backward(slope, *y, 0)
        elif ctx.edge is nn.ReLU6:
            slope = aten.hardtanh_backward(slope, *y, 0, 6)
        of_input, of_weight, of_bias = ctx.needs_input_grad[:3]
        if of_input and _without_kernel(x, how):
            wide, *_ = _slopes(slope.float(), torch.empty_like(x, dtype=torch.float32), weight.float(), how, [True, False, False])
            return wide.to(x.dtype), *_slopes(slope, x, weight, how, [False, of_weight, of_bias])[1:], None, None
        return *_slopes(slope, x, weight, how, [of_input, of_weight, of_bias]), None, None


def _slopes(slope: Tensor, x: Tensor, weight: Tensor, how: tuple[Any, ...], wanted: list[bool]) -> tuple[Any, ...]:
    """Of the input, the weight and the bias of a convolution, None where not ``wanted``."""
    stride, padding, dilation, groups = how
    found: tuple[Any, ...] = torch.ops.aten.convolution_backward(
        slope, x, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups, wanted
    )
    return found


def _without_kernel(x: Tensor, how: tuple[Any, ...]) -> bool:
    """Whether oneDNN goes back through it by its slow reference: depthwise with a stride, in bfloat16, 10 to 80 times as slow as float32."""
    stride, _, _, groups = how
    return x.dtype is torch.bfloat16 and groups == x.shape[1] and max(stride) > 1


def _all(convolution: nn.Conv2d, norm: nn.BatchNorm2d, activation: nn.Module | None, x: Tensor) -> Tensor:
    """What takes the place of the convolution's forward."""
    if norm.training:
        return type(convolution).forward(convolution, x)
    assert norm.running_mean is not None and norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
    weight, bias = convolution.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        bias = bias + convolution.bias * scale
    padding = convolution.padding
    if type(convolution).__name__ == SAME:
        x, padding = _padded(x, convolution), (0, 0)
    how: tuple[Any, ...] = (convolution.stride, padding, convolution.dilation, convolution.groups)
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
    if x.device.type != "cpu" or kind not in FUSED or not torch.backends.mkldnn.is_available():
        y = functional.conv2d(x, weight, bias, *how)
        return y if activation is None else activation(y)
    edge = type(activation) if type(activation) in EDGES else None
    y = ConvolutionAndEdge.apply(x.to(kind), weight.to(kind), bias.to(kind), how, edge)  # type: ignore[no-untyped-call]
    return y if edge or activation is None else activation(y)


def _passed(module: nn.Module, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """What takes the place of the forward of a norm or an activation: the work is done already."""
    return type(module).forward(module, x) if norm.training else x  # type: ignore[no-any-return]


def _padded(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    sides: list[int] = []
    for size, kernel, stride, dilation in zip(
        x.shape[2:], convolution.kernel_size, convolution.stride, convolution.dilation, strict=True
    ):
        missing = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
        sides = [missing // 2, missing - missing // 2, *sides]
    return functional.pad(x, sides) if any(sides) else x


@torch.no_grad()
def trios(backbone: Backbone, inputs: Inputs) -> list[Trio]:
    """What may be folded, by what one pass over ``inputs`` shows: each module called once, the next one with its output."""
    # with what went in and came out, each at its version: a sum in place between two modules leaves the tensor the same
    calls: list[tuple[nn.Module, tuple[int, int], tuple[int, int]]] = []
    entered: dict[int, tuple[int, int]] = {}
    held: list[Tensor] = []  # so that no address comes twice

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            entered[id(module)] = (id(args[0]), args[0]._version)
            held.append(args[0])

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if id(module) in entered and isinstance(output, Tensor):
            calls.append((module, entered[id(module)], (id(output), output._version)))
            held.append(output)

    watched = [part for part in backbone.network.modules() if isinstance(part, (nn.Conv2d, nn.BatchNorm2d, *EDGES))]
    hooks = [part.register_forward_pre_hook(before) for part in watched]
    hooks += [part.register_forward_hook(after) for part in watched]
    try:
        backbone(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    counts: dict[int, int] = {}
    for module, _, _ in calls:
        counts[id(module)] = counts.get(id(module), 0) + 1
    once = [call for call in calls if counts[id(call[0])] == 1 and "forward" not in vars(call[0])]
    homes = {id(inner): number for number, stage in enumerate(backbone.stages)
             for part in stage.modules for inner in part.modules()}  # fmt: skip
    readers = {went_in: (module, came_out) for module, went_in, came_out in once if not isinstance(module, nn.Conv2d)}
    found = []
    for module, _, came_out in once:
        if not (isinstance(module, nn.Conv2d) and _plain(module)) or came_out not in readers:
            continue
        norm, normed = readers[came_out]
        if not (isinstance(norm, nn.BatchNorm2d) and _foldable(norm)) or homes.get(id(module)) != homes.get(id(norm)):
            continue
        inside = type(norm).__name__ == WITH_ACTIVATION
        activation = norm.act if inside else readers.get(normed, (None, None))[0]
        if not inside and not isinstance(activation, tuple(EDGES)):
            activation = None
        found.append(Trio(module, norm, activation, inside))  # type: ignore[arg-type]
    return found


def _plain(convolution: nn.Conv2d) -> bool:
    known = type(convolution) is nn.Conv2d or type(convolution).__name__ == SAME
    numbers = not isinstance(convolution.padding, str) and convolution.padding_mode == "zeros"
    return known and numbers and not parametrize.is_parametrized(convolution)


def _foldable(norm: nn.BatchNorm2d) -> bool:
    whole = norm.affine and norm.running_var is not None
    if type(norm).__name__ == WITH_ACTIVATION:
        return whole and isinstance(getattr(norm, "drop", None), nn.Identity)
    return whole and type(norm) is nn.BatchNorm2d


@contextlib.contextmanager
def folded(backbone: Backbone, inputs: Inputs) -> Iterator[int]:
    """Within it, norms in evaluation mode are computed with their convolutions; yields how many are.

    Before that, features and gradients on ``inputs`` are compared with those of the network as it is. Where they differ by
    more than rounding, nothing is folded, and that is said.
    """
    was_training = backbone.training
    found = trios(backbone.eval(), inputs)
    moving = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    if not found or not moving:
        backbone.train(was_training)
        yield 0
        return
    before = _seen(backbone, inputs, moving)
    _put(found)
    try:
        if reason := _difference(before, backbone, inputs, moving):
            _take_out(found)
            say(f"norms are not folded into the convolutions of {backbone.reference}, so training is slower: {reason}")
            found = []
        backbone.train(was_training)
        yield len(found)
    finally:
        _take_out(found)


def _difference(
    wanted: tuple[Tensor, Tensor], backbone: Backbone, inputs: Inputs, moving: Sequence[Tensor]
) -> str:
    """In what the folded network differs from what was ``wanted`` of it; nothing where it does not."""
    try:
        features, slopes = (relative_gap(a, b) for a, b in zip(wanted, _seen(backbone, inputs, moving), strict=True))
    except RuntimeError as problem:  # such as something that is written into what is kept for the backward pass
        return f"{type(problem).__name__}: {str(problem)[:150]}"
    if features <= CLOSE[0] and slopes <= CLOSE[1]:  # NaN is no small number
        return ""
    return f"features would differ by {features:.2g} and gradients by {slopes:.2g} of their size"


def _put(found: Sequence[Trio]) -> None:
    # ``partial`` over the modules, so that a deep copy of the network calls its own
    for trio in found:
        trio.convolution.__dict__["forward"] = partial(_all, trio.convolution, trio.norm, trio.activation)
        for module in trio.modules[1:]:
            module.__dict__["forward"] = partial(_passed, module, trio.norm)


def _take_out(found: Sequence[Trio]) -> None:
    for trio in found:
        for module in trio.modules:
            module.__dict__.pop("forward", None)


def _seen(backbone: Backbone, inputs: Inputs, moving: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        return probed(backbone(inputs).vector, moving)
