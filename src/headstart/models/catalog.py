"""The catalogue: what is known of pretrained models before any of them is loaded.

Hand-checked entries stand in ``catalog.toml``, each fact with its source; what could not be verified is left out.
timm's own list of pretrained names, and its results table where the installed package carries it, extend a search.
"""

from __future__ import annotations

import csv
import functools
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart import plugins
from headstart.config import from_dict
from headstart.errors import ConfigError, ModelError, UnknownModel
from headstart.models import nearest
from headstart.models.hub import Fetched, check, fetch_repository, held, is_repository

MODALITIES = ("image", "text", "audio")
DEFAULTS = {
    "image": ("timm:mobilenetv2_100.ra_in1k", "embedded:image"),
    "text": ("transformers:sentence-transformers/all-MiniLM-L6-v2", "transformers:distilbert/distilbert-base-uncased"),
    "audio": ("transformers:openai/whisper-tiny", "transformers:ntu-spml/distilhubert",
              "transformers:facebook/wav2vec2-base-960h"),
}  # fmt: skip
"""Small, openly licensed models, best first. Whisper comes first for sound: it heard the most varied recordings."""


@dataclass(frozen=True)
class Entry:
    """The facts of one model; what is not known is None or empty.

    Attributes:
        reference: what ``--model`` takes.
        pretrained_on: the data it learned from.
        parameters: of the published network, its classifier included.
        features: width of the pooled feature vector.
        input: size in pixels, maximum number of tokens, or sample rate and front end.
        paper: arXiv id.
        accuracy, metric, measured, accuracy_source: a published figure, on what scale and data, and who says so.
        popularity: with a date; never estimated.
        source: where the other facts come from.
        weights: where weights are to be had, where no zoo fetches them.
        file: the file in torch's own cache (torchvision).
        listed: taken from timm's list, not checked by hand.
    """

    reference: str
    family: str
    modality: str
    source: str
    pretrained_on: str = ""
    parameters: int | None = None
    features: int | None = None
    input: str = ""
    license: str = ""
    paper: str = ""
    accuracy: float | None = None
    metric: str = ""
    measured: str = ""
    accuracy_source: str = ""
    popularity: str = ""
    weights: str = ""
    file: str = ""
    note: str = ""
    listed: bool = False

    @property
    def zoo(self) -> str:
        return self.reference.partition(":")[0]

    @property
    def name(self) -> str:
        return self.reference.partition(":")[2]

    @property
    def megabytes(self) -> float | None:
        """Of the parameters in float32; the published file differs by its head and by its precision."""
        return None if self.parameters is None else self.parameters * 4 / 1e6

    @property
    def command(self) -> str:
        """What adapts this model to data."""
        if self.zoo == "families":
            return f"headstart fit DATA --model 'local:FILE.safetensors#families/{self.name}'"
        return f"headstart fit DATA --model {self.reference}"


@functools.cache
def cards() -> tuple[Entry, ...]:
    """The hand-checked entries, by modality and size."""
    data = tomllib.loads(files("headstart.models").joinpath("catalog.toml").read_text("utf-8"))
    sources = data["sources"]
    entries = []
    for number, facts in enumerate(data["model"]):
        for name in ("source", "accuracy_source"):
            if name in facts:
                facts[name] = sources[facts[name]]
        entries.append(with_prior(from_dict(Entry, facts, path=f"$.model[{number}]")))
    return tuple(sorted(entries, key=order))


def order(entry: Entry) -> tuple[int, float, str]:
    """By modality, then size; an unknown size comes last."""
    size = float("inf") if entry.parameters is None else entry.parameters
    return MODALITIES.index(entry.modality), size, entry.reference


@dataclass(frozen=True)
class Wanted:
    """What a search asks for; everything named must hold.

    Attributes:
        modality: image, text or audio.
        max_parameters: an entry of unknown size does not pass.
        license: part of the licence's name.
        search: words, each of them part of the reference, the family or what it was pretrained on.
        here: only what is on this machine.
    """

    modality: str | None = None
    max_parameters: float | None = None
    license: str | None = None
    search: str = ""
    here: bool = False

    def __post_init__(self) -> None:
        if self.modality is not None and self.modality not in MODALITIES:
            raise ConfigError(f"modality: expected one of {', '.join(MODALITIES)}, got {self.modality!r}")

    def admits(self, entry: Entry) -> bool:
        text = f"{entry.reference} {entry.family} {entry.pretrained_on}".lower()
        return (
            self.modality in (None, entry.modality)
            and (self.max_parameters is None or (entry.parameters or float("inf")) <= self.max_parameters)
            and (self.license is None or self.license.lower() in entry.license.lower())
            and all(word in text for word in self.search.lower().split())
            and (not self.here or here(entry.reference))
        )


