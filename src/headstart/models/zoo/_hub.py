"""Files of the Hugging Face hub: from the local cache where they are there, else fetched once."""

from __future__ import annotations

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
