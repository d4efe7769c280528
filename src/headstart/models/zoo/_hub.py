"""Files of the Hugging Face hub: from the local cache where they are there, else fetched once."""

from __future__ import annotations

import math
from pathlib import Path

from headstart.errors import ModelError
from headstart.progress import say


def cached_or_fetched(repository: str, name: str, reference: str) -> Path:
    """The local path of a hub file; the network is asked only when the cache does not have it.

    Raises:
        ModelError: it is not cached and cannot be fetched; names the embedded model as the way out.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.utils import logging

    cached = try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return Path(cached)
    say(f"Fetching {reference} from the hub, once; later runs use the local copy.")
    logging.set_verbosity_error()  # its retries would be printed one by one
    try:
        return Path(hf_hub_download(repository, name))
    except Exception as problem:  # the hub client raises many kinds: no network, no such file, gated, full disk
        raise ModelError(
            f"{reference} is not on this machine and could not be fetched ({type(problem).__name__}: "
            f"{str(problem).splitlines()[0][:200]}). Connect to the network once, or use the model that comes with "
            "headstart and needs none: --model embedded:image."
        ) from problem


def cached_or_fetched_folder(repository: str, patterns: list[str], reference: str) -> Path:
    """The local folder of a hub repository; the network is asked only when the cache does not have it.

    Raises:
        ModelError: it is not cached and cannot be fetched; names the command that fetches it.
    """
    from huggingface_hub import snapshot_download, try_to_load_from_cache
    from huggingface_hub.utils import logging

    if isinstance(cached := try_to_load_from_cache(repository, "config.json"), str):
        folder = Path(cached).parent
        if any(folder.glob("*.safetensors")):
            return folder
    say(f"Fetching {reference} from the hub, once; later runs use the local copy.")
    logging.set_verbosity_error()  # its retries would be printed one by one
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except Exception as problem:  # the hub client raises many kinds: no network, no such repository, gated, full disk
        said = (str(problem).splitlines() or [""])[0][:200]
        raise ModelError(
            f"{reference} is not on this machine and could not be fetched ({type(problem).__name__}: {said}). "
            f"Connect to the network once and run: headstart models fetch {reference}; or name a folder that holds a "
            "model: --model FOLDER."
        ) from problem


def folders_here(most: float = math.inf) -> list[str]:
    """The repositories of the hub whose config.json is in the local cache and that take at most so many bytes there."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        found = scan_cache_dir().repos
    except (CacheNotFound, OSError, ValueError):
        return []
    held = [repo for repo in found if repo.repo_type == "model" and repo.size_on_disk <= most]
    return sorted(
        repo.repo_id for repo in held
        if any(file.file_name == "config.json" for revision in repo.revisions for file in revision.files)
    )  # fmt: skip
