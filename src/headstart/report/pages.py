"""Pages beside the report of a run: a ranking, advice, a comparison. Each is a pure view of plain data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import RunError
from headstart.report import wording

TEMPLATES = Path(__file__).parent / "templates"


def render_page(name: str, facts: Mapping[str, Any]) -> str:
    """The template ``name`` filled with facts; names that come from data are escaped."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=ChainableUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    for view in (wording.percent, wording.points, wording.bracket, wording.duration):
        environment.filters[view.__name__] = view
    text = environment.get_template(f"{name}.html.j2").render(facts)
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(name: str, facts: Mapping[str, Any], path: Path) -> Path:
    """Write a page; a reader never sees half of it.

    Raises:
        RunError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    text = render_page(name, facts)
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise RunError(f"The page cannot be written to {path}: {problem}. Is its folder there and writable?") from problem
    return path
