"""Keras 3 (https://keras.io/api/applications/): Keras Applications and ``.keras`` files, computed by torch.

A file is read as data: what is no layer of Keras itself is refused before anything is built.
"""

from __future__ import annotations

import contextlib
import copy
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from headstart.errors import MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models import nearest
from headstart.models.card import ModelCard, read_card
from headstart.models.pictures import PictureBackbone
from headstart.models.zoo import NOTHING, Zoo
from headstart.models.zoo._keras import KerasNetwork, functional, keras_on_torch
from headstart.progress import say

GRAPH = "keras.json"  # the asset that holds the architecture
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CONVENTIONS: dict[str, dict[str, Any]] = {
    "caffe": {
        "value_range": (0.0, 255.0),
        "channel_order": "BGR",
        "mean": (103.939, 116.779, 123.68),
        "std": (1.0,) * 3,
    },
    "tf": {"value_range": (-1.0, 1.0), "mean": (0.0,) * 3, "std": (1.0,) * 3},
    "torch": {"mean": IMAGENET[0], "std": IMAGENET[1]},
    "inside": {"value_range": (0.0, 255.0), "mean": (0.0,) * 3, "std": (1.0,) * 3},  # the network's first layers do it
}
# name: (class, side in pixels, convention); each convention is that of the family's own preprocess_input
APPLICATIONS: dict[str, tuple[str, int, str]] = {
    "mobilenet": ("MobileNet", 224, "tf"),
    "mobilenet_v2": ("MobileNetV2", 224, "tf"),
    "mobilenet_v3_small": ("MobileNetV3Small", 224, "inside"),
    "mobilenet_v3_large": ("MobileNetV3Large", 224, "inside"),
    "vgg16": ("VGG16", 224, "caffe"),
    "vgg19": ("VGG19", 224, "caffe"),
    "inception_v3": ("InceptionV3", 299, "tf"),
    "inception_resnet_v2": ("InceptionResNetV2", 299, "tf"),
    "xception": ("Xception", 299, "tf"),
    "nasnet_mobile": ("NASNetMobile", 224, "tf"),
    "nasnet_large": ("NASNetLarge", 331, "tf"),
    **{f"resnet{n}": (f"ResNet{n}", 224, "caffe") for n in (50, 101, 152)},
    **{f"resnet{n}_v2": (f"ResNet{n}V2", 224, "tf") for n in (50, 101, 152)},
    **{f"densenet{n}": (f"DenseNet{n}", 224, "torch") for n in (121, 169, 201)},
    **{
        f"efficientnet_b{n}": (f"EfficientNetB{n}", side, "inside")
        for n, side in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    **{
        f"efficientnet_v2_{n.lower()}": (f"EfficientNetV2{n}", side, "inside")
        for n, side in zip(("B0", "B1", "B2", "B3", "S", "M", "L"), (224, 240, 260, 300, 384, 480, 480), strict=True)
    },
    **{f"convnext_{n.lower()}": (f"ConvNeXt{n}", 224, "inside") for n in ("Tiny", "Small", "Base", "Large", "XLarge")},
}
SAFE = ("keras.layers", "keras.models", "keras.initializers", "keras.regularizers", "keras.constraints",
        "keras.dtype_policies", "keras.activations", "keras.src.ops", "keras.src.layers", "keras.src.models")  # fmt: skip
UNSAFE = ("Lambda", "__lambda__", "function", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
BEHIND_THE_HEAD = ("Activation", "Softmax", "ReLU", "Dropout", "Flatten", "Reshape")


class Keras(Zoo):
    """``keras:NAME`` of Keras Applications, ``keras:FILE.keras``, or ``keras:FOLDER`` with a card and such a file."""

    def names(self) -> list[str]:
        return list(APPLICATIONS)

    def build(
        self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING
    ) -> PictureBackbone:
        card.with_statistics_checked(reference)
        if GRAPH in assets:
            return KerasBackbone(restored(assets[GRAPH], reference), card, reference)
        return KerasBackbone(application(name, card, None, reference), card, reference)

    def load(self, name: str, *, pretrained: bool = True) -> PictureBackbone:
        reference = f"keras:{name}"
        if name.endswith(".keras") or Path(name).is_dir():
            return self._from_file(Path(name), reference, pretrained)
        if name not in APPLICATIONS:
            known = [f"keras:{entry}" for entry in self.names()]
            raise UnknownModel(f"Keras Applications has no {name!r}, and it is no .keras file." + nearest(name, known))
        card = card_of(name)
        return KerasBackbone(application(name, card, "imagenet" if pretrained else None, reference), card, reference)

    def _from_file(self, path: Path, reference: str, pretrained: bool) -> PictureBackbone:
        stated = path / "card.json" if path.is_dir() else path.with_suffix(".card.json")
        card = read_card(stated) if stated.is_file() else None
        if path.is_dir():
            if card is None:
                raise UnknownModel(f"{path} is no Keras model: expected a card.json whose weights name a .keras file.")
            file = path / (card.weights or "model.keras")
            if file.resolve().parent != path.resolve() or file.suffix != ".keras":
                raise ModelError(
                    f"The card of {path} names the weights {card.weights!r}; expected a .keras file in it."
                )
            path = file
        if not path.is_file():
            raise UnknownModel(f"There is no file {path}.")
        graph = inspected(path)
        if card is None or card.mean is None or card.std is None:
            raise MissingStatistics(unstated(path, stated, graph))
        library = keras_on_torch()
        with library.device("cpu"):
            try:
                model = library.saving.load_model(str(path), compile=False, safe_mode=True)
                model = without_head(library, model, reference)
            except Exception as problem:  # a damaged file, an unknown layer, a newer format: Keras raises many kinds
                if isinstance(problem, ModelError):
                    raise
                raise ModelError(
                    f"Keras cannot read {path} ({type(problem).__name__}: {str(problem)[:300]})."
                ) from problem
        shape = model.input_shape
        if not card.input_size:
            if None in shape[1:]:
                raise MissingStatistics(f"{path} takes pictures of any size; state input_size in {stated}.")
            card = card.replace(input_size=(shape[3], shape[1], shape[2]))
        card = card.replace(architecture="keras/functional", weights=None, assets=(GRAPH,))
        made = KerasBackbone(model, card, reference)
        return made if pretrained else self.build("functional", made.card, reference, made.assets)


class KerasBackbone(PictureBackbone):
    """A Keras graph whose layers can be frozen and tuned one by one."""

    def __init__(self, model: Any, card: ModelCard, reference: str) -> None:
        network = KerasNetwork(model)
        super().__init__(network, card, pool, reference)
        self.stages = network.stages()
        self.assets = {GRAPH: network.graph.config}

    def fast(self) -> KerasBackbone:
        return self  # what fastpath folds and fuses are torch's own layers


def pool(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """(n, channels, height, width) -> (n, dim), and the maps where the output is maps."""
    found = network(x.permute(0, 2, 3, 1))
    if found.ndim == 4:
        return found.mean((1, 2)), found.permute(0, 3, 1, 2)
    return (found.mean(1) if found.ndim == 3 else found), None


def application(name: str, card: ModelCard, weights: str | None, reference: str) -> Any:
    """A network of Keras Applications without its classifier.

    Raises:
        ModelError: there is no such network, or its weights are not here and cannot be fetched.
    """
    if name not in APPLICATIONS:
        raise ModelError(f"{reference} names the architecture keras/{name} and brings no {GRAPH} that describes it.")
    library = keras_on_torch()
    channels, height, width = card.input_size or (3, 224, 224)
    # ConvNeXt normalises behind the pooling, the others pool maps
    pooling = "avg" if name.startswith("convnext") else None
    made = getattr(library.applications, APPLICATIONS[name][0])
    options = {"include_top": False, "input_shape": (height, width, channels), "pooling": pooling, **card.arguments}
    if weights:
        say(f"{reference}: Keras looks for the weights in its own folder and fetches them if they are not there.")
    with library.device("cpu"), contextlib.redirect_stdout(sys.stderr):
        try:
            return made(weights=weights, **options)
        except Exception as problem:  # no network, a full disk, a wrong argument: each ends here
            if weights is None:
                raise ModelError(f"Keras cannot build {name}: {problem}") from problem
            raise ModelError(
                f"{reference} is not on this machine and could not be fetched ({type(problem).__name__}: "
                f"{str(problem)[:200]}). Connect to the network once, or use the model that comes with headstart: "
                "--model embedded:image."
            ) from problem


def card_of(name: str) -> ModelCard:
    """The card of a network of Keras Applications; Keras states no resize, so it is the usual one of ImageNet."""
    _, side, convention = APPLICATIONS[name]
    return ModelCard(
        architecture=f"keras/{name}",
        modality="image",
        pretrained_on="ImageNet-1k",
        input_size=(3, side, side),
        crop_fraction=0.875,
        license="Apache-2.0 (code); weights as Keras documents",
        origin="keras.applications",
        assets=(GRAPH,),
        **CONVENTIONS[convention],
    )


def restored(raw: bytes, reference: str) -> Any:
    """The model that a description stands for, with fresh weights.

    Raises:
        UnsafeFile, ModelError: it names something that could run code, or is no description.
    """
    library = keras_on_torch()
    try:
        config = json.loads(raw)
        refuse_code(config, reference)
        with library.device("cpu"):
            return library.saving.deserialize_keras_object(unseeded(config), safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise ModelError(f"The {GRAPH} of {reference} is no Keras model that can be built: {problem}") from problem


def unseeded(config: Any) -> Any:
    """The description without the seeds of its initialisers, so that fresh weights are those of the run's seed."""
    if isinstance(config, dict):
        return {name: None if name == "seed" else unseeded(entry) for name, entry in config.items()}
    return [unseeded(entry) for entry in config] if isinstance(config, list) else copy.copy(config)


def inspected(path: Path) -> dict[str, Any]:
    """The description in a ``.keras`` file, read before anything in it is built.

    Raises:
        UnsafeFile: it holds code, a pickle or what only code that is not Keras could read.
        ModelError: it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            odd = [n for n in archive.namelist() if n not in ("metadata.json", "config.json", "model.weights.h5")]
            if odd := [name for name in odd if name.rstrip("/") != "assets"]:
                raise UnsafeFile(
                    f"{path} holds {odd[0]!r}; expected config.json, metadata.json and model.weights.h5 and nothing "
                    "else. Other files may be pickles, so it is refused."
                )
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as problem:
        raise ModelError(
            f"{path} is no .keras file of Keras 3 ({problem}); save it with model.save('x.keras')."
        ) from problem
    refuse_code(config, str(path))
    return config


def refuse_code(config: Any, where: str) -> None:
    """Raise UnsafeFile where a description names anything but layers and functions of Keras itself."""
    if isinstance(config, list):
        for entry in config:
            refuse_code(entry, where)
    if not isinstance(config, dict):
        return
    kind, module, registered = config.get("class_name"), config.get("module"), config.get("registered_name")
    if kind in UNSAFE:
        raise UnsafeFile(
            f"{where} has a {kind} layer, which runs code that comes with the file, so it is refused. Build the model "
            "again with layers of Keras in its place (Rescaling for a scale, for example) and save that."
        )
    known = module is None or module == "keras" or any(module == s or module.startswith(f"{s}.") for s in SAFE)
    own = registered is not None and registered not in (kind, "Functional", "Sequential") and ">" in str(registered)
    if kind is not None and (not known or own or (module is None and registered is not None)):
        raise UnsafeFile(
            f"{where} uses {kind!r} of {module or registered!r}, which is no layer of Keras: its code is not in the file "
            "and is never looked for. Expected layers, initialisers, regularisers and activations of Keras alone."
        )
    for name, entry in config.items():
        if name != "compile_config":  # the old loss and optimiser; they are never built
            refuse_code(entry, where)


def without_head(library: Any, model: Any, reference: str) -> Any:
    """The model up to the input of its last Dense layer.

    Raises:
        ModelError: it takes no pictures with channels last, or more than one input.
    """
    model = functional(library, model)
    if model is None or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{reference} is no Keras model of one input and one output; expected a picture in, classes out."
        )
    if len(model.inputs[0].shape) != 4 or model.inputs[0].shape[-1] not in (1, 3):
        raise ModelError(
            f"{reference} takes inputs of the shape {tuple(model.inputs[0].shape)}; expected (n, height, width, 3)."
        )
    tensor = model.outputs[0]
    while type(operation := tensor._keras_history.operation).__name__ in BEHIND_THE_HEAD:
        tensor = operation.input
    if type(operation).__name__ == "Dense":
        return library.Model(model.inputs[0], operation.input)
    say(f"{reference} ends with no Dense layer; what it outputs is taken as its features.")
    return library.Model(model.inputs[0], model.outputs[0])


def unstated(path: Path, stated: Path, graph: dict[str, Any]) -> str:
    """What to write where a file does not come with a card."""
    layers = graph.get("config", {}).get("layers", [])
    inside = [entry["class_name"] for entry in layers if entry.get("class_name") in ("Rescaling", "Normalization")]
    hint = (
        f"Its own layers {' and '.join(inside)} prepare pixels, so most likely it takes 0 to 255: "
        '"value_range": [0, 255], "mean": [0, 0, 0], "std": [1, 1, 1]. '
        if inside
        else ""
    )
    return (
        f"{path} does not state how its pictures were prepared (a .keras file never does); wrong statistics cost many "
        f"points of accuracy in silence. {hint}Write them into {stated}: "
        '{"architecture": "keras/functional", "modality": "image", "input_size": [3, 224, 224], '
        '"value_range": [-1, 1], "mean": [0, 0, 0], "std": [1, 1, 1]} with the values it was trained with.'
    )
