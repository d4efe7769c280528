"""MinHash: which texts share most of their words, without comparing all pairs.

Broder 1997, On the resemblance and containment of documents. The share of equal entries of two signatures estimates the
Jaccard similarity of their sets; texts that agree in all entries of one band of the signature are proposed as a pair.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

BANDS, ROWS = 42, 3  # a pair of Jaccard similarity s is proposed with probability 1 - (1 - s^3)^42: 0.5 -> 0.996
PRIME = np.uint64((1 << 61) - 1)
CROWD = 50  # texts in one bucket, beyond which it holds boilerplate and is compared with its neighbours only


def signatures(sets: Sequence[Iterable[tuple[str, ...]]], seed: int = 0) -> np.ndarray:
    """uint64 (n, BANDS * ROWS): the least of each of as many random hashes over the elements of every set.

    An empty set has the largest value everywhere.
    """
    generator = np.random.default_rng(seed)
    factors = generator.integers(1, 1 << 31, BANDS * ROWS, dtype=np.uint64)
    offsets = generator.integers(0, 1 << 61, BANDS * ROWS, dtype=np.uint64)
    codes: dict[tuple[str, ...], int] = {}
    found = np.full((len(sets), BANDS * ROWS), np.iinfo(np.uint64).max, dtype=np.uint64)
    for row, entries in enumerate(sets):
        numbers = np.array([codes.setdefault(entry, _code(entry)) for entry in entries], dtype=np.uint64)
        if len(numbers):  # 30 bits times 31 bits plus 61 bits stays below 2^64
            found[row] = ((numbers[:, None] * factors + offsets) % PRIME).min(axis=0)
    return found


def proposals(found: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, that agree in at least one whole band."""
    pairs: set[tuple[int, int]] = set()
    empty = (found == np.iinfo(np.uint64).max).all(axis=1)
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        part = np.ascontiguousarray(found[:, band * ROWS : (band + 1) * ROWS])
        for i in np.flatnonzero(~empty):
            buckets[part[i].tobytes()].append(int(i))
        for rows in buckets.values():
            reach = len(rows) if len(rows) <= CROWD else 2
            pairs |= {(rows[i], j) for i in range(len(rows)) for j in rows[i + 1 : i + reach]}
    return pairs


def _code(entry: tuple[str, ...]) -> int:
    digest = hashlib.blake2b("\0".join(entry).encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) >> 2  # 30 bits
