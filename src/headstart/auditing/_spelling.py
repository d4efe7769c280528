"""Which names are one name written in several ways; and the labels as they are meant."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence


def spelling(name: str) -> str:
    """The name without case, Unicode form, white space, hyphens and punctuation around it."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    joined = re.sub(r"[\s_\-]+", " ", plain).strip(" .,;:!?'\"")
    return joined or plain


def words(name: str) -> tuple[str, ...]:
    """Its words, whatever their order."""
    return tuple(sorted(re.findall(r"\w+", spelling(name)))) or (name,)


def alike(counts: Mapping[str, int], form: Callable[[str], object]) -> list[list[str]]:
    """Groups of two or more names of one form, the commonest spelling of each first."""
    groups = defaultdict(list)
    for name in counts:
        groups[form(name)].append(name)
    return [sorted(names, key=lambda name: (-counts[name], name)) for names in groups.values() if names[1:]]


def are_letters(group: Sequence[str]) -> bool:
    """'a' and 'A' may well be two classes: of handwritten letters, of grades."""
    return all(len(name) == 1 for name in group)


def meant(names: Sequence[str]) -> list[str]:
    """The names with each spelling replaced by the commonest one of its group; single letters stay."""
    groups = [group for group in alike(Counter(names), spelling) if not are_letters(group)]
    best = {name: group[0] for group in groups for name in group}
    return [best.get(name, name) for name in names]
