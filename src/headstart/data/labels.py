"""A label is a text. Where a sample has several (columns of a table), they stand in one text that can be taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

NONE = ("[]", "-")  # texts that say: none of the labels; an empty cell says that nobody knows


def joined(entries: Mapping[str, str | None]) -> str:
    """``{"fine": "3", "coarse": null}``: one label a column; None where it is missing."""
    return json.dumps(dict(entries), ensure_ascii=False)


def parted(label: str) -> dict[str, str | None] | None:
    """What ``joined`` put together, or None for a label that is a single one."""
    if not label.startswith("{"):
        return None
    try:
        found = json.loads(label)
    except ValueError:
        return None
    whole = isinstance(found, dict) and all(value is None or isinstance(value, str) for value in found.values())
    return found if whole and found else None


def columns(labels: Sequence[str]) -> dict[str, list[str | None]]:
    """Labels by column, each n long; ``{}`` where the labels are single ones."""
    rows = [parted(label) for label in labels]
    if not rows or any(row is None for row in rows):
        return {}
    names = dict.fromkeys(name for row in rows if row for name in row)
    return {name: [row.get(name) if row else None for row in rows] for name in names}
