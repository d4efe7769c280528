"""ONNX files (https://onnx.ai) computed by onnxruntime on the processor: frozen features, no gradients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.config import convert
from headstart.errors import ConfigError, MissingExtra, ModelError, UnknownModel, UnsafeFile
from headstart.models.card import ModelCard, read_card
from headstart.models.pictures import PictureBackbone
from headstart.models.zoo import NOTHING, Zoo

GRAPH = "model.onnx"  # the asset that holds the file
STANDARD = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # the operators that onnxruntime itself brings
ARGUMENTS = ("output", "layout")


class Onnx(Zoo):
    """``onnx:FILE.onnx`` with FILE.card.json beside it, ``onnx:FILE.onnx#input_size=..&mean=..&std=..``, or a folder.

    A card's arguments may choose the ``output`` by its name (default: the first) and say the ``layout`` of the
    input, "channels_first" or "channels_last" (default: told from its shape); maps that come out have the same.
    """

    def names(self) -> list[str]:
        return []

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> OnnxBackbone:
        if GRAPH not in assets:
            raise ModelError(f"{reference} names the architecture {card.architecture} and brings no {GRAPH}.")
        return OnnxBackbone(assets[GRAPH], card, reference)

    def load(self, name: str, *, pretrained: bool = True) -> OnnxBackbone:
        place, _, query = name.partition("#")
        path = Path(place)
        stated = path / "card.json" if path.is_dir() else path.with_suffix(".card.json")
        card = ModelCard("onnx/graph", "image")
        if stated.is_file():
            card = read_card(stated)
        if path.is_dir():
            file = path / (card.weights or GRAPH)
            if file.resolve().parent != path.resolve():
                raise ModelError(f"The card of {path} names a file outside its own folder: {card.weights!r}.")
            path = file
        if not path.is_file():
            raise UnknownModel(f"There is no ONNX file {path}.")
        if not pretrained:
            raise ModelError(f"{path} is a finished graph: an ONNX file has no fresh weights to begin from.")
        card = with_stated(card, query).replace(architecture="onnx/graph", weights=None, assets=(GRAPH,))
        return self.build("graph", card, f"onnx:{name}", {GRAPH: path.read_bytes()})


class OnnxBackbone(PictureBackbone):
    """A network without gradients around an onnxruntime session."""

    def __init__(self, raw: bytes, card: ModelCard, reference: str) -> None:
        super().__init__(OnnxNetwork(raw, card, reference), card, pool, reference)
        self.provides = frozenset({"vector"})
        self.assets = {GRAPH: raw}

    def fast(self) -> OnnxBackbone:
        return self


class OnnxNetwork(nn.Module):
    """(n, channels, height, width) -> the chosen output; the session lives on the processor."""

    def __init__(self, raw: bytes, card: ModelCard, reference: str) -> None:
        super().__init__()
        self.session = Session(raw, card, reference)

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session(x.detach().cpu().float().numpy())).to(x.device)


class Session:
    """The graph, checked. Copies of a network share it, for it keeps no state."""

    def __init__(self, raw: bytes, card: ModelCard, reference: str) -> None:
        unknown = set(card.arguments) - set(ARGUMENTS)
        if unknown:
            raise ConfigError(f"$.model.arguments.{min(unknown)}: no such setting; there are: {', '.join(ARGUMENTS)}")
        self.reference = reference
        self.session = opened(raw, reference)
        inputs, outputs = self.session.get_inputs(), [entry.name for entry in self.session.get_outputs()]
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or "float" not in inputs[0].type:
            found = "; ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
            raise ModelError(
                f"{reference} takes {found}; expected one picture input (n, channels, height, width) of floats."
            )
        self.name, shape, self.half = inputs[0].name, inputs[0].shape, inputs[0].type == "tensor(float16)"
        self.single = shape[0] == 1  # exported for one picture a run
        self.output = str(card.arguments.get("output") or outputs[0])
        if self.output not in outputs:
            raise ModelError(f"{reference} has no output {self.output!r}; there are: {', '.join(outputs)}.")
        told = card.arguments.get("layout") or (
            "channels_last" if shape[3] in (1, 3) and shape[1] not in (1, 3) else ""
        )
        if told not in ("", "channels_first", "channels_last"):
            raise ConfigError(f"$.model.arguments.layout: expected channels_first or channels_last, got {told!r}")
        self.last = told == "channels_last"

    def __deepcopy__(self, memo: dict) -> Session:
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1) if self.last else x, np.float16 if self.half else np.float32)
        parts = np.split(x, len(x)) if self.single else [x]
        try:
            found = np.concatenate([self.session.run([self.output], {self.name: part})[0] for part in parts])
        except (
            Exception
        ) as problem:  # onnxruntime raises kinds of its own, for a size the graph does not take above all
            raise ModelError(f"onnxruntime cannot run {self.reference} on {x.shape}: {str(problem)[:300]}") from problem
        if found.ndim == 4 and self.last:
            found = found.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(found, np.float32)


def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, None]:
    """(n, dim): the mean over the positions of maps or tokens."""
    found = network(x)
    if found.ndim == 4:
        return found.mean((2, 3)), None
    return (found.mean(1) if found.ndim == 3 else found.reshape(len(found), -1)), None


def opened(raw: bytes, reference: str) -> Any:
    """An onnxruntime session of one thread pool on the processor.

    Raises:
        MissingExtra: onnxruntime is not installed.
        UnsafeFile: the graph needs operators of its own, which are compiled code, or reads other files.
        ModelError: it is no ONNX file.
    """
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtra("onnxruntime", "onnx", "An ONNX file") from problem
    external, domains = read_graph(raw, reference)
    if external:
        raise UnsafeFile(
            f"{reference} keeps its weights in other files ({external}), which may lie anywhere; expected one file. "
            "Save it whole: onnx.save_model(onnx.load(FILE), 'whole.onnx', save_as_external_data=False)."
        )
    if odd := sorted(set(domains) - set(STANDARD)):
        raise UnsafeFile(
            f"{reference} uses operators of {odd[0]!r}, which would be compiled code from elsewhere; expected the "
            "operators of onnxruntime alone. Export it with standard operators."
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # a damaged file, a newer format, a missing operator
        raise ModelError(f"onnxruntime cannot read {reference}: {str(problem)[:300]}") from problem


def read_graph(raw: bytes, reference: str) -> tuple[str, list[str]]:
    """The first name of a file that holds weights outside, and the domains of the operators that the graph uses.

    The protocol-buffer fields of onnx.proto, read without the onnx library: of a model graph 7 and functions 25; of a
    graph node 1 and initializer 5; of a node attribute 5 and domain 7; of an attribute tensor 5, graph 6, tensors 10
    and graphs 11; of a tensor external_data 13, whose entries are key 1 and value 2.

    Raises:
        ModelError: it is no ONNX file.
    """
    domains: set[str] = set()
    external: list[str] = []

    def tensor(part: memoryview) -> None:
        for field, value in fields(part):
            if field == 13:
                entry = {number: bytes(text).decode("utf-8", "replace") for number, text in fields(value)}
                if entry.get(1) == "location":
                    external.append(entry.get(2, ""))

    def node(part: memoryview) -> None:
        for field, value in fields(part):
            if field == 7:
                domains.add(bytes(value).decode("utf-8", "replace"))
            elif field == 5:
                for inner, content in fields(value):
                    if inner in (5, 10):
                        tensor(content)
                    elif inner in (6, 11):
                        graph(content)

    def graph(part: memoryview) -> None:
        for field, value in fields(part):
            if field == 1:
                node(value)
            elif field == 5:
                tensor(value)

    own: set[str] = set()
    try:
        for field, value in fields(memoryview(raw)):
            if field == 7:
                graph(value)
            elif field == 25:  # a function of the file itself: its nodes are 7, its domain 10
                for inner, content in fields(value):
                    if inner == 7:
                        node(content)
                    elif inner == 10:
                        own.add(bytes(content).decode("utf-8", "replace"))
    except (IndexError, ValueError, RecursionError) as problem:
        raise ModelError(f"{reference} is no ONNX file, or a damaged one.") from problem
    return (external or [""])[0], sorted(domains - own)


def fields(part: memoryview) -> list[tuple[int, memoryview]]:
    """Number and content of the length-delimited fields of a protocol buffer; numbers are passed over."""
    found, place = [], 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = part[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(part):
        key = number()
        kind = key & 7
        if kind == 2:
            length = number()
            if place + length > len(part):
                raise ValueError("a field is longer than its message")
            found.append((key >> 3, part[place : place + length]))
            place += length
        elif kind == 0:
            number()
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError("no such kind of field")
    return found


def with_stated(card: ModelCard, query: str) -> ModelCard:
    """The card with what the reference states behind ``#``."""
    from typing import get_type_hints
    from urllib.parse import parse_qs

    hints, values = get_type_hints(ModelCard), dict[str, Any]()
    for name, texts in parse_qs(query, strict_parsing=bool(query)).items():
        if name in ARGUMENTS:
            card = card.replace(arguments={**card.arguments, name: texts[0]})
        elif name not in hints:
            raise ConfigError(f"$.model.{name}: no such entry of a card")
        else:
            listed = name in ("input_size", "mean", "std", "value_range")
            values[name] = convert(hints[name], texts[0].split(",") if listed else texts[0], f"$.model.{name}")
    return card.replace(**values)
