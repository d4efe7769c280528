"""The grid by which advice is judged: approaches at growing numbers of labels on several small sets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import _candidates
import _shared as shared
import numpy as np

if TYPE_CHECKING:
    from headstart.data import Dataset
    from headstart.trials.compare import Comparison

TESTS, POOL = 300, 900  # test samples, and samples to draw training and validation from, at the most
APPROACHES = ("probe", "finetune:epochs=6", "scratch:epochs=12")
SMALL = "embedded:image?input_size=3,48,48"  # small, so that the whole grid takes less than an hour on a core
SHOTS = {"clothing": (5, 20, 40), "mnist-m": (5, 20, 40), "usps": (5, 20, 40), "brain-mri": (5, 20, 50), "sst2": (5, 20, 60)}


def model(name: str) -> str:
    if _candidates.MODALITIES[name] == "image":
        return SMALL
    place = os.environ.get("HEADSTART_MINILM")
    if not place:
        raise shared.Skip("HEADSTART_MINILM does not name a folder with the checkpoint all-MiniLM-L6-v2")
    return f"transformers:{place}"


def data(name: str) -> Dataset:
    """A set with a declared test side, the same for every seed."""
    whole = _candidates.picked(_candidates._read(name), TESTS + POOL, 0)
    order = np.random.default_rng(1).permutation(len(whole))
    tests = set(order[: min(TESTS, len(whole) // 3)].tolist())
    return replace(whole, declared=["test" if i in tests else "train" for i in range(len(whole))])


def grid(
    work: Path, names: Iterable[str], seeds: int, shots: tuple[int, ...] | None = None
) -> dict[str, Comparison]:
    """Set -> its comparison; cells that are there already are not computed again."""
    import headstart as hs

    found = {}
    for name in names:
        folder = work / name.replace(" ", "_")
        found[name] = hs.compare(data(name), APPROACHES, [model(name)], shots=shots or SHOTS[name], seeds=seeds, out=folder)
    return found
