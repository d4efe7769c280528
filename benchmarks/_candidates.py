"""The models and the data that the benchmarks of choosing use: real candidates, good and bad ones, on small real data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _shared as shared
import numpy as np

if TYPE_CHECKING:
    from headstart.data import Dataset, Split
    from headstart.models.backbone import Backbone

ROWS = {"image": 250, "text": 400, "audio": 400}  # samples for training, at the most
TESTS = 1000  # samples for the test, at the most: with 250 an accuracy would be known to 3 points only
SETS = {
    "clothing": "clothing",
    "grocery": "grocery/labels.csv",
    "brain-mri": "brain-mri",
    "amazon": "office-caltech10/amazon",
    "caltech10": "office-caltech10/caltech10",
    "mnist": "digits/mnist",
    "mnist-m": "digits/mnist-m",
    "usps": "digits/usps.h5",
    "sst2": "sst2",
    "banking77, 20 intents": "banking77",
    "esc10": "esc10",
    "spoken digits": "spoken-digits",
}
MODALITIES = dict.fromkeys(SETS, "image") | dict.fromkeys(("sst2", "banking77, 20 intents"), "text")
MODALITIES |= dict.fromkeys(("esc10", "spoken digits"), "audio")


def candidates(modality: str, work: Path) -> dict[str, Callable[[], Backbone]]:
    """Ways to a backbone, by name: pretrained ones, the same cut short, at other sizes, or with random weights.

    Raises:
        Skip: a checkpoint is not there.
    """
    return {"image": pictures, "text": texts, "audio": sounds}[modality](work)


def pictures(work: Path) -> dict[str, Callable[[], Backbone]]:
    """Ten, all at small sizes: five pretrained, two cut short, three of random weights."""
    from headstart import models

    mobile, squeeze = str(shared.weights_folder()), str(shared.weights_folder("squeezenet1_1"))
    small, middle = "input_size=3,64,64&crop_fraction=1", "input_size=3,96,96&crop_fraction=1"
    return {
        "embedded at 48 px": lambda: models.load("embedded:image?input_size=3,48,48"),
        "MobileNetV2 at 96 px": lambda: models.load(f"{mobile}?{middle}"),
        "MobileNetV2 at 64 px": lambda: models.load(f"{mobile}?{small}"),
        "SqueezeNet at 96 px": lambda: models.load(f"{squeeze}?{middle}"),
        "SqueezeNet at 64 px": lambda: models.load(f"{squeeze}?{small}"),
        "MobileNetV2, first 4 of 7": lambda: _cut_mobile(f"{mobile}?{middle}"),
        "SqueezeNet, first 3 of 8": lambda: _cut_squeeze(f"{squeeze}?{middle}"),
        "MobileNetV2, random": lambda: _random(f"{mobile}?{small}"),
        "SqueezeNet, random": lambda: _random(f"{squeeze}?{small}"),
        "embedded, random": lambda: _random("embedded:image?input_size=3,48,48"),
    }


def texts(work: Path) -> dict[str, Callable[[], Backbone]]:
    """Eight: MiniLM as published, with other pooling, few tokens, fewer layers, and with random weights."""
    from headstart import models

    place = os.environ.get("HEADSTART_MINILM")
    if not place:
        raise shared.Skip("HEADSTART_MINILM does not name a folder with the checkpoint all-MiniLM-L6-v2")

    def changed(layers: int = 6, pretrained: bool = True, **card: Any) -> Backbone:
        from headstart.models.backbone import stages_of
        from headstart.training.run import sow

        sow(0, 0)
        made = models.load(f"transformers:{place}", pretrained=pretrained)
        made.network.encoder.layer = made.network.encoder.layer[:layers]
        made.stages = stages_of(made.network)
        made.card = made.card.replace(**card)
        if "maximum_length" in card:
            made.limit = card["maximum_length"]
        return made

    return {
        "MiniLM": changed,
        "MiniLM, first token": lambda: changed(pooling="cls"),
        "MiniLM, 8 tokens": lambda: changed(maximum_length=8),
        "MiniLM, first 4 of 6": lambda: changed(4),
        "MiniLM, first 2 of 6": lambda: changed(2),
        "MiniLM, word vectors": lambda: changed(0),
        "MiniLM, random": lambda: changed(pretrained=False),
        "MiniLM, random, first 2": lambda: changed(2, pretrained=False),
    }


def sounds(work: Path) -> dict[str, Callable[[], Backbone]]:
    """Eight: YAMNet and the embedded model, whole, cut short, and with random weights."""
    yamnet = str(shared.weights_folder("yamnet_mobilenetv1_100"))
    from headstart import models

    return {
        "YAMNet": lambda: models.load(yamnet),
        "YAMNet, first 4 of 5": lambda: _cut_yamnet(yamnet, 4),
        "YAMNet, first 3 of 5": lambda: _cut_yamnet(yamnet, 3),
        "YAMNet, first of 5": lambda: _cut_yamnet(yamnet, 1),
        "embedded": lambda: models.load("embedded:sound"),
        "YAMNet, random": lambda: _random(yamnet),
        "YAMNet, random, first 3": lambda: _cut_yamnet(yamnet, 3, pretrained=False),
        "embedded, random": lambda: _random("embedded:sound"),
    }


def _cut_yamnet(reference: str, stages: int, pretrained: bool = True) -> Backbone:
    from torch import nn

    from headstart import models
    from headstart.models.sounds import patch_backbone
    from headstart.models.zoo.timm import pool

    whole = models.load(reference) if pretrained else _random(reference)
    network = whole.network
    network.blocks = network.blocks[:stages]
    for name in ("conv_head", "norm_head", "bn2"):
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
    return patch_backbone(network, whole.card, pool, f"YAMNet, first {stages} of 5")


def _random(reference: str) -> Backbone:
    from headstart import models
    from headstart.training.run import sow

    sow(0, 0)
    return models.load(reference, pretrained=False)


def _cut_mobile(reference: str) -> Backbone:
    from torch import nn

    from headstart import models
    from headstart.models.pictures import PictureBackbone
    from headstart.models.zoo.timm import pool

    whole = models.load(reference)
    network = whole.network
    network.blocks, network.conv_head, network.bn2 = network.blocks[:4], nn.Identity(), nn.Identity()
    return PictureBackbone(network, whole.card, pool, "MobileNetV2, first 4 of 7")


def _cut_squeeze(reference: str) -> Backbone:
    from headstart import models
    from headstart.models.pictures import PictureBackbone, global_average

    whole = models.load(reference)
    whole.network.features = whole.network.features[:7]
    return PictureBackbone(whole.network, whole.card, global_average, "SqueezeNet, first 3 of 8")


def small_split(name: str, seed: int, rows: int | None = None) -> Split:
    """At most ``rows`` training and ``TESTS`` test samples of a set, half of a small one, parted so that no copies straddle."""
    from headstart.data.duplicates import clusters, scan
    from headstart.data.split import Split, split
    from headstart.store import Store

    rows = rows or ROWS[MODALITIES[name]]
    data = picked(_read(name), rows + TESTS, seed)
    cut = split(data, seed=seed, clusters=clusters(scan(data, Store())), test=max(0.5, 1 - rows / len(data)), valid=0.0)
    train = cut.train.subset(np.random.default_rng(seed).permutation(len(cut.train))[:rows])
    present = set(train.labels or ())
    test = cut.test.subset([i for i, label in enumerate(cut.test.labels or ()) if label in present])
    return Split(train, test, test)


def _read(name: str) -> Dataset:
    from dataclasses import replace

    from headstart.data import read

    path = shared.data_folder(*SETS[name].split("/"))
    if name == "spoken digits":
        return read(path, labels=r"(\d)_[a-z]+_\d+")
    if name.startswith("banking77"):
        data = read(path)
        return replace(data.subset([i for i, label in enumerate(data.labels) if label in data.classes[:20]]), declared=None)
    if path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            pictures = (np.asarray(file["train/data"]).reshape(-1, 16, 16) * 255).astype(np.uint8)
            numbers = np.asarray(file["train/target"])
        data = read((np.repeat(pictures[..., None], 3, 3), [str(n) for n in numbers]))
    else:
        data = read(path, labels="coarse") if name == "grocery" else read(path)
    return replace(data, declared=None)


def picked(data: Dataset, rows: int, seed: int) -> Dataset:
    """At most ``rows`` samples at random."""
    chosen = np.random.default_rng(seed).permutation(len(data))[:rows]
    counts = data.subset(chosen).counts()
    labels = data.labels or ()
    return data.subset([i for i in sorted(chosen) if counts[labels[i]] >= 4])
