"""Dataset: samples that are read when they are needed, with their labels, groups and declared splits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording in memory.

    Attributes:
        samples: mono, float32 of shape (n,), full scale is 1.
        rate: samples a second (Hz).
    """

    samples: np.ndarray
    rate: int

    @property
    def nbytes(self) -> int:
        return int(self.samples.nbytes)

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate if self.rate else 0.0


Row = Mapping[str, float | str | None]
"""The features of one row of a table: numbers, categories, and None where a value is missing."""

Value = np.ndarray | str | Sound | Mapping
"""A decoded sample: a picture, a text, a recording or a row."""

Item = Path | bytes | np.ndarray | str | Sound | Row
"""One raw sample: a file, its encoded bytes (a picture inside a Parquet file, say), or the value itself.

A ``str`` is a text, never the path of one: paths are ``Path``.
"""


@dataclass(frozen=True)
class Dataset:
    """An ordered set of samples of one modality. Nothing is decoded until somebody asks.

    Attributes:
        items: n raw samples, see ``Item``.
        names: n strings that tell a person which sample this is (a path relative to the data, a row number).
        labels: n class names, or None where the data set carries no labels.
        modality: "image", "text", "audio" or "table": the name of a module in ``headstart.data.modalities``.
        groups: n group names (patient, speaker): samples of one group never stand on two sides of a split.
        declared: n split names out of "train", "valid", "test" where the data brings its own, else None.
        origin: what the user gave, for messages and the report.
        notes: what happened while reading that the user must know (merged labels, skipped files).
    """

    items: Sequence[Item]
    names: Sequence[str]
    labels: Sequence[str] | None
    modality: str
    groups: Sequence[str] | None = None
    declared: Sequence[str] | None = None
    origin: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for column in ("names", "labels", "groups", "declared"):
            value = getattr(self, column)
            if value is not None and len(value) != len(self.items):
                raise ValueError(f"{column} has {len(value)} entries for {len(self.items)} items")

    def __len__(self) -> int:
        return len(self.items)

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The samples at ``indices``, in that order."""
        chosen = [int(i) for i in indices]

        def pick(column: Sequence | None) -> list | None:
            return None if column is None else [column[i] for i in chosen]

        return replace(
            self,
            items=pick(self.items) or [],
            names=pick(self.names) or [],
            labels=pick(self.labels),
            groups=pick(self.groups),
            declared=pick(self.declared),
        )

    def without_labels(self) -> Dataset:
        """The same samples with no labels at all, so that no method can peek."""
        return replace(self, labels=None)

    def with_notes(self, *notes: str) -> Dataset:
        return replace(self, notes=(*self.notes, *notes))

    @property
    def classes(self) -> list[str]:
        """The distinct labels, sorted."""
        return sorted(set(self.labels or ()))

    def counts(self) -> dict[str, int]:
        """How many samples each class has, in the order of ``classes``."""
        tally = Counter(self.labels or ())
        return {label: tally[label] for label in self.classes}


def content(item: Item) -> bytes:
    """The bytes that tell a sample from every other: of the file, or of the value with its kind in front."""
    if isinstance(item, Path):
        return item.read_bytes()
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):  # half a surrogate pair cannot be encoded plainly, and is refused later, by name
        return b"\0headstart text\0" + item.encode("utf-8", "surrogatepass")
    if isinstance(item, Sound):
        samples = np.ascontiguousarray(item.samples, dtype="<f4")
        return f"\0headstart sound\0{item.rate} {samples.shape}\0".encode() + samples.tobytes()
    if isinstance(item, Mapping):
        row = {
            str(name): value if value is None or isinstance(value, str) else float(value)
            for name, value in item.items()
        }
        return b"\0headstart row\0" + json.dumps(row, sort_keys=True).encode()
    header = f"{item.dtype.str}{item.shape}".encode()
    return header + np.ascontiguousarray(item).tobytes()


def content_key(raw: bytes) -> bytes:
    """16 bytes of the SHA-256 digest, for which processors have instructions: equal contents have equal keys."""
    return hashlib.sha256(raw).digest()[:16]
