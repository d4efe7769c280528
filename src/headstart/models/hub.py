"""Repositories of the Hugging Face hub in the local cache: what is there, whether it is whole, fetching what is not."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import ModelError, UnknownModel, UnsafeFile
from headstart.progress import say

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = re.compile(r"[^/]+\.(json|txt|model)|\d_\w+/config\.json")  # tokeniser, front end, pooling; at the top
READERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model", "preprocessor_config.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


@dataclass(frozen=True)
class Fetched:
    """A model on this machine.

    Attributes:
        place: its folder or file.
        size: bytes on disk.
        new: bytes that came over the network now.
    """

    reference: str
    place: Path
    size: int
    new: int


def is_repository(name: str) -> bool:
    return bool(REPOSITORY.match(name)) and ".." not in name and "--" not in name


def held(repository: str, *, config: bool = True) -> bool:
    """Whether the cache has the weights (every shard) and, with ``config``, config.json and what reads the input."""
    if not is_repository(repository):
        return False
    if config and not (cached(repository, "config.json") and any(cached(repository, name) for name in READERS)):
        return False
    return bool(weight_files(repository))


def cached(repository: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def weight_files(repository: str) -> list[Path]:
    """The safetensors files of a repository in the cache; none where one of them is missing."""
    if whole := cached(repository, WEIGHTS):
        return [whole]
    if index := cached(repository, INDEX):
        shards = [cached(repository, name) for name in shard_names(index)]
        return [shard for shard in shards if shard] if all(shards) else []
    return []


def shard_names(index: Path) -> list[str]:
    names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    if any("/" in name or not name.endswith(".safetensors") for name in names):
        raise UnsafeFile(f"{index} names weights that are not safetensors files beside it; it is refused.")
    return names


def check(path: Path) -> None:
    """That a safetensors file is whole, from its header and its length; the tensors are not read.

    Raises:
        ModelError: it is shorter or longer than its header says.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size, 100_000_000):  # the limit of the format itself
                raise ValueError("its header is longer than the file or than 100 MB")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
        if size != expected:
            raise ValueError(f"it has {size:,} bytes where its header expects {expected:,}")
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(
            f"{path} is damaged ({problem}). Delete it and fetch it again; it takes the place it had."
        ) from problem


def fetch_repository(repository: str, reference: str, *, config: bool = True) -> Fetched:
    """Fetch the weights (safetensors only) and their companions into the hub's cache.

    Raises:
        UnknownModel: the name is none that the hub allows, or the hub has no such repository.
        UnsafeFile: its weights are pickles only.
        ModelError: no network, no access, a full disk or a damaged file.
    """
    if not is_repository(repository):
        raise UnknownModel(f"{reference!r} names no repository of the hub; expected ORGANISATION/NAME.")
    if held(repository, config=config):
        return checked(repository, reference, 0)
    names = listing(repository, reference)
    wanted = [WEIGHTS] if WEIGHTS in names else [INDEX] if INDEX in names else []
    if not wanted:
        pickles = sorted(name for name in names if name.endswith(PICKLES) and "/" not in name)
        if pickles:
            raise UnsafeFile(
                f"{reference} publishes its weights only as {', '.join(pickles)}; loading a pickle can run any code it "
                "contains, so it is not fetched. Choose another: headstart models."
            )
        raise ModelError(f"{reference} has no {WEIGHTS} at its top; it holds {len(names)} other files.")
    # the weights come last: where they are, all that belongs to them is there
    companions = [name for name in names if COMPANIONS.fullmatch(name) and name != INDEX]
    new = sum(_download(repository, name, reference) for name in [*companions, *wanted])
    if wanted == [INDEX] and (index := cached(repository, INDEX)):
        new += sum(_download(repository, name, reference) for name in shard_names(index))
    return checked(repository, reference, new)


def checked(repository: str, reference: str, new: int) -> Fetched:
    """The repository in the cache, its weights whole."""
    weights = weight_files(repository)
    if not weights:
        raise ModelError(f"{reference} was fetched, but its weights are not in the cache; fetch it again.")
    for path in weights:
        check(path)
    folder = weights[0].parent
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Fetched(reference, folder, size, new)


def listing(repository: str, reference: str) -> list[str]:
    """The names of a repository's files, asked of the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its retries would be printed one by one
    try:
        return list(HfApi().list_repo_files(repository))
    except Exception as problem:  # the hub client raises many kinds: no network, no such repository, gated
        raise unreachable(problem, reference) from problem


def _download(repository: str, name: str, reference: str) -> int:
    """Fetch one file unless it is cached; the bytes that came."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if cached(repository, name):
        return 0
    if not sys.stderr.isatty():
        disable_progress_bars()
    logging.set_verbosity_error()  # its retries would be printed one by one
    if name.endswith(".safetensors"):
        say(f"Fetching {name} of {reference}.")
    try:
        return Path(hf_hub_download(repository, name)).stat().st_size
    except Exception as problem:
        raise unreachable(problem, reference) from problem


def unreachable(problem: Exception, reference: str) -> ModelError:
    """The error for what the hub's client raised, in words that say what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    said = (str(problem).splitlines() or [""])[0][:160]
    if isinstance(problem, GatedRepoError):
        return ModelError(f"{reference} is gated: accept its terms on the hub and log in, or choose another model.")
    if isinstance(problem, RepositoryNotFoundError):
        return UnknownModel(f"The hub has no public repository for {reference}; check the spelling.")
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{type(problem).__name__}: {said}"
    way = "unset it" if constants.HF_HUB_OFFLINE else "connect to the network"
    return ModelError(
        f"{reference} is not on this machine and the hub cannot be asked ({why}). To fetch it, {way} and run again: "
        f"headstart models fetch {reference}. headstart models --here lists what is on this machine."
    )
