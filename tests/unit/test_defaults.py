from pathlib import Path

import pytest

import tiny
import tiny_models
from headstart import defaults
from headstart.errors import ModelError
from headstart.models import catalog
from headstart.models.zoo import _hub


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What is said; nothing is on this machine and nothing can be fetched."""
    said: list[str] = []
    monkeypatch.setattr(defaults, "say", said.append)
    monkeypatch.setattr(catalog, "here", lambda reference: False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    real = defaults.models.load

    def load(reference: str, *, pretrained: bool = True) -> object:
        if not reference.startswith("embedded:"):
            raise ModelError("no network")
        return real(reference, pretrained=pretrained)

    monkeypatch.setattr(defaults.models, "load", load)
    return said


def test_pictures_and_tables_need_nothing(told: list[str]) -> None:
    backbone, why = defaults.choose(tiny_models.dataset("image", 1))
    assert backbone.reference == "embedded:image" and "comes with headstart" in why
    backbone, why = defaults.choose(tiny_models.dataset("table", 2))
    assert backbone.reference == "tables:columns" and "no pretrained model" in why
    assert told == []


def test_sounds_fall_back_and_it_is_said(told: list[str]) -> None:
    backbone, why = defaults.choose(tiny_models.dataset("audio", 1))
    assert backbone.reference == "embedded:sound" and backbone.card.modality == "audio"
    assert "knows nothing of sound" in why and told == [f"note: {why}"]


def test_texts_name_the_one_command(told: list[str]) -> None:
    with pytest.raises(ModelError, match=r"headstart models fetch \S+; or name a model folder"):
        defaults.choose(tiny_models.dataset("text", 1))


def test_what_is_on_this_machine_comes_first(told: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = catalog.defaults("text")
    backbone = tiny_models.CELLS["embedded-image"].backbone(tmp_path)
    asked: list[str] = []

    def load(reference: str) -> object:
        asked.append(reference)
        return backbone

    monkeypatch.setattr(defaults.models, "load", load)
    monkeypatch.setattr(catalog, "here", lambda reference: reference == wanted[-1])
    assert defaults.choose(tiny_models.dataset("text", 1))[0] is backbone
    assert asked == [wanted[-1]]
    monkeypatch.setattr(catalog, "here", lambda reference: False)
    assert "fetched now" in defaults.choose(tiny_models.dataset("text", 1))[1] and asked[-1] == wanted[0]


def test_without_the_network_whatever_is_on_disk_serves(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    other, bert = "transformers:a/pictures", "transformers:b/texts"
    made = {other: "image", bert: "text"}
    asked: list[str] = []

    def load(reference: str) -> object:
        asked.append(reference)
        if reference not in made:
            raise ModelError("no network")
        backbone = tiny.backbone()
        backbone.reference, backbone.card = reference, backbone.card.replace(modality=made[reference])
        return backbone

    monkeypatch.setattr(defaults.models, "load", load)
    monkeypatch.setattr(_hub, "folders_here", lambda most: ["a/broken", "a/pictures", "b/texts"])
    backbone, why = defaults.choose(tiny_models.dataset("text", 1))
    assert backbone.reference == bert and asked == [catalog.defaults("text")[0], "transformers:a/broken", other, bert]
    assert "could not be fetched, so the model is transformers:b/texts, which is here" in why and told == [f"note: {why}"]
