"""Tiny models with random weights, one for each zoo and family, and tiny data of every modality.

A cell names a zoo, a family and a modality, and makes a backbone of them, or the reference of one, in an empty folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import tiny
from headstart import models, plugins
from headstart.data.dataset import Dataset, Item, Sound
from headstart.data.split import Split
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard, write_card
from headstart.models.columns import learned
from headstart.models.zoo import NOTHING, assemble
from headstart.models.zoo.embedded import SOUND
from headstart.models.zoo.families import card_of
from headstart.training.run import sow
from tiny import LABELS

WORDS = {"ring": ["round", "hollow", "circle", "loop"], "bar": ["long", "flat", "straight", "rod"],
         "cross": ["two", "lines", "meet", "plus"]}  # fmt: skip
FILLER = [
    "the",
    "a",
    "of",
    "and",
    "is",
    "it",
    "was",
    "with",
    "this",
    "that",
    "very",
    "some",
    "here",
    "there",
    "shape",
    "drawn",
    "seen",
    "once",
    "again",
]
TONES = {"ring": 400.0, "bar": 1100.0, "cross": 2600.0}  # Hz


@dataclass(frozen=True)
class Cell:
    """``make(folder)`` gives a backbone with random weights, or the reference of one that it wrote into the folder."""

    zoo: str
    family: str
    modality: str
    make: Callable[[Path], Backbone | str]
    library: str = ""  # what must be installed for it

    @property
    def name(self) -> str:
        return f"{self.zoo}-{self.family}"

    def backbone(self, folder: Path) -> Backbone:
        """The same weights for the same cell, batch norms as a trained network has them."""
        sow(0, len(self.name))
        made = self.make(folder)
        backbone = models.load(made) if isinstance(made, str) else made
        tiny.unsettle(backbone.network)
        return backbone.eval()

    @property
    def lacking(self) -> str:
        """Why the cell cannot be made here, or nothing."""
        import importlib.util

        if self.zoo not in plugins.names("models.zoo"):
            return f"there is no zoo {self.zoo} yet"
        if self.library and importlib.util.find_spec(self.library) is None:
            return f"the library {self.library} is not installed"
        return ""


# Data


def text(label: str, rng: np.random.Generator) -> str:
    """2 to 40 words, one in three of them of the class."""
    count = int(rng.integers(2, 40))
    return " ".join(str(rng.choice(WORDS[label] if i % 3 == 0 else FILLER)) for i in range(count))


def sound(label: str, rng: np.random.Generator) -> Sound:
    """0.2 to 1.3 s of a tone in noise, at one rate or another."""
    rate = int(rng.choice([8000, 16_000, 22_050]))
    time = np.arange(int(rng.uniform(0.2, 1.3) * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * TONES[label] * rng.uniform(0.97, 1.03) * time)
    return Sound((wave + 0.03 * rng.normal(size=len(time))).astype(np.float32), rate)


def row(label: str, rng: np.random.Generator) -> dict[str, float | str | None]:
    number = LABELS.index(label) + rng.normal() / 4
    return {
        "size": None if rng.random() < 0.1 else float(number),
        "noise": float(rng.normal()),
        "colour": None if rng.random() < 0.1 else str(rng.choice(["red", "blue"])),
    }


MAKERS: Mapping[str, Callable[[str, np.random.Generator], Item]] = {
    "image": lambda label, rng: tiny.picture(label, rng),
    "text": text,
    "audio": sound,
    "table": row,
}


def dataset(modality: str, per_class: int = 4, seed: int = 0) -> Dataset:
    """``3 * per_class`` samples; those of texts and sounds have many lengths."""
    rng = np.random.default_rng([seed, 17])
    labels = [label for _ in range(per_class) for label in LABELS]
    items = [MAKERS[modality](label, rng) for label in labels]
    return Dataset(items, [f"{seed}/{i}" for i in range(len(items))], labels, modality, origin="tiny")


def split(modality: str) -> Split:
    target = dataset(modality, 3, 4).without_labels()
    return Split(dataset(modality, 4, 1), dataset(modality, 2, 2), dataset(modality, 2, 3), target)


# Pictures


def picture_card(architecture: str, arguments: dict[str, Any], side: int = 32) -> ModelCard:
    return ModelCard(
        architecture, "image", arguments, input_size=(3, side, side), mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.2)
    )


def picture(family: str, architecture: str, side: int = 32, **arguments: Any) -> Cell:
    def make(folder: Path) -> Backbone:
        return assemble(picture_card(architecture, arguments, side), f"tiny {family}", None)

    return Cell(architecture.partition("/")[0], family, "image", make)


def embedded_sound(folder: Path) -> Backbone:
    card = tiny.CARD.replace(modality="audio", sample_rate=16_000, front_end=SOUND)
    return assemble(card, "tiny embedded:sound", None)


# Texts and sounds of the transformers library


def tokeniser(*, padding: bool = True, special: bool = True) -> Any:
    """Words between white space; [CLS] and [SEP] around them where ``special``."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers import models as kinds

    names = ["[UNK]", *(["[PAD]"] if padding else []), *(["[CLS]", "[SEP]"] if special else [])]
    names += sorted({*FILLER, *(word for words in WORDS.values() for word in words)})
    vocabulary = {name: number for number, name in enumerate(names)}
    made = Tokenizer(kinds.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return made


VOCABULARY = 64


def write_json(path: Path, facts: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts), "utf-8")


