"""What a checkpoint belongs to: a training goes on only with the data and the settings that it began with."""

from __future__ import annotations

import hashlib
from typing import Any

from headstart.data.dataset import Dataset, content, content_key
from headstart.data.split import Split
from headstart.errors import RunError


def of_data(name: str, dataset: Dataset) -> dict[str, Any]:
    """Facts about samples, their order and labels; the digest reads them all, as an epoch does."""
    digest = hashlib.blake2b(digest_size=8)
    for item in dataset.items:
        digest.update(content_key(content(item)))
    labels = hashlib.blake2b(repr(list(dataset.labels or [])).encode(), digest_size=8)
    return {
        f"{name} samples": len(dataset),
        f"{name} content": digest.hexdigest(),
        f"{name} labels": labels.hexdigest(),
    }


def of_split(split: Split) -> dict[str, Any]:
    """Facts about what a split trains and chooses on."""
    found = of_data("training", split.train) | of_data("validation", split.valid)
    for name, (part, _) in split.helpers.items():
        found |= of_data(f"helper {name}", part)
    return found


def refuse_others(before: dict[str, Any], now: dict[str, Any], where: str) -> None:
    """
    Raises:
        RunError: a checkpoint belongs to another training; the message says in what they differ.
    """
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        found = "; ".join(f"{name}: {before.get(name)} there, {now.get(name)} here" for name in names)
        raise RunError(f"{where} holds the beginning of another training and cannot be gone on with: {found}. Restore "
                       "the data and the settings it began with, or begin anew with another --out.")  # fmt: skip
