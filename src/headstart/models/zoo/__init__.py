"""The zoo contract: a source of pretrained models. One file is one zoo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from headstart import plugins
from headstart.errors import ModelError, UnsafeFile
from headstart.progress import logger

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.models.backbone import Backbone
    from headstart.models.card import ModelCard

HEADS = ("classifier", "fc", "head", "heads", "AuxLogits", "aux1", "aux2", "last_linear", "output", "end")
"""Top-level module names under which the zoos keep the layers that a backbone does without."""
NOTHING: Mapping[str, bytes] = MappingProxyType({})


class Zoo(ABC):
    """Loads backbones by name. A zoo keeps no state."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names that can be loaded, as far as they can be listed without the network."""

    @abstractmethod
    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
        """The architecture ``name`` with fresh weights, prepared as ``card`` says; ``assets`` as in Backbone."""

    @abstractmethod
    def load(self, name: str, *, pretrained: bool = True) -> Backbone:
        """The backbone ``name``; with fresh weights where ``pretrained`` is False."""


def assemble(card: ModelCard, reference: str, weights: Path | None, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
    """A backbone from its card (``card.architecture`` is "zoo/name"), a safetensors file and its other files.

    Raises:
        ModelError: the architecture is unknown or the weights do not fit it.
    """
    zoo, slash, name = card.architecture.partition("/")
    if not slash or zoo not in plugins.names("models.zoo"):
        raise ModelError(
            f"The card of {reference} names the architecture {card.architecture!r}; expected zoo/name with one of "
            f"the zoos {', '.join(plugins.names('models.zoo'))}, for example timm/resnet18."
        )
    backbone = plugins.variant("models.zoo", zoo, Zoo)().build(name, card, reference, assets)
    if weights is not None:
        fill(backbone, read_weights(weights), reference)
    return backbone


def read_assets(card: ModelCard, folder: Path) -> dict[str, bytes]:
    """The files that a card names as its assets, all of them inside its folder.

    Raises:
        ModelError: a name leads outside the folder, or there is no such file.
    """
    found = {}
    for name in card.assets:
        place = folder / PurePosixPath(name)
        if not place.resolve().is_relative_to(folder.resolve()):
            raise ModelError(f"The card in {folder} names the file {name!r} outside its own folder; it is refused.")
        try:
            found[name] = place.read_bytes()
        except OSError as problem:
            raise ModelError(f"The card in {folder} names the file {name!r}: {problem.strerror}.") from problem
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; every other kind of file is refused.

    Raises:
        UnsafeFile: the file is not safetensors (a pickle, say).
        ModelError: the file is damaged or not there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(f"There is no weights file {path}. The card names it in its entry 'weights'.")
    if path.suffix != ".safetensors":
        raise UnsafeFile(
            f"{path} is not a safetensors file. Loading a pickle can run any code it contains, so it is refused. "
            "If you trust it, convert it once: state = torch.load(path, weights_only=True); "
            "safetensors.torch.save_file(state, 'model.safetensors')."
        )
    try:
        return load_file(path)
    except SafetensorError as problem:
        raise UnsafeFile(
            f"{path} is named .safetensors but is not such a file ({problem}); a renamed pickle is refused, "
            "and a damaged file must be fetched again."
        ) from problem


def fill(backbone: Backbone, state: dict[str, Tensor], reference: str) -> None:
    """Load weights into the network of a backbone; only the layers of a head may be left over.

    Raises:
        ModelError: weights are missing, left over or of another shape; names the first of them.
    """
    network = backbone.network
    if backbone.layout is not None:
        state = backbone.layout(state)
    own = network.state_dict()
    left_over = [name for name in state if name not in own and name.split(".")[0] not in HEADS]
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    misshapen = [n for n in own if n in state and own[n].shape != state[n].shape]
    for problem, entries in (("lack", missing), ("have the extra", left_over), ("misshape", misshapen)):
        if entries:
            raise ModelError(
                f"The weights of {reference} do not fit its architecture {backbone.card.architecture}: they "
                f"{problem} {entries[0]!r} ({len(entries)} such). Check 'architecture' and 'arguments' in its card."
            )
    dropped = [name for name in state if name not in own]
    if dropped:
        logger.info("%s: the weights of the old head are not used: %s", reference, ", ".join(dropped))
        backbone.source_head = linear_head({name: state[name] for name in dropped}, backbone.spec.dim)
        backbone.provides |= {"source_probs"} if backbone.source_head else set()
    network.load_state_dict({n: v.to(own[n].dtype) for n, v in state.items() if n in own}, strict=False)


def linear_head(state: Mapping[str, Tensor], dim: int) -> tuple[Tensor, Tensor] | None:
    """Weight (classes, dim) and bias (classes,) of an old head that is one linear layer on the features, else None."""
    weights = [value for name, value in state.items() if name.endswith("weight")]
    biases = [value for name, value in state.items() if name.endswith("bias")]
    if len(state) != 2 or len(weights) != 1 or len(biases) != 1:
        return None
    weight, bias = weights[0].float(), biases[0].float()
    return (weight, bias) if weight.ndim == 2 and weight.shape[1] == dim and bias.shape == weight.shape[:1] else None