def checkpoint(folder: Path, config: Any, *, tokens: Any = None, limit: int | None = 32) -> str:
    """A transformers checkpoint of random weights; the reference of it."""
    from transformers import AutoModel

    network = AutoModel.from_config(config)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {**config.to_dict(), "model_type": config.model_type})
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors",
              {"format": "pt"})  # fmt: skip
    if tokens is not None:
        tokens.save(str(folder / "tokenizer.json"))
        facts = {"tokenizer_class": "PreTrainedTokenizerFast", **({"model_max_length": limit} if limit else {})}
        write_json(folder / "tokenizer_config.json", facts)
    return f"transformers:{folder}"


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def bert(folder: Path) -> str:
    from transformers import BertConfig

    config = BertConfig(vocab_size=VOCABULARY, max_position_embeddings=32, **SMALL)
    return checkpoint(folder, config, tokens=tokeniser())


def sentences(folder: Path) -> str:
    """As sentence-transformers writes it: the pooling, the length and the normalisation in files of their own."""
    reference = bert(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    kinds = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
             for i, (path, kind) in enumerate(modules)]  # fmt: skip
    write_json(folder / "modules.json", kinds)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    pooling = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    return reference


def roberta(folder: Path) -> str:
    from transformers import RobertaConfig

    config = RobertaConfig(vocab_size=VOCABULARY, max_position_embeddings=34, pad_token_id=1, **SMALL)
    return checkpoint(folder, config, tokens=tokeniser(), limit=None)


def distilbert(folder: Path) -> str:
    from transformers import DistilBertConfig

    config = DistilBertConfig(
        vocab_size=VOCABULARY, max_position_embeddings=32, dim=16, n_layers=2, n_heads=2, hidden_dim=32
    )
    return checkpoint(folder, config, tokens=tokeniser())


def gpt2(folder: Path) -> str:
    """No padding token, no special tokens."""
    from transformers import GPT2Config

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return checkpoint(folder, config, tokens=tokeniser(padding=False, special=False))


WAVES = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (25, 16), "num_feat_extract_layers": 2,
         "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 8}  # fmt: skip


def wav2vec2(folder: Path) -> str:
    """As the base checkpoints: a group norm over time, and no mask."""
    from transformers import Wav2Vec2Config

    write_json(folder / "preprocessor_config.json", {"sampling_rate": 16_000, "do_normalize": True})
    return checkpoint(folder, Wav2Vec2Config(feat_extract_norm="group", **WAVES, **SMALL))


def hubert(folder: Path) -> str:
    """As the large checkpoints: layer norms, and a mask."""
    from transformers import HubertConfig

    write_json(folder / "preprocessor_config.json", {"sampling_rate": 16_000, "do_normalize": True})
    config = HubertConfig(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True, **WAVES, **SMALL)
    return checkpoint(folder, config)


def whisper(folder: Path) -> str:
    """Windows of one second."""
    from transformers import WhisperConfig

    config = WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=8, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16, max_source_positions=50, max_target_positions=8,
        pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0, dropout=0.1,
    )  # fmt: skip
    write_json(folder / "preprocessor_config.json", {"sampling_rate": 16_000, "feature_size": 8})
    return checkpoint(folder, config)


def vit(folder: Path) -> str:
    from transformers import ViTConfig

    write_json(folder / "preprocessor_config.json",
               {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.3, 0.2], "size": {"height": 32, "width": 32},
                "resample": 2})  # fmt: skip
    return checkpoint(folder, ViTConfig(image_size=32, patch_size=8, hidden_dropout_prob=0.1, **SMALL))


# Families written here


def family(name: str, **arguments: Any) -> Cell:
    def make(folder: Path) -> Backbone:
        card = card_of(name).replace(arguments=arguments)
        assets: Mapping[str, bytes] = NOTHING
        if card.modality == "text":
            card = card.replace(maximum_length=24, assets=("tokenizer.json",))
            assets = {"tokenizer.json": tokeniser(special=False).to_str().encode()}
        return assemble(card, f"tiny {name}", None, assets)

    return Cell("families", name, card_of(name).modality, make)


def columns(folder: Path) -> Backbone:
    return learned(dataset("table", 4, 1))


def onnx_graph(folder: Path) -> str:
    """A convolution, a ReLU and the mean over positions."""
    import onnx
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(3)
    kernel = numpy_helper.from_array((rng.normal(size=(16, 3, 5, 5)) / 8).astype(np.float32), "kernel")
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], strides=[4, 4]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("ReduceMean", ["positive"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in (("x", ["n", 3, 32, 32]), ("vector", ["n", 16]))]  # fmt: skip
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], [kernel])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(folder / "model.onnx"))
    write_card(picture_card("onnx/graph", {}), folder / "model.card.json")
    return f"onnx:{folder / 'model.onnx'}"


