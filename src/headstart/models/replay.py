"""Run a backbone from where its frozen part ends: the frozen part's output is given instead of being computed again.

No network is taken apart. The same forward runs, and what it calls before the first moving module answers at once
with NaN of the right shape, until the given tensors enter that module in place of those that came out of the frozen
part. Whatever else depends on the frozen part would then be NaN as well, so a network for which this is no
shortcut is found out, not computed wrongly: see ``training.boundary``, which compares before it trusts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import ModelError
from headstart.models.backbone import Backbone, Features, Inputs

Leaf = tuple[str | int, ...]
"""Where a tensor stands among the arguments of a call: (0,) is the first, (0, 1) the second of a pair that comes first,
(2, "mask") one that is given by its name after two others."""


class NoShortcut(ModelError):
    """The network cannot be run from its boundary; the message is the reason, as part of a sentence."""


@dataclass(frozen=True)
class Crossing:
    """Where the frozen part of a network ends.

    Attributes:
        calls: names of the modules that are called before ``entry``, outermost, in the order of their calls.
        entry: name of the first module that may move.
        leaves: the arguments of ``entry`` that come out of the frozen part.
    """

    calls: tuple[str, ...]
    entry: str
    leaves: tuple[Leaf, ...]


@dataclass
class Trace:
    """One forward: the outermost calls before the entry with what they returned, and the entry's tensors."""

    calls: list[str] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    entry: str = ""
    entered: int = 0
    tensors: dict[Leaf, Tensor] = field(default_factory=dict)


def num_frozen(backbone: Backbone) -> int:
    """How many of the first stages have no parameter that moves."""
    for number, stage in enumerate(backbone.stages):
        if any(parameter.requires_grad for parameter in stage.parameters()):
            return number
    return len(backbone.stages)


def entries(backbone: Backbone, frozen: int) -> set[str]:
    """Names, below ``backbone.network``, of the modules of the stages behind the first ``frozen`` ones."""
    behind = {id(module) for stage in backbone.stages[frozen:] for module in stage.modules}
    return {name for name, module in backbone.network.named_modules() if id(module) in behind}


