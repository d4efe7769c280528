"""Key layouts: the names that a published checkpoint gives its tensors -> the names that our modules give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from headstart.errors import ModelError


def renamed(
    state: Mapping[str, Tensor], names: Mapping[str, str], family: str, *, ignored: Iterable[str] = ()
) -> dict[str, Tensor]:
    """The tensors of ``state`` under our names.

    Args:
        state: a published checkpoint.
        names: published name -> our name, for every tensor that the family needs.
        family: for the message.
        ignored: patterns of published names that a backbone has no use for (a vocabulary head, counters).

    Raises:
        ModelError: tensors are missing, or there are some that the layout does not know.
    """
    missing = sorted(set(names) - set(state))
    unknown = sorted(
        name for name in set(state) - set(names) if not any(re.fullmatch(pattern, name) for pattern in ignored)
    )
    if missing or unknown:
        raise ModelError(
            f"This is not a checkpoint of {family} in a layout that is known."
            + (f" Missing: {shortened(missing)}." if missing else "")
            + (f" Unknown: {shortened(unknown)}." if unknown else "")
            + " Use the checkpoint that the family's file names, converted to safetensors with its names unchanged."
        )
    return {ours: state[theirs] for theirs, ours in names.items()}


def numbered(state: Iterable[str], pattern: str) -> int:
    """How many there are of the numbered parts whose names ``pattern`` matches from the start; its group is the number."""
    found = [int(match.group(1)) for name in state if (match := re.match(pattern, name))]
    return max(found, default=-1) + 1


def shortened(names: list[str], most: int = 6) -> str:
    """The first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
