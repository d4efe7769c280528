import json
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from headstart.errors import MissingStatistics, ModelError
from headstart.models.backbone import preprocessing
from headstart.models.card import ModelCard, read_card, write_card
from tiny import CARD

BGR = ModelCard(
    architecture="torchvision/squeezenet1_1",
    modality="image",
    input_size=(3, 227, 227),
    mean=(104.0, 117.0, 123.0),
    std=(1.0, 1.0, 1.0),
    value_range=(0.0, 255.0),
    channel_order="BGR",
    interpolation="bicubic",
    crop_fraction=0.875,
    feature_dim=512,
    arguments={"x": [1, 2]},
)


@pytest.mark.parametrize("card", [CARD, BGR, ModelCard("timm/resnet18", "image")])
def test_round_trip(card: ModelCard, tmp_path: Path) -> None:
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card


def test_the_card_that_comes_with_headstart() -> None:
    path = Path(str(files("headstart.models"))) / "weights" / "image" / "card.json"
    assert read_card(path).with_statistics_checked("embedded:image").license != "unknown"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"mean": "0.5"}, r"\$\.mean: expected a list"),
        ({"mean": [0.5, "x", 0.5]}, r"\$\.mean\[1\]: expected float"),
        ({"channel_order": "GRB"}, r"\$\.channel_order: expected one of RGB, BGR, got 'GRB'"),
        ({"meen": [0.5]}, r"\$\.meen: no such setting; there are: .*mean"),
        ({"input_size": [3, 2.5, 2]}, r"\$\.input_size\[1\]: expected int"),
    ],
)
def test_wrong_entries_are_named(entries: dict, said: str, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"architecture": "timm/resnet18", "modality": "image", **entries}))
    with pytest.raises(ModelError, match=said):
        read_card(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00", b'{"modality": "image"}'])
def test_what_is_no_card(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"card\.json of"):
        read_card(tmp_path / "card.json")
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["mean", "std", "input_size"])
def test_missing_statistics_are_named(name: str) -> None:
    with pytest.raises(MissingStatistics, match=f"does not state {name},"):
        CARD.replace(**{name: None}).with_statistics_checked("mine")
    assert CARD.with_statistics_checked("mine") is CARD


def test_what_the_network_sees_is_part_of_the_fingerprint() -> None:
    told = {"weights", "modality", "pretrained_on", "feature_dim", "license", "origin", "checked"}
    told |= {"assets"}  # their contents are part of it
    stated = {"sample_rate": 8000, "front_end": "waveform", "maximum_length": 9, "pooling": "cls", "normalise": True}
    full = CARD.replace(**stated)
    assert {field.name for field in fields(ModelCard)} == set(preprocessing(full)) | told
    assert not set(stated) & set(preprocessing(CARD))  # what is not stated leaves the cache of pictures as it was
