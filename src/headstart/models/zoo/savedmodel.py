"""TensorFlow SavedModels and TF Hub folders (https://www.tensorflow.org/guide/saved_model): frozen features."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import ConfigError, MissingExtra, ModelError, UnknownModel, UnsafeFile
from headstart.models.card import ModelCard, read_card
from headstart.models.pictures import PictureBackbone
from headstart.models.zoo import NOTHING, Zoo

GRAPH = "saved_model.pb"
FOLDER = "savedmodel"  # the assets are the files of the folder, below this name
UNSAFE = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "WholeFileReaderV2", "MatchingFiles")
ARGUMENTS = ("signature", "output")


class SavedModel(Zoo):
    """``savedmodel:FOLDER`` with a card.json in it, or FOLDER.card.json beside it.

    A card's arguments may choose the ``signature`` (default: serving_default, or the only one) and its ``output`` by
    name (default: the only one).
    """

    def names(self) -> list[str]:
        return []

    def build(
        self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING
    ) -> SavedModelBackbone:
        if f"{FOLDER}/{GRAPH}" not in assets:
            raise ModelError(f"{reference} names the architecture {card.architecture} and brings no {FOLDER}/{GRAPH}.")
        return SavedModelBackbone(assets, card, reference)

    def load(self, name: str, *, pretrained: bool = True) -> SavedModelBackbone:
        path = Path(name)
        if not (path / GRAPH).is_file():
            raise UnknownModel(f"{name} is no SavedModel: expected a folder with a {GRAPH} and, in it, variables/.")
        if not pretrained:
            raise ModelError(f"{name} is a finished graph: a SavedModel has no fresh weights to begin from.")
        stated = path / "card.json"
        stated = stated if stated.is_file() else path.with_name(f"{path.name}.card.json")
        card = read_card(stated) if stated.is_file() else ModelCard("", "image")
        assets = files_of(path)
        card = card.replace(architecture="savedmodel/graph", weights=None, assets=tuple(sorted(assets)))
        return self.build("graph", card, f"savedmodel:{name}", assets)


class SavedModelBackbone(PictureBackbone):
    """A network without gradients around a SavedModel."""

    def __init__(self, assets: Mapping[str, bytes], card: ModelCard, reference: str) -> None:
        card.with_statistics_checked(reference)  # before TensorFlow takes its seconds to load
        super().__init__(SavedModelNetwork(assets, card, reference), card, pool, reference)
        self.provides = frozenset({"vector"})
        self.assets = dict(assets)

    def fast(self) -> SavedModelBackbone:
        return self


class SavedModelNetwork(nn.Module):
    """(n, channels, height, width) -> the chosen output; TensorFlow computes it on the processor."""

    def __init__(self, assets: Mapping[str, bytes], card: ModelCard, reference: str) -> None:
        super().__init__()
        self.signature = Signature(assets, card, reference)

    def forward(self, x: Tensor) -> Tensor:
        pictures = x.detach().cpu().float().permute(0, 2, 3, 1).contiguous().numpy()
        return torch.from_numpy(self.signature(pictures)).to(x.device)


class Signature:
    """One function of a SavedModel, checked. Copies of a network share it, for it keeps no state."""

    def __init__(self, assets: Mapping[str, bytes], card: ModelCard, reference: str) -> None:
        if unknown := set(card.arguments) - set(ARGUMENTS):
            raise ConfigError(f"$.model.arguments.{min(unknown)}: no such setting; there are: {', '.join(ARGUMENTS)}")
        self.reference = reference
        self.library = tensorflow()
        refuse_code(assets[f"{FOLDER}/{GRAPH}"], reference)
        self.model = self._loaded(assets)  # holds the variables that the function uses
        self.function = self._chosen(card.arguments.get("signature"))
        inputs = self.function.structured_input_signature[1]
        shapes = {name: spec.shape for name, spec in inputs.items()}
        if len(inputs) != 1 or any(shape.rank not in (None, 4) for shape in shapes.values()):
            raise ModelError(f"{reference} takes {shapes}; expected one input (n, height, width, channels).")
        self.input, spec = next(iter(inputs.items()))
        if not spec.dtype.is_floating:
            raise ModelError(f"{reference} takes {spec.dtype.name}; expected pictures of floats.")
        self.kind = spec.dtype
        self.single = spec.shape.rank == 4 and spec.shape[0] == 1  # exported for one picture a call
        outputs = sorted(self.function.structured_outputs)
        self.output = str(card.arguments.get("output") or outputs[0])
        if self.output not in outputs or (len(outputs) > 1 and "output" not in card.arguments):
            raise ModelError(
                f"{reference} has the outputs {', '.join(outputs)}; choose one in its card: "
                f'"arguments": {{"output": "{outputs[0]}"}}.'
            )

    def __deepcopy__(self, memo: dict) -> Signature:
        return self

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """(n, height, width, channels) -> (n, ...) float32."""
        parts = np.split(pictures, len(pictures)) if self.single else [pictures]
        found = []
        try:
            with self.library.device("/CPU:0"):
                for part in parts:
                    value = self.library.constant(part, dtype=self.kind)
                    found.append(self.function(**{self.input: value})[self.output].numpy())
        except Exception as problem:  # for a size that the graph does not take, above all
            raise ModelError(f"{self.reference} cannot run on {pictures.shape}: {str(problem)[:300]}") from problem
        return np.ascontiguousarray(np.concatenate(found), np.float32)

    def _loaded(self, assets: Mapping[str, bytes]) -> Any:
        with tempfile.TemporaryDirectory() as place:
            for name, raw in assets.items():
                file = Path(place, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(raw)
            try:
                with self.library.device("/CPU:0"):
                    return self.library.saved_model.load(str(Path(place, FOLDER)))
            except Exception as problem:  # damaged, of another version, an operator that is not there
                raise ModelError(f"TensorFlow cannot read {self.reference}: {str(problem)[:300]}") from problem

    def _chosen(self, name: Any) -> Any:
        known = sorted(self.model.signatures)
        if name is None:
            name = "serving_default" if "serving_default" in known else known[0] if len(known) == 1 else None
        if name not in known:
            raise ModelError(
                f"{self.reference} has the signatures {', '.join(known) or '(none)'}; choose one in its card: "
                '"arguments": {"signature": "NAME"}. A model without any can be saved again with '
                "tf.saved_model.save(model, folder, signatures=function)."
            )
        return self.model.signatures[name]


def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, None]:
    """(n, dim): the mean over the positions of maps or tokens."""
    found = network(x)
    if found.ndim == 4:
        return found.mean((1, 2)), None
    return (found.mean(1) if found.ndim == 3 else found.reshape(len(found), -1)), None


def tensorflow() -> Any:
    """The library, which has to be installed for this zoo alone."""
    with contextlib.suppress(ImportError):  # torch loads it late, and behind TensorFlow that aborts the process
        import triton  # noqa: F401
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its start is a page of remarks on the processor
    try:
        import tensorflow
    except ImportError as problem:
        raise MissingExtra("tensorflow", "tensorflow", "A SavedModel") from problem
    return tensorflow


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a SavedModel: its graph, its variables and its assets.

    Raises:
        UnsafeFile: one of them is a link to a place outside.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        part = path.relative_to(folder)
        if not path.is_file() or (
            part.parts[0] not in ("variables", "assets") and part.name not in (GRAPH, "fingerprint.pb")
        ):
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UnsafeFile(f"{path} is a link to a place outside its folder; it is refused.")
        found[f"{FOLDER}/{part.as_posix()}"] = path.read_bytes()
    return found


def refuse_code(raw: bytes, reference: str) -> None:
    """Raise UnsafeFile where a graph, or a function in it, calls Python or reads and writes files of its own choice."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        graphs = [entry.graph_def for entry in saved_model_pb2.SavedModel.FromString(raw).meta_graphs]
    except DecodeError as problem:
        raise ModelError(f"{reference}: its {GRAPH} is damaged.") from problem
    for graph in graphs:
        functions = [node for function in graph.library.function for node in function.node_def]
        for node in [*graph.node, *functions]:
            if node.op in UNSAFE:
                raise UnsafeFile(
                    f"{reference} holds the operation {node.op} ({node.name}), which runs Python or touches files, so it "
                    "is refused. Save it again without py_function and file operations."
                )
