"""The model that a run begins with where nobody chose one: a good small one that is at hand, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headstart import models, plugins
from headstart.data import Split
from headstart.data.dataset import Dataset
from headstart.data.modalities import Modality
from headstart.errors import Incompatible, ModelError
from headstart.progress import say

if TYPE_CHECKING:
    from headstart.models.backbone import Backbone

MODERATE = 1e9  # bytes; a model that nobody asked for by name should not fill the memory
EMBEDDED = {"image": "embedded:image", "audio": "embedded:sound"}  # what comes with headstart


def choose(dataset: Dataset) -> tuple[Backbone, str]:
    """A backbone for the modality of a data set, and the reason why it was chosen.

    Pictures begin with the embedded model, which needs no network. For texts and sounds the catalogue names good small
    models: the first that is on this machine, else the first that can be fetched; without the network whatever else is
    here is taken, and sounds fall back to log-mel pictures in the embedded picture model.

    Raises:
        ModelError: there is no model for texts on this machine and none can be fetched; names the one command that does.
    """
    if dataset.modality == "table":
        from headstart.models.columns import learned

        return learned(dataset), "a table has no pretrained model: its columns are the features"
    if dataset.modality == "image":
        return models.load(EMBEDDED["image"]), f"the model is {EMBEDDED['image']}, which comes with headstart"
    from headstart.models import catalog

    wanted = catalog.defaults(dataset.modality)
    for reference in wanted:
        if catalog.here(reference):
            return models.load(
                reference
            ), f"the model is {reference}, the usual choice for {dataset.modality} on this machine"
    try:
        return models.load(wanted[0]), f"the model is {wanted[0]}, the usual choice for {dataset.modality}, fetched now"
    except ModelError as problem:
        if (found := _on_disk(dataset.modality)) is not None:
            why = f"{wanted[0]} is not on this machine and could not be fetched, so the model is {found.reference}, which is here"
            say(f"note: {why}")
            return found, why
        fallback = EMBEDDED.get(dataset.modality)
        if fallback is None:
            raise ModelError(
                f"There is no model for {dataset.modality} on this machine, and {wanted[0]} could not be fetched. Connect "
                f"to the network once and run: headstart models fetch {wanted[0]}; or name a model folder: --model FOLDER."
            ) from problem
        why = (f"{wanted[0]} is not on this machine and could not be fetched, so log-mel pictures of the sounds go into the "
               f"embedded picture model ({fallback}), which knows nothing of sound")  # fmt: skip
        say(f"note: {why}")
        return models.load(fallback), why


def _on_disk(modality: str) -> Backbone | None:
    """A model of the modality in the cache of the hub: of the catalogue, the smallest first, else another of moderate size."""
    from headstart.models import catalog
    from headstart.models.zoo._hub import folders_here

    known = [entry.reference for entry in catalog.find(catalog.Wanted(modality, here=True)) if entry.zoo != "embedded"]
    for reference in dict.fromkeys([*known, *(f"transformers:{name}" for name in folders_here(MODERATE))]):
        try:
            found = models.load(reference)
        except ModelError:  # a part of it is missing, or it is of a type that cannot be read
            continue
        if found.card.modality == modality:
            return found
    return None


def suits(backbone: Backbone, dataset: Dataset) -> None:
    """Refuse a model of another modality, before any work.

    Raises:
        Incompatible: names what would suit.
    """
    if backbone.card.modality != dataset.modality:
        raise Incompatible(
            f"{backbone.reference} takes samples of the kind {backbone.card.modality!r}, and {dataset.origin or 'the data'} "
            f"holds samples of the kind {dataset.modality!r}. Choose a model for {dataset.modality}: "
            f"headstart models --modality {dataset.modality}; or leave --model out."
        )


def cut_notes(backbone: Backbone, split: Split) -> list[str]:
    """What the model cannot take of the samples, counted; nothing where it reads all of them."""
    modality: Modality = plugins.variant("data.modalities", split.train.modality, Modality)()
    parts = {"training": split.train, "validation": split.valid, "test": split.test}
    limit = backbone.card.maximum_length
    if not limit:
        return []
    notes = []
    for name, part in parts.items():
        lost = [backbone.cut(modality.decode(item)) for item in part.items]
        if longer := sum(1 for entry in lost if entry):
            notes.append(
                f"{longer} of {len(part)} {name} samples are longer than the {limit} tokens that the model reads; the rest "
                f"of each ({sum(lost) // longer} tokens on average) is not seen"
            )
    for note in notes:
        say(f"note: {note}")
    return notes
