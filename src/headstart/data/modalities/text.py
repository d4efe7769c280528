"""Texts: a UTF-8 file, its bytes, or a ``str`` becomes a ``str``."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path

import numpy as np

from headstart.data.dataset import Item, Value
from headstart.data.modalities import Modality
from headstart.errors import UnreadableError

MAX_CHARACTERS = 5_000_000  # about 2,000 book pages; no model reads that much at once
EXCERPT = 200  # characters of a preview
SHINGLE = 3  # consecutive words
WIDTH = 256  # of a fingerprint
ALIKE = 0.9
# The inner product is about the cosine similarity of two sets of word triples, 0.9 of which is a Jaccard
# similarity of 0.82. One word changed in the middle of a text of n words leaves (n - 1) / (n + 2) of it, so
# that it makes a new text up to 28 words and a near-copy beyond. Measured on the 9,613 sentences of sst2 and
# the 13,083 questions of banking77 (median lengths 18 and 10 words): written in capitals, with other
# punctuation or other white space, all are found. Of all pairs, 13 and 58 are equal but for these, and 0 and
# 15 others pass: long questions with a word or two changed, each two of one intent.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W_]+|[^\w\s]")
# Chinese and Japanese put no spaces between words, so there each character counts as one.
PLACE = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)  # odd, arbitrary
MIX = np.uint64(0xD6E8FEB86659FD93)  # odd, arbitrary


class Text(Modality):
    """Plain text of any length and language."""

    noun = ("text", "texts")
    suffixes = frozenset((".txt", ".md", ".text"))
    fingerprint_space = "fingerprint-text-1"
    fingerprint_threshold = ALIKE

    def decode(self, item: Item, min_side: int | None = None, name: str | None = None) -> str:
        """The text as it stands, less a byte order mark; line endings become ``\\n``.

        Raises:
            UnreadableError: the file is missing, no UTF-8, holds NUL or nothing but white space, or is too long.
        """
        name = name or (str(item) if isinstance(item, Path) else "text")
        try:
            if not isinstance(item, (Path, bytes, str)):
                raise ValueError(f"it is a {type(item).__name__}; expected a file, bytes or a str")
            return _checked(item if isinstance(item, str) else _decoded(_raw(item)))
        except FileNotFoundError as problem:
            raise UnreadableError(f"{name} cannot be read as a text: there is no such file", [name]) from problem
        except (ValueError, OSError) as problem:
            raise UnreadableError(f"{name} cannot be read as a text: {problem}", [name]) from problem

    def preview(self, value: Value, side: int = 96) -> str:
        """The first 200 characters, white space as single spaces."""
        words = " ".join(str(value)[: 10 * EXCERPT].split())
        cut = len(words) > EXCERPT or len(str(value)) > 10 * EXCERPT
        return words[: EXCERPT - 1].rstrip() + "…" if cut else words

    def fingerprint(self, item: Item, name: str | None = None) -> np.ndarray:
        """256 float32: the set of word triples, hashed with signs (Weinberger et al. 2009, arXiv 0902.2206).

        Case, Unicode form, punctuation and white space do not count; currencies and emoji do. A text
        without a word or such a sign is all 0.
        """
        words = _words(self.decode(item, None, name))
        if not words:
            return np.zeros(WIDTH, dtype=np.float32)
        codes = {word: _code(word) for word in {*words, "\0"}}
        line = ["\0"] * (SHINGLE - 1) + words + ["\0"] * (SHINGLE - 1)
        row = np.array([codes[word] for word in line], dtype=np.uint64)  # (n + 4,)
        mixed = np.lib.stride_tricks.sliding_window_view(row, SHINGLE) * PLACE  # (n + 2, 3), modulo 2^64
        hashes = mixed.sum(axis=1, dtype=np.uint64)
        hashes = np.unique((hashes ^ (hashes >> np.uint64(32))) * MIX)
        signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
        places = (hashes >> np.uint64(32)) % np.uint64(WIDTH)
        vector = np.bincount(places.astype(np.int64), signs, WIDTH)
        length = float(np.linalg.norm(vector))
        return (vector / (length or 1.0)).astype(np.float32)


def _raw(item: Path | bytes) -> bytes:
    size = item.stat().st_size if isinstance(item, Path) else len(item)
    if size > 4 * MAX_CHARACTERS + 3:  # UTF-8 takes at most four bytes a character, and three for the mark
        raise ValueError(_too_long(f"{size:,} bytes"))
    return item.read_bytes() if isinstance(item, Path) else item


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        # Behind a byte order mark the codec counts from the mark's end.
        start = problem.start + (3 if raw.startswith(b"\xef\xbb\xbf") and len(problem.object) < len(raw) else 0)
        likely = "it looks like UTF-16; " if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise ValueError(
            f"it is no UTF-8 from byte {start} on (0x{raw[start]:02x}: {problem.reason}); {likely}save it as UTF-8"
        ) from problem


def _checked(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(_too_long(f"{len(text):,} characters"))
    if "\0" in text:
        raise ValueError(f"it holds a NUL at character {text.index(chr(0))}, so it is no plain text")
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise ValueError(f"it holds half a surrogate pair at character {problem.start}") from problem
    if not text.strip():
        raise ValueError("it holds no text" + ("" if text else " (it is empty)"))
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _too_long(size: str) -> str:
    return f"it has {size}, and the limit is {MAX_CHARACTERS:,} characters; cut it into chapters or passages"


def _words(text: str) -> list[str]:
    found = WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word for word in found if word.isalnum() or unicodedata.category(word[0]) in ("So", "Sc")]


def _code(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