def keras_file(folder: Path) -> str:
    """Convolution, batch norm, dropout and a head, as ``model.save`` writes them."""
    from headstart.models.zoo._keras import keras_on_torch

    keras = keras_on_torch()
    layers = keras.layers
    with keras.device("cpu"):
        x = inputs = keras.Input((32, 32, 3))
        for width in (8, 16):
            x = layers.BatchNormalization()(layers.Conv2D(width, 3, strides=2, activation="relu")(x))
        x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
        made = keras.Model(inputs, layers.Dense(5)(x))
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "model.keras"))
    write_card(picture_card("keras/functional", {}).replace(weights="model.keras"), folder / "card.json")
    return f"keras:{folder}"


def saved_model(folder: Path) -> str:
    import tensorflow as tf

    kernel = np.random.default_rng(3).normal(size=(5, 5, 3, 16)).astype(np.float32) / 8

    class Network(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(kernel)

        @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            return {"vector": tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, self.kernel, 4, "VALID")), (1, 2))}

    network = Network()
    tf.saved_model.save(network, str(folder), signatures={"serving_default": network.__call__})
    write_card(picture_card("savedmodel/graph", {}), folder / "card.json")
    return f"savedmodel:{folder}"


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        picture("resnet", "timm/test_resnet"),
        picture("vgg", "timm/vgg11", mlp_ratio=0.01),
        picture("mobilenet", "timm/mobilenetv3_small_050"),
        picture("efficientnet", "timm/test_efficientnet"),
        picture("vit", "timm/test_vit", img_size=32, patch_size=8, proj_drop_rate=0.1),
        picture("squeezenet", "torchvision/squeezenet1_1"),
        picture("mobilenet", "torchvision/mobilenet_v3_small", width_mult=0.25),
        picture("inception", "torchvision/googlenet", init_weights=False, aux_logits=False),
        Cell("embedded", "image", "image", lambda folder: tiny.backbone()),
        Cell("embedded", "sound", "audio", embedded_sound),
        Cell("local", "folder", "image", lambda folder: str(tiny.saved(folder))),
        Cell("transformers", "bert", "text", bert),
        Cell("transformers", "gpt2", "text", gpt2),
        Cell("transformers", "roberta", "text", roberta),
        Cell("transformers", "distilbert", "text", distilbert),
        Cell("transformers", "sentence-transformers", "text", sentences),
        Cell("transformers", "wav2vec2", "audio", wav2vec2),
        Cell("transformers", "hubert", "audio", hubert),
        Cell("transformers", "whisper", "audio", whisper),
        Cell("transformers", "vit", "image", vit),
        family("transformer_xl", vocabulary=VOCABULARY, cutoffs=[], dim=16, num_heads=2, inner_dim=32, num_layers=2,
               memory_length=8, clamp_length=32),
        family("wavenet", num_layers=3, num_blocks=1, residual_channels=8, dilation_channels=8, skip_channels=16,
               end_channels=16, classes=32),
        family("deepspeech", hidden=16, context=2, dropout=0.1),
        family("deepspeech2", hidden=16, num_layers=2),
        family("vggish", widths=[4, 8, 8, 8], hidden=16, dim=8),
        family("yamnet"),
        Cell("keras", "file", "image", keras_file, "keras"),
        Cell("onnx", "graph", "image", onnx_graph, "onnx"),
        Cell("savedmodel", "graph", "image", saved_model, "tensorflow"),
        Cell("tables", "columns", "table", columns),
    )
}  # fmt: skip


def write_backbone(backbone: Backbone, folder: Path) -> Path:
    """A folder that ``models.load`` reads: the card, the weights and the other files of a backbone."""
    folder.mkdir(parents=True, exist_ok=True)
    card = backbone.card.replace(weights="model.safetensors", assets=tuple(sorted(backbone.assets)))
    write_card(card, folder / "card.json")
    for name, raw in backbone.assets.items():
        (folder / name).write_bytes(raw)
    save_file(
        {n: v.contiguous().clone() for n, v in backbone.network.state_dict().items()}, folder / "model.safetensors"
    )
    return folder


def noisy(network: nn.Module) -> bool:
    """Whether training mode computes something else: dropout, or batch norm."""
    if getattr(getattr(network, "config", None), "model_type", "") == "whisper":
        return True  # its dropout is a function, no module
    return any(
        isinstance(part, nn.modules.batchnorm._BatchNorm)
        or (isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0)
        for part in network.modules()
    )


def values(data: Dataset) -> list[Any]:
    """The decoded samples."""
    from headstart.data.modalities import Modality

    modality = plugins.variant("data.modalities", data.modality, Modality)()
    return [modality.decode(item) for item in data.items]


def features(backbone: Backbone, samples: list[Any]) -> np.ndarray:
    """(n, dim) float32, in one batch."""
    with torch.inference_mode():
        return backbone.eval()(backbone.prepare(samples)).vector.numpy()
