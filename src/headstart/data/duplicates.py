"""One pass over all samples: which cannot be read, and which are copies or near-copies of each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from headstart import plugins
from headstart.data.dataset import Dataset, Item, content, content_key
from headstart.data.modalities import Modality, counted
from headstart.errors import UnreadableError
from headstart.progress import track

CHUNK = 256  # samples whose bytes are held at once
HELD = 16_000_000  # bytes: larger files are read again rather than held
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
        findings: what is odd about samples that can be decoded, such as "silent" -> their indices.
    """

    keys: tuple[bytes, ...]
    fingerprints: np.ndarray
    unreadable: dict[int, str]
    threshold: float
    decoded: int = 0
    findings: dict[str, list[int]] = field(default_factory=dict)


def scan(dataset: Dataset, store: BlobStore | None = None) -> Scan:
    """Read every sample once, and decode those whose fingerprint is not in the store yet (pictures at a small size)."""
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
        findings=_by_finding({i: found for chunk in chunks for i, found in chunk[4].items()}),
    )


def _by_finding(found: dict[int, list[str]]) -> dict[str, list[int]]:
    findings: dict[str, list[int]] = {}
    for i, each in found.items():
        for finding in each:
            findings.setdefault(finding, []).append(i)
    return findings


Chunk = tuple[list[bytes], list[np.ndarray | None], dict[int, str], int, dict[int, list[str]]]


def _scan_chunk(
    dataset: Dataset, rows: range, modality: Modality, store: BlobStore | None, pool: ThreadPoolExecutor
) -> Chunk:
    """Keys, fingerprints, reasons, the number of decoded samples and the findings of ``rows``."""

    def load(row: int) -> tuple[bytes, Item | None]:
        item = dataset.items[row]
        try:
            raw = content(item)
        except OSError:
            return b"", None
        if not isinstance(item, (Path, bytes)):
            return content_key(raw), item
        return content_key(raw), raw if len(raw) <= HELD else None

    def describe(row: int) -> tuple[np.ndarray, list[str]] | str:
        item, name = loaded[row][1], dataset.names[row]
        try:
            value = modality.decode(dataset.items[row] if item is None else item, modality.scan_side, name)
            return modality.fingerprint(value, name), modality.check(value)
        except UnreadableError as problem:
            return str(problem).removeprefix(f"{name} cannot be read as a {modality.noun[0]}: ")

    loaded = dict(zip(rows, pool.map(load, rows), strict=True))
    keys = [loaded[row][0] for row in rows]
    space = modality.fingerprint_space
    unique = [key for key in dict.fromkeys(keys) if key]
    known = store.get_many(space, unique) if store else {}
    odd = store.get_many(f"{space}-findings", [key for key in unique if key in known]) if store else {}
    missing = [row for row in rows if loaded[row][0] not in known]
    fresh = dict(zip(missing, pool.map(describe, missing), strict=True))
    vectors = {row: found[0] for row, found in fresh.items() if not isinstance(found, str)}
    findings = {row: json.loads(odd[loaded[row][0]]) for row in rows if loaded[row][0] in odd}
    news = {row: found[1] for row, found in fresh.items() if not isinstance(found, str) and found[1]}
    if store and news:  # before the fingerprints: a sample whose fingerprint is known is not checked again
        store.put_many(f"{space}-findings", {loaded[row][0]: json.dumps(found).encode() for row, found in news.items()})
    if store and vectors:
        store.put_many(space, {loaded[row][0]: vector.astype("<f4").tobytes() for row, vector in vectors.items()})
    prints = [
        np.frombuffer(known[key], "<f4") if key in known else vectors.get(row)
        for row, key in zip(rows, keys, strict=True)
    ]
    reasons = {row: why for row, why in fresh.items() if isinstance(why, str)}
    return keys, prints, reasons, len(missing), findings | news


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
    """The samples that can be decoded, with a note on each finding of the scan; with "error" all of ``dataset``, or
    an error if one cannot be decoded.

    Raises:
        UnreadableError: ``on_bad`` is "error" and there are unreadable samples, or none is readable.
    """
    if scan.findings:
        dataset = dataset.with_notes(*_findings(dataset, scan))
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


def _findings(dataset: Dataset, scan: Scan) -> list[str]:
    """``3 recordings are silent: a.wav, b.wav, c.wav``."""
    return [
        f"{counted(len(rows), dataset.modality)} {'are' if rows[1:] else 'is'} {finding}: "
        f"{_listed([dataset.names[i] for i in sorted(rows)], 5)}"
        for finding, rows in sorted(scan.findings.items())
    ]


def _listed(entries: Sequence[str], limit: int) -> str:
    more = f" and {len(entries) - limit} more" if len(entries) > limit else ""
    return ", ".join(entries[:limit]) + more