@torch.no_grad()
def trace(backbone: Backbone, inputs: Inputs, behind: set[str], *, whole: bool = True) -> Trace:
    """Run the backbone once and watch where it enters the modules named in ``behind``.

    Without ``whole`` it ends there: nothing that moves is run, so no statistics and no random state change.
    """
    found, starts = Trace(), list[int]()

    def before(name: str, args: tuple, kwargs: dict[str, Any]) -> None:
        starts.append(len(found.calls))
        if name in behind and not found.entry:
            found.entry = name
            found.tensors = dict(leaves_of([*args, kwargs]))
            if not whole:
                raise _Seen
        found.entered += name == found.entry

    def after(name: str, output: Any) -> None:
        begun = starts.pop()
        if not found.entry:  # what was called inside this call is part of it
            del found.calls[begun:], found.outputs[begun:]
            found.calls.append(name)
            found.outputs.append(output)

    hooks: list[Any] = []
    for name, module in backbone.network.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(
                lambda _, args, kwargs, name=name: before(name, args, kwargs), with_kwargs=True))  # fmt: skip
            hooks.append(module.register_forward_hook(lambda _, args, output, name=name: after(name, output)))
    try:
        with contextlib.suppress(_Seen):
            backbone(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def crossing(backbone: Backbone, inputs: Inputs, frozen: int) -> Crossing:
    """Where a network whose first ``frozen`` stages stand still is entered behind them.

    Raises:
        NoShortcut: it has no such place.
    """
    behind = entries(backbone, frozen)
    seen = trace(backbone, inputs, behind)
    if not seen.entry:
        raise NoShortcut("the stages behind the frozen ones are not called as modules of torch")
    if seen.entered > 1:
        raise NoShortcut(f"{seen.entry} is called {seen.entered} times in one pass")
    if not seen.calls:
        raise NoShortcut(f"nothing is called before {seen.entry}")
    poisoned: dict[Leaf, Tensor] = {}

    def watch(tensors: dict[Leaf, Tensor]) -> None:
        poisoned.update({leaf: value for leaf, value in tensors.items() if has_nan(value)})
        raise _Seen

    whole = Crossing(tuple(seen.calls), seen.entry, ())
    dummies = [hollow(output, None) for output in seen.outputs]
    with contextlib.suppress(_Seen), torch.no_grad(), _answering(backbone, whole, dummies, watch):
        backbone(inputs)
    if not poisoned:
        raise NoShortcut(f"what enters {seen.entry} does not come out of the frozen stages")
    if any(has_nan(seen.tensors[leaf]) for leaf in poisoned):
        raise NoShortcut(f"what enters {seen.entry} is NaN")
    return Crossing(whole.calls, whole.entry, tuple(poisoned))


class _Seen(Exception):
    """What had to be seen was seen; the rest of the pass is of no interest."""


@torch.no_grad()
def boundary_values(backbone: Backbone, inputs: Inputs, place: Crossing) -> list[Tensor]:
    """The tensors that cross the boundary, computed by the frozen part alone."""
    found: dict[Leaf, Tensor] = {}

    def watch(tensors: dict[Leaf, Tensor]) -> None:
        found.update(tensors)
        raise _Seen

    with contextlib.suppress(_Seen), _answering(backbone, place, None, watch):
        backbone(inputs)
    missing = [leaf for leaf in place.leaves if leaf not in found]
    if missing:
        raise NoShortcut(f"the arguments of {place.entry} change from batch to batch")
    return [found[leaf] for leaf in place.leaves]


def replay(
    backbone: Backbone, inputs: Inputs, place: Crossing, answers: list[Any], values: list[Tensor]
) -> Features:
    """The features of a batch from the tensors that cross the boundary; gradients reach what lies behind it.

    Args:
        inputs: of the right shapes; their content is of no importance where only the frozen part reads it.
        answers: what the calls of ``place`` return for a batch of this shape, as from ``hollow``.
        values: one tensor a leaf of ``place``.

    Raises:
        NoShortcut: the network took another path than when the crossing was found.
    """
    given = dict(zip(place.leaves, values, strict=True))
    with _answering(backbone, place, answers, lambda tensors: given) as state:
        features: Features = backbone(inputs)
    if not state.reached:
        raise NoShortcut(f"{place.entry} was not called")
    return features


@dataclass
class _State:
    reached: bool = False
    calls: int = 0


@contextlib.contextmanager
def _answering(
    backbone: Backbone,
    place: Crossing,
    answers: list[Any] | None,
    enter: Callable[[dict[Leaf, Tensor]], dict[Leaf, Tensor] | None],
) -> Iterator[_State]:
    """Within it, calls before the entry return ``answers`` (None: they compute), and ``enter`` sees the entry's tensors.

    The modules stay where they are, so names, modes and state dictionaries are as ever: an attribute ``forward`` of the
    instance stands before that of its class, and goes afterwards.
    """
    state = _State()
    network = backbone.network
    changed: list[tuple[nn.Module, Any]] = []  # with the forward of their own that they had

    def put(name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        module = network.get_submodule(name)
        changed.append((module, module.__dict__.get("forward")))
        module.__dict__["forward"] = make(module.forward)

    def answering(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def forward(*args: Any, **kwargs: Any) -> Any:
                if state.reached:  # a module that the moving part uses, too: an activation, a dropout
                    return original(*args, **kwargs)
                number, state.calls = state.calls, state.calls + 1
                if number >= len(place.calls) or place.calls[number] != name:
                    raise NoShortcut(f"{name} is not called in the order in which it was")
                return answers[number] if answers is not None else original(*args, **kwargs)

            return forward

        return make

    def entering(original: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if state.reached:
                raise NoShortcut(f"{place.entry} is called twice in one pass")
            state.reached = True
            given = enter(dict(leaves_of([*args, kwargs]))) or {}
            *args_now, kwargs_now = replaced([*args, kwargs], given)
            return original(*args_now, **kwargs_now)

        return forward

    try:
        if answers is not None:
            for name in dict.fromkeys(place.calls):
                put(name, answering(name))
        put(place.entry, entering)
        yield state
    finally:
        for module, own in reversed(changed):
            if own is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = own


def leaves_of(value: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, Tensor]]:
    """The tensors in lists, tuples and dictionaries, with where they stand."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for number, entry in enumerate(value):
            yield from leaves_of(entry, (*path, number))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from leaves_of(entry, (*path, str(name)))


def replaced(value: Any, given: dict[Leaf, Tensor], path: Leaf = ()) -> Any:
    """``value`` with the tensors of ``given`` in their places."""
    if path in given:
        return given[path]
    if not any(leaf[: len(path)] == path for leaf in given):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)([replaced(entry, given, (*path, number)) for number, entry in enumerate(value)])
    if isinstance(value, dict):
        return {name: replaced(entry, given, (*path, str(name))) for name, entry in value.items()}
    return value


def hollow(output: Any, rows: int | None) -> Any:
    """What a frozen call answers: NaN in the shape of its output, with ``rows`` in place of the first dimension.

    The tensor is one number shown everywhere, so it takes no memory.

    Raises:
        NoShortcut: the output is something else than numbers in tensors, lists, tuples and dictionaries.
    """
    if isinstance(output, Tensor):
        if not output.is_floating_point():
            raise NoShortcut("a frozen module returns whole numbers")
        shape = output.shape if rows is None else (rows, *output.shape[1:])
        return torch.full((1,) * output.ndim, torch.nan, dtype=output.dtype, device=output.device).expand(shape)
    if output is None:
        return None
    if type(output) in (list, tuple):
        return type(output)(hollow(entry, rows) for entry in output)
    if type(output) is dict:
        return {name: hollow(entry, rows) for name, entry in output.items()}
    raise NoShortcut(f"a frozen module returns a {type(output).__name__}")


def has_nan(value: Tensor) -> bool:
    return value.is_floating_point() and bool(value.isnan().any())
