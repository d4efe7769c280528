"""One pass over all samples: which cannot be read, and which are copies or near-copies of each other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset, content, content_key
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError
from headstart.progress import track

CHUNK = 256  # samples whose bytes are held at once
BLOCK = 1024  # rows of one matrix product


class BlobStore(Protocol):
    """What ``scan`` needs of a store of small blobs."""

    def get_many(self, space: str, keys: list[bytes]) -> dict[bytes, bytes]: ...

    def put_many(self, space: str, blobs: dict[bytes, bytes]) -> None: ...


@dataclass(frozen=True)
class Scan:
    """What one pass over n samples found.

    Attributes:
        keys: n content keys of 16 bytes; b"" where the bytes themselves cannot be read.
        fingerprints: float32 of shape (n, width), 0 where a sample is blank or unreadable.
        unreadable: index -> reason of each sample that cannot be decoded.
        threshold: the inner product of fingerprints from which on two samples are copies.
        decoded: how many samples were decoded, that is, were not known from an earlier scan.
    """

    keys: tuple[bytes, ...]
    fingerprints: np.ndarray
    unreadable: dict[int, str]
    threshold: float
    decoded: int = 0


def scan(dataset: Dataset, store: BlobStore | None = None) -> Scan:
    """Read every sample once, and decode those at a small size whose fingerprint is not in the store yet."""
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    ranges = [range(i, min(i + CHUNK, len(dataset))) for i in range(0, len(dataset), CHUNK)]
    with ThreadPoolExecutor(4) as pool:
        work = track(ranges, "looking for copies and damaged files")
        chunks = [_scan_chunk(dataset, rows, modality, store, pool) for rows in work]
    prints = [vector for chunk in chunks for vector in chunk[1]]
    width = next((len(vector) for vector in prints if vector is not None), 1)
    blank = np.zeros(width, np.float32)
    rows = [blank if vector is None else vector for vector in prints]
    return Scan(
        keys=tuple(key for chunk in chunks for key in chunk[0]),
        fingerprints=np.stack(rows) if rows else np.zeros((0, width), np.float32),
        unreadable={i: reason for chunk in chunks for i, reason in chunk[2].items()},
        threshold=modality.fingerprint_threshold,
        decoded=sum(chunk[3] for chunk in chunks),
    )


Chunk = tuple[list[bytes], list[np.ndarray | None], dict[int, str], int]


def _scan_chunk(
    dataset: Dataset, rows: range, modality: Modality, store: BlobStore | None, pool: ThreadPoolExecutor
) -> Chunk:
    """Keys, fingerprints, reasons and the number of decoded samples of ``rows``."""

    def load(row: int) -> tuple[bytes, bytes | np.ndarray | None]:
        item = dataset.items[row]
        try:
            raw = content(item)
        except OSError:
            return b"", None
        return content_key(raw), item if isinstance(item, np.ndarray) else raw

    def describe(row: int) -> np.ndarray | str:
        item = loaded[row][1]
        try:
            return modality.fingerprint(dataset.items[row] if item is None else item, dataset.names[row])
        except UnreadableError as problem:
            return str(problem).removeprefix(f"{dataset.names[row]} cannot be read as a picture: ")

    loaded = dict(zip(rows, pool.map(load, rows), strict=True))
    keys = [loaded[row][0] for row in rows]
    space = modality.fingerprint_space
    known = store.get_many(space, [key for key in dict.fromkeys(keys) if key]) if store else {}
    missing = [row for row in rows if loaded[row][0] not in known]
    fresh = dict(zip(missing, pool.map(describe, missing), strict=True))
    vectors = {row: value for row, value in fresh.items() if isinstance(value, np.ndarray)}
    if store and vectors:
        store.put_many(space, {loaded[row][0]: vector.astype("<f4").tobytes() for row, vector in vectors.items()})
    prints = [
        np.frombuffer(known[key], "<f4") if key in known else vectors.get(row)
        for row, key in zip(rows, keys, strict=True)
    ]
    return keys, prints, {row: why for row, why in fresh.items() if isinstance(why, str)}, len(missing)


def clusters(scan: Scan) -> np.ndarray:
    """The cluster of each sample, int64 of shape (n,); copies and near-copies share one, others stand alone.

    Copies have equal contents; near-copies have fingerprints whose inner product reaches the threshold. A
    blank sample has exact copies only. Blocks of 1024 rows are compared, so that memory stays at 1024 x n.
    """
    keys = [key or f"unreadable {i}".encode() for i, key in enumerate(scan.keys)]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    exact = np.array([first[key] for key in keys], dtype=np.int64)
    alone = np.flatnonzero(np.any(scan.fingerprints, axis=1) & (exact == np.arange(len(exact))))
    rows, near = scan.fingerprints[alone], np.arange(len(alone))
    for start in range(0, len(alone), BLOCK):
        hits = np.argwhere(rows[start : start + BLOCK] @ rows[start:].T >= scan.threshold) + start
        links = hits[hits[:, 0] < hits[:, 1]]
        near = joined(near, np.append(links, np.stack([np.arange(len(near)), near], axis=1), axis=0))
    representative = np.arange(len(exact))
    representative[alone] = alone[near]
    return joined(representative[exact], np.zeros((0, 2), np.int64))


def joined(labels: np.ndarray, links: np.ndarray) -> np.ndarray:
    """Groups of n things that share a label or are linked, each named by the first thing in it.

    Args:
        labels: integers of shape (n,).
        links: pairs of indices of shape (m, 2).

    Returns:
        int64 of shape (n,): the index of the first thing of the same group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(labels):
        return np.zeros(0, np.int64)
    _, first, position = np.unique(labels, return_index=True, return_inverse=True)
    ends = np.append(np.stack([np.arange(len(labels)), first[position]], axis=1), links, axis=0)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(len(labels), len(labels)))
    component = connected_components(graph, directed=False)[1]
    _, start, place = np.unique(component, return_index=True, return_inverse=True)
    return start[place].astype(np.int64)


def drop_unreadable(dataset: Dataset, scan: Scan, on_bad: Literal["error", "skip"] | str) -> Dataset:
    """The samples that can be decoded; with "error" the whole ``dataset``, or an error if one cannot.

    Raises:
        UnreadableError: ``on_bad`` is "error" and there are unreadable samples, or none is readable.
    """
    if not scan.unreadable:
        return dataset
    names = [dataset.names[i] for i in scan.unreadable]
    listed = _listed([f"{dataset.names[i]} ({reason})" for i, reason in scan.unreadable.items()], 5)
    count = f"{len(names)} of {len(dataset)} samples cannot be read"
    if on_bad != "skip":
        raise UnreadableError(f"{count}: {listed}. Repair them, or use --on-bad skip to leave them out", names)
    if len(names) == len(dataset):
        raise UnreadableError(f"{count}, so none is left: {listed}", names)
    kept = (i for i in range(len(dataset)) if i not in scan.unreadable)
    return dataset.subset(kept).with_notes(f"{count} and were left out: {_listed(names, 20)}")


def _listed(entries: Sequence[str], limit: int) -> str:
    more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
    return ", ".join(entries[:limit]) + more
