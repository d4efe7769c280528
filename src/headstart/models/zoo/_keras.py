"""A Keras 3 model as a torch network: Keras builds the graph; weights and modes are torch's.

``model.train()`` does not reach the dropouts and batch norms of a Keras model and ``named_modules()`` hides its
layers, so every layer has a module of its own here: it owns the layer's weights, its mode decides the layer's
``training`` argument, and the Keras objects keep no state.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import MissingExtra, ModelError
from headstart.models.backbone import Stage
from headstart.progress import say


class LayerState(nn.Module):
    """The weights of one Keras layer and its mode; those that are not trained are buffers.

    A Keras layer is its own container: the weights of the layers inside it stand here, numbered.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.names: list[str] = []
        for number, variable in enumerate(layer.weights):
            name = f"{number}_{variable.name}".replace(".", "_")
            value = variable.value.detach()
            if variable.trainable and value.is_floating_point():
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
            self.names.append(name)


class NormState(nn.modules.batchnorm._BatchNorm):
    """The weights of a batch norm, so that it counts as one where batch norms are kept still."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer.moving_mean.shape[0], layer.epsilon)
        self.names = []
        for variable in layer.weights:
            name = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}.get(variable.name, "running_var")
            value = variable.value.detach()
            if name in ("weight", "bias"):
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)
            self.names.append(name)
        for name in {"weight", "bias"} - set(self.names):
            self.register_parameter(name, None)

    def _check_input_dim(self, input: Tensor) -> None:  # it computes nothing itself
        raise NotImplementedError


class Graph:
    """A Keras model as a function of its weights. Copies of a network share it, for it keeps nothing."""

    def __init__(self, model: Any) -> None:
        self.library = keras_on_torch()
        model.trainable = True  # which parts are frozen is a matter of the tuning, not of the file
        self.config = json.dumps(self.library.saving.serialize_keras_object(model)).encode()
        self.model = model
        self.layers = list(leaves(self.library, model))
        self.places = {id(layer): place for place, layer in enumerate(self.layers)}
        weights = {id(variable) for layer in self.layers for variable in layer.weights}
        self.seeds = [variable for variable in model.variables if id(variable) not in weights]

    def __deepcopy__(self, memo: dict) -> Graph:
        return self

    def __call__(self, states: Sequence[nn.Module], x: Tensor) -> Tensor:
        pairs = [
            (variable, getattr(state, name))
            for layer, state in zip(self.layers, states, strict=True)
            for variable, name in zip(layer.weights, state.names, strict=True)  # type: ignore[arg-type]
        ]
        noise = []
        if any(state.training for state in states):  # all noise comes from torch's generator, which the run seeds
            noise = [(v, torch.randint(0, 2**31 - 1, tuple(v.shape), dtype=v.value.dtype)) for v in self.seeds]
        with self.library.device(str(x.device)), self.library.StatelessScope(state_mapping=pairs + noise) as scope:
            output = self._run(self.model, x, states)
        with torch.no_grad():
            for variable, value in pairs:
                new = scope.get_current_value(variable)
                if new is not None and new is not value and not variable.trainable:
                    value.copy_(new.detach())
        return output

    def _run(self, model: Any, x: Any, states: Sequence[nn.Module]) -> Any:
        def chosen(operation: Any) -> Callable[..., Any]:
            """The operation with the mode of its own layer."""
            if inner := functional(self.library, operation):
                return lambda value, **_: self._run(inner, value, states)
            place = self.places.get(id(operation))
            if place is None:
                return operation
            if isinstance(operation, self.library.layers.Normalization) and operation.input_mean is None:
                operation.finalize_state()  # it keeps tensors made from its weights: they are made anew from ours
            if not operation._call_has_training_arg:
                return operation
            return lambda *values, **options: operation(*values, **{**options, "training": states[place].training})

        return model._run_through_graph(x, operation_fn=chosen)


class KerasNetwork(nn.Module):
    """(n, height, width, channels) -> what the Keras model outputs."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.graph = Graph(model)
        norm = self.graph.library.layers.BatchNormalization
        self.layers = nn.ModuleList(
            NormState(layer) if isinstance(layer, norm) else LayerState(layer) for layer in self.graph.layers
        )

    def forward(self, x: Tensor) -> Tensor:
        found = self.graph(list(self.layers), x)
        if isinstance(found, (list, tuple, dict)):
            raise ModelError(f"The Keras model has {len(found)} outputs; expected one.")
        return found

    def stages(self, most: int = 8) -> list[Stage]:
        """At most ``most`` stages in the order of ``model.layers``; dropouts and norms go with the layer before."""
        names = [layer.name for layer in self.graph.layers]
        starts = [i for i, state in enumerate(self.layers) if any(p.ndim > 1 for p in state.parameters())]
        if not starts:
            return [Stage("all", (nn.ModuleList(self.layers),))]
        count = min(most, len(starts))
        bounds = [0, *(starts[round(i * len(starts) / count)] for i in range(1, count)), len(names)]
        return [
            Stage(f"{names[low]}-{names[high - 1]}", (nn.ModuleList(self.layers[low:high]),))
            for low, high in itertools.pairwise(bounds)
        ]


def keras_on_torch() -> Any:
    """The library on its torch backend.

    Raises:
        MissingExtra: it is not installed.
        ModelError: it was imported with another backend before, or its pictures are channels first.
    """
    if "keras" not in sys.modules:
        chosen = os.environ.get("KERAS_BACKEND", "torch")
        if chosen != "torch":
            say(f"KERAS_BACKEND is {chosen!r}; headstart computes with torch and sets it to 'torch'.")
        os.environ["KERAS_BACKEND"] = "torch"  # read once, when keras is imported
    try:
        import keras
    except ImportError as problem:
        raise MissingExtra("keras", "keras", "A Keras model") from problem
    if keras.backend.backend() != "torch":
        raise ModelError(
            f"keras was imported with the backend {keras.backend.backend()!r} before headstart needed it; expected "
            "'torch'. Set the environment variable KERAS_BACKEND=torch before anything imports keras."
        )
    if keras.config.image_data_format() != "channels_last":
        raise ModelError("Keras is set to channels_first in ~/.keras/keras.json; expected channels_last.")
    return keras


def functional(library: Any, operation: Any) -> Any:
    """The graph of a nested model, or None where the operation is a plain layer."""
    if isinstance(operation, library.Sequential):
        return operation._functional
    return operation if isinstance(operation, library.Model) and hasattr(operation, "_run_through_graph") else None


def leaves(library: Any, model: Any) -> Iterator[Any]:
    """The layers of a model in their order, nested models opened, each layer once."""
    seen: set[int] = set()
    for layer in model.layers:
        inner = functional(library, layer)
        for leaf in leaves(library, inner) if inner is not None else [layer]:
            if id(leaf) not in seen:
                seen.add(id(leaf))
                yield leaf
