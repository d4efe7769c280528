"""Models: find a pretrained backbone by its reference, ``zoo:name``, or by the path of a folder."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from headstart import plugins
from headstart.config import convert
from headstart.errors import ConfigError, UnknownModel

if TYPE_CHECKING:
    from headstart.models.backbone import Backbone
    from headstart.models.card import ModelCard

FREE = ("input_size", "crop_fraction", "interpolation")

__all__ = ["load", "split_reference"]


def split_reference(reference: str) -> tuple[str, str]:
    """``"timm:resnet18"`` -> ``("timm", "resnet18")``; a bare path belongs to the zoo ``local``.

    Raises:
        UnknownModel: the reference names no zoo and no path; the nearest references are offered.
    """
    zoo, colon, name = reference.partition(":")
    if colon and zoo in plugins.names("models.zoo"):
        return zoo, name
    place = reference.partition("?")[0]  # a folder may be followed by a choice of size and crop
    if Path(reference).exists() or (place and Path(place).exists()):
        return "local", reference
    candidates = [f"{z}:{n}" for z in plugins.names("models.zoo") for n in _search(z)]
    raise UnknownModel(
        f"There is no model {reference!r}. A reference is zoo:name with one of the zoos "
        f"{', '.join(plugins.names('models.zoo'))}, or the path of a folder with a card.json."
        + nearest(name or reference, candidates)
    )


def load(reference: str, *, pretrained: bool = True) -> Backbone:
    """The backbone of a reference; ``pretrained=False`` gives the same architecture with fresh weights.

    A reference may choose the input's size and crop: ``timm:resnet18?input_size=3,128,128``, ``folder?crop_fraction=1``.

    Raises:
        UnknownModel, ModelError, MissingStatistics, UnsafeFile: see ``headstart.errors``.
    """
    from headstart.models.zoo import Zoo

    zoo, name = split_reference(reference)
    changes = ""
    if zoo != "local" or not ("#" in name or Path(name).exists()):  # behind # the query states a card
        name, _, changes = name.partition("?")
    backbone = plugins.variant("models.zoo", zoo, Zoo)().load(name, pretrained=pretrained)
    if changes:
        backbone.card = changed(backbone.card, changes)
        backbone.reference = reference
    return backbone


def changed(card: ModelCard, query: str) -> ModelCard:
    """A card with other values for what may be chosen freely: ``input_size=3,64,64&crop_fraction=1&interpolation=bicubic``.

    Raises:
        ConfigError: another entry is named (the statistics belong to the weights), or a value is of the wrong type.
    """
    import typing
    from urllib.parse import parse_qs

    hints, values = typing.get_type_hints(type(card)), {}
    for name, texts in parse_qs(query, keep_blank_values=True).items():
        if name not in FREE:
            raise ConfigError(
                f"$.model: {name!r} cannot be chosen; {', '.join(FREE)} can. The rest belongs to the weights."
            )
        values[name] = convert(
            hints[name], texts[0].split(",") if name == "input_size" else texts[0], f"$.model.{name}"
        )
    return card.replace(**values)


def nearest(name: str, candidates: list[str]) -> str:
    """A sentence that offers the candidates (``zoo:name``) nearest to ``name``, of every zoo that has them, or nothing."""
    by_name: dict[str, list[str]] = {}
    for candidate in candidates:
        by_name.setdefault(candidate.partition(":")[2].lower(), []).append(candidate)
    close = difflib.get_close_matches(name.lower(), list(by_name), n=3, cutoff=0.5)
    offered = [candidate for entry in close for candidate in dict.fromkeys(by_name[entry])]
    return f" Nearest: {', '.join(offered)}." if offered else ""


def _search(zoo: str) -> list[str]:
    from headstart.models.zoo import Zoo

    return plugins.variant("models.zoo", zoo, Zoo)().names()
