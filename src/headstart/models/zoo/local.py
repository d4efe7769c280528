"""Models in local files: a folder with a ``card.json``, a run folder, or a state dict plus an architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from headstart import plugins
from headstart.config import from_dict
from headstart.errors import ModelError, UnknownModel
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard, read_card
from headstart.models.zoo import NOTHING, Zoo, assemble, read_assets

OTHERS = {".keras": "keras", ".onnx": "onnx"}  # endings of files that another zoo reads


class Local(Zoo):
    """``local:FOLDER``, ``local:RUN`` or ``local:FILE.safetensors#ARCHITECTURE?mean=..&std=..&input_size=..``."""

    def names(self) -> list[str]:
        return []

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
        raise UnknownModel(f"A card names its architecture as timm/NAME or torchvision/NAME, not local/{name}.")

    def load(self, name: str, *, pretrained: bool = True) -> Backbone:
        place, _, architecture = name.partition("#")
        path = Path(place)
        if architecture:
            card = stated_card(architecture)
            return assemble(card, place, path if pretrained else None)
        zoo = "savedmodel" if (path / "saved_model.pb").is_file() else OTHERS.get(path.suffix.lower())
        if zoo and path.exists():
            raise ModelError(f"{place} is read by the zoo {zoo}; write the zoo in front: {zoo}:{place}")
        if path.is_file():
            raise ModelError(
                f"{place} is a file of weights and does not say for which architecture. Name it, with its statistics: "
                f"'local:{place}#timm/resnet18?input_size=3,224,224&mean=0.485,0.456,0.406&std=0.229,0.224,0.225'"
            )
        for folder in (path, path / "model"):
            if (folder / "card.json").is_file():
                card = read_card(folder / "card.json")
                entry = card.weights or "model.safetensors"
                # behind the file's name the entry may carry a remark; a name may have spaces itself
                weights = folder / (entry if (folder / entry).is_file() else entry.split(" ")[0])
                if weights.resolve().parent != folder.resolve():
                    raise ModelError(f"The card of {place} names weights outside its own folder: {card.weights!r}.")
                return assemble(card, f"local:{place}", weights if pretrained else None, read_assets(card, folder))
        if (path / "config.json").is_file():  # as transformers and sentence-transformers write it
            return plugins.variant("models.zoo", "transformers", Zoo)().load(str(path), pretrained=pretrained)
        raise UnknownModel(
            f"{place} is no model: expected a folder with a card.json (its own or a run's model/card.json), or with a "
            "config.json and a model.safetensors as the transformers library writes them. "
            "A card states at least architecture, modality, weights, input_size, mean and std."
        )


def stated_card(text: str) -> ModelCard:
    """``timm/resnet18?mean=0.5,0.5,0.5&...`` -> a card."""
    architecture, _, query = text.partition("?")
    stated: dict = {"architecture": architecture, "modality": "image"}
    for name, values in parse_qs(query, strict_parsing=bool(query)).items():
        entries = values[0].split(",")
        stated[name] = entries if name in ("input_size", "mean", "std", "value_range") else values[0]
    return from_dict(ModelCard, stated, path="$.model")
