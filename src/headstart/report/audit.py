"""``audit.html``: a self-contained page of what an audit found; it computes nothing.

As in the report of a run, the page loads nothing and runs nothing, and every name in it is escaped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headstart.report import wording

HARMLESS = re.compile(r"data:(image/(?:jpeg|png)|audio/ogg);base64,[A-Za-z0-9+/]+={0,2}")
SIGNS = {"error": "\N{BLACK UP-POINTING TRIANGLE}", "warning": "\N{BLACK DIAMOND}", "info": "\N{BLACK CIRCLE}"}
WHAT = {"error": "makes results wrong", "warning": "makes results worse or doubtful", "info": "good to know"}


def render(view: dict[str, Any]) -> str:
    """The page as text; the same view gives the same bytes."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = wording.duration
    environment.filters["harmless"] = _harmless
    environment.filters["facts"] = _facts
    template = environment.get_template("audit.html.j2")
    return template.render(view=view, headline=_headline(view), signs=SIGNS, what=WHAT)


def _harmless(value: Any) -> str:
    return value if isinstance(value, str) and HARMLESS.fullmatch(value) else ""


def _headline(view: dict[str, Any]) -> dict[str, str]:
    counts = view["counts"]
    parts = [f"{n} {level}{'s' if n != 1 and level != 'info' else ''}" for level, n in counts.items() if n]
    kind = next((level for level, n in counts.items() if n), "ok")
    title = {
        "error": "This would make results wrong",
        "warning": "Nothing is broken, but look at this",
        "info": "Nothing to worry about",
        "ok": "Nothing was found",
    }[kind]
    return {"kind": kind, "title": title, "sign": SIGNS.get(kind, "\N{CHECK MARK}"), "counts": ", ".join(parts)}


def _facts(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """The evidence of a finding as lines; long lists are cut."""
    return [(name.replace("_", " "), _said(value)) for name, value in evidence.items() if value not in (None, [], {})]


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        pairs = [f"{name} {_said(entry)}" for name, entry in value.items()]
        return ", ".join(pairs[:12]) + (f" and {len(pairs) - 12} more" if len(pairs) > 12 else "")
    if isinstance(value, (list, tuple)):
        entries = [_said(entry) for entry in value]
        return "; ".join(entries[:12]) + (f" and {len(entries) - 12} more" if len(entries) > 12 else "")
    return str(value)