def find(wanted: Wanted | None = None) -> list[Entry]:
    """The entries that fit, by modality and size; a search for words also looks through timm's pretrained names.

    Raises:
        ConfigError: the modality is none of those there are.
    """
    wanted = wanted or Wanted()
    found = [entry for entry in cards() if wanted.admits(entry)]
    if wanted.search.strip() and wanted.modality in (None, "image"):
        found += [entry for entry in _from_timm(wanted.search) if wanted.admits(entry)]
    return sorted(found, key=order)


def show(reference: str) -> Entry:
    """The entry of a reference: by hand, or as far as its zoo or its files on this machine state the facts.

    Raises:
        UnknownModel: nothing is known of it; the nearest references are offered.
    """
    if entry := _card(reference):
        return entry
    zoo, _, name = reference.partition(":")
    if zoo == "timm" and (found := _measured(name)):
        return found
    if zoo in plugins.names("models.zoo") and zoo != "timm" and here(reference):
        return Entry(reference, "", "", "files on this machine; not in the catalogue")
    raise UnknownModel(
        f"The catalogue has no model {reference!r}."
        + nearest(name or reference, [entry.reference for entry in cards()])
        + " headstart models --search WORD finds more, and headstart models fetch takes any repository of the hub: "
        "transformers:ORGANISATION/NAME."
    )


def _card(reference: str) -> Entry | None:
    """The hand-checked entry; torchvision's default weights may go unnamed."""
    reference = reference.partition("?")[0]
    for entry in cards():
        if reference == entry.reference or (
            entry.zoo == "torchvision" and reference == entry.reference.partition(".")[0]
        ):
            return entry
    return None


def here(reference: str) -> bool:
    """Whether a model can be loaded on this machine without the network; asks no network."""
    zoo, _, name = reference.partition(":")
    if zoo == "embedded":
        return name == "image"
    if zoo == "timm":
        return held(_timm_repository(name), config=False)
    if zoo == "transformers":
        return (bool(name) and Path(name).is_dir()) or held(name)
    if zoo == "torchvision":
        entry = _card(reference)
        return entry is not None and (torch_cache() / entry.file).is_file()
    if zoo in ("keras", "families"):  # Keras keeps its files under names of its own; families have none
        return False
    place = reference.removeprefix("local:").partition("#")[0]
    return bool(place) and Path(place).exists()


def defaults(modality: str) -> list[str]:
    """References of good small models, in order of preference; the caller takes the first that is ``here``.

    Raises:
        ConfigError: the modality has no pretrained models (a table).
    """
    if modality not in DEFAULTS:
        raise ConfigError(f"modality: expected one of {', '.join(MODALITIES)}, got {modality!r}")
    return list(DEFAULTS[modality])


def fetch(reference: str) -> Fetched:
    """Download a model for offline use; what is there already is checked and not fetched again.

    Raises:
        UnknownModel: no zoo fetches such a reference.
        UnsafeFile: the repository holds pickles only.
        ModelError: no network, or a file that is damaged.
    """
    zoo, _, name = reference.partition(":")
    if zoo == "embedded" and here(reference):
        place = Path(str(files("headstart.models"))) / "weights" / name / "model.safetensors"
        check(place)
        return Fetched(reference, place, place.stat().st_size, 0)
    if zoo == "timm":
        return fetch_repository(_timm_repository(name), reference, config=False)
    if zoo == "transformers" and is_repository(name):
        return fetch_repository(name, reference)
    if zoo == "torchvision":
        return _fetched_by_torch(reference)
    if (entry := _card(reference)) and entry.weights:
        raise ModelError(f"{reference} cannot be fetched by name. Its weights: {entry.weights}; then {entry.command}")
    if zoo == "keras":
        raise ModelError(f"{reference}: Keras fetches its weights itself, at the first use: "
                         f"headstart fit DATA --model {reference}")  # fmt: skip
    raise UnknownModel(
        f"{reference!r} names nothing that can be fetched; expected timm:NAME.TAG, torchvision:NAME or "
        "transformers:ORGANISATION/NAME." + nearest(name or reference, [entry.reference for entry in cards()])
    )


def torch_cache() -> Path:
    """Where torch keeps what it fetched; the same rule as torch.hub, which is slow to import."""
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", str(Path(base) / "torch"))).expanduser() / "hub" / "checkpoints"


def _fetched_by_torch(reference: str) -> Fetched:
    from headstart.models import load

    before = set(torch_cache().glob("*.pth"))
    present = here(reference)
    load(reference)  # the zoo checks the file's digest, reads tensors only, and that they fit the architecture
    entry = _card(reference)
    new = set(torch_cache().glob("*.pth")) - before
    place = torch_cache() / entry.file if entry else next(iter(new), torch_cache())
    size = place.stat().st_size
    return Fetched(reference, place, size, 0 if present or not new else size)


@functools.cache
def results_table() -> dict[str, tuple[float, int]]:
    """timm's published results, name -> (top-1 in %, pixels a side), where the installed package carries the table."""
    found = find_spec("timm")  # looks for the package without importing it
    for folder in (found.submodule_search_locations or []) if found else []:
        for path in (Path(folder) / "results" / "results-imagenet.csv", Path(folder) / "results-imagenet.csv"):
            if path.is_file():
                with path.open(encoding="utf-8", newline="") as file:
                    return {row["model"]: (float(row["top1"]), int(row["img_size"])) for row in csv.DictReader(file)}
    return {}


def with_prior(entry: Entry) -> Entry:
    """The entry, with the figure of timm's table where it has none of its own."""
    if entry.zoo != "timm" or entry.accuracy is not None or entry.name not in results_table():
        return entry
    top1, side = results_table()[entry.name]
    return replace(entry, accuracy=top1, metric="top-1", accuracy_source="results table in the installed timm package",
                   measured=f"ImageNet-1k validation, one crop, {side} x {side} pixels")  # fmt: skip


def _from_timm(search: str) -> Iterator[Entry]:
    """timm's pretrained names with all the words of ``search`` that are not in the hand-checked list."""
    import timm

    known = {entry.name for entry in cards() if entry.zoo == "timm"}
    words = search.lower().removeprefix("timm:").split()
    for name in timm.list_pretrained():
        if name not in known and all(word in f"timm:{name}" for word in words):
            yield _listed(name)


def _timm_repository(name: str) -> str:
    """The hub repository of a timm name; a name without a tag means timm's default one, an unknown name none."""
    name = name.partition("?")[0]
    if _card(f"timm:{name}"):  # spares the import of timm
        return f"timm/{name}"
    facts = _configuration(name)
    return (facts.hf_hub_id or "") if facts else ""


def _configuration(name: str) -> Any:
    """timm's configuration of a checkpoint, or None where it has none."""
    from timm.models import get_pretrained_cfg

    try:
        return get_pretrained_cfg(name)
    except RuntimeError:  # no such tag
        return None


def _listed(name: str) -> Entry:
    facts = _configuration(name)
    side = facts.input_size[-1] if facts else None
    return with_prior(
        Entry(f"timm:{name}", name.partition(".")[0].partition("_")[0], "image", "timm's list of pretrained models",
              input=f"{side} x {side} pixels" if side else "", license=(facts.license or "") if facts else "",
              paper=((facts.paper_ids or "") if facts else "").removeprefix("arXiv:"), listed=True)
    )  # fmt: skip


def _measured(name: str) -> Entry | None:
    """A model of timm's list with its parameters and features counted; None where timm has no such weights."""
    import timm
    import torch

    facts = _configuration(name)
    name = f"{name.partition('.')[0]}.{facts.tag}" if facts and facts.tag else name
    if name not in timm.list_pretrained():
        return None
    with torch.device("meta"):  # counts without allocating
        network = timm.create_model(name)
    width: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return replace(_listed(name), parameters=sum(p.numel() for p in network.parameters()), features=int(width))
