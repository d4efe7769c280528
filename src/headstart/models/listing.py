"""The catalogue in words: a table for a terminal or a pipe, and one entry in full."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any, TextIO

from headstart.models.catalog import Entry, Wanted, here
from headstart.models.hub import Fetched

NARROW = 100  # columns; a narrower terminal leaves out the licence and the family
UNLIMITED = 240  # columns of what is piped, so that no line is folded and grep finds whole rows
MOST_LISTED = 25  # rows from timm's list on a terminal


def table(found: list[Entry], wanted: Wanted, out: TextIO | None = None) -> None:
    """Print the entries: grouped by modality on a terminal, one plain line each in a pipe."""
    from rich.console import Console
    from rich.table import Table

    out = out or sys.stdout
    terminal = out.isatty()
    console = Console(file=out, highlight=False, width=None if terminal else UNLIMITED)
    wide = console.width >= NARROW
    mark = "yes" if console.options.ascii_only else "✓"
    grid = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("reference", overflow="fold")
    if wide:
        grid.add_column("family", no_wrap=True)
    for title in ("params", "width", "published"):
        grid.add_column(title, justify="right", no_wrap=True)
    if wide:
        grid.add_column("licence", no_wrap=True)
    grid.add_column("here", justify="center", no_wrap=True)
    shown = shortened(found) if terminal else found
    modality = ""
    for entry in shown:
        if terminal and entry.modality != modality:
            modality = entry.modality
            grid.add_row(f"[bold]{modality}[/bold]")
        row = [entry.reference]
        row += [entry.family] * wide + [
            "*" if entry.listed else amount(entry.parameters),
            str(entry.features or ""),
            figure(entry),
        ]
        grid.add_row(*row, *([entry.license] * wide), mark if here(entry.reference) else "")
    if shown:
        console.print(grid)
    for line in footer(found, shown, wanted, wide):
        Console(file=out if terminal else sys.stderr, highlight=False, soft_wrap=True).print(line, markup=False)


def shortened(found: list[Entry]) -> list[Entry]:
    """Every hand-checked entry and the first of those that timm lists."""
    listed = [entry for entry in found if entry.listed]
    left_out = {entry.reference for entry in listed[MOST_LISTED:]}
    return [entry for entry in found if entry.reference not in left_out]


def footer(found: list[Entry], shown: list[Entry], wanted: Wanted, wide: bool) -> list[str]:
    """What the table does not say: what was left out, and what to do next."""
    lines = [f"{len(found)} models" if len(found) != 1 else "1 model"]
    lines[0] += (
        "; width: features a sample; published: the figure of its authors or its library, on other data than yours"
    )
    if not found:
        lines = ["No model in the catalogue fits. headstart models lists all; headstart models fetch takes any "
                 "repository of the hub: transformers:ORGANISATION/NAME."]  # fmt: skip
    if any(entry.listed for entry in shown):
        lines.append("* from timm's list, not checked by hand: headstart models show REF counts the parameters")
    if len(shown) < len(found):
        lines.append(f"{len(found) - len(shown)} more from timm's list: narrow the search, or --json for all")
    if wanted.max_parameters is not None and wanted.search:
        lines.append("--max-params leaves out what is of unknown size, such as all that comes from timm's list")
    if not wide:
        lines.append(f"licence and family: with {NARROW} columns or more, or headstart models show REF")
    if found:
        lines.append("all facts: headstart models show REF    for use offline: headstart models fetch REF")
    return lines


def page(entry: Entry) -> str:
    """All that is known of one model, and the command that uses it."""
    size = f"{entry.megabytes:,.0f} MB in float32" if entry.megabytes and entry.megabytes >= 10 else (
        f"{entry.megabytes:.1f} MB in float32" if entry.megabytes else "")  # fmt: skip
    published = f"{entry.accuracy:g} {entry.metric} ({entry.measured})" if entry.accuracy is not None else ""
    rows = [
        ("family", entry.family), ("modality", entry.modality), ("pretrained on", entry.pretrained_on),
        ("parameters", f"{entry.parameters:,}" if entry.parameters else ""), ("size", size),
        ("features", str(entry.features or "")), ("input", entry.input), ("licence", entry.license),
        ("paper", f"https://arxiv.org/abs/{entry.paper}" if entry.paper else ""),
        ("published", published), ("", f"from: {entry.accuracy_source}" if published else ""),
        ("popularity", entry.popularity), ("weights", entry.weights), ("note", entry.note), ("source", entry.source),
        ("here", "yes" if here(entry.reference) else f"no; {way_here(entry)}"),
    ]  # fmt: skip
    unknown = [name for name, value in rows if name and not value and name not in ("weights", "note")]
    text = [entry.reference, *(f"  {name:14} {value}" for name, value in rows if value)]
    if unknown:
        text.append(f"  {'not known':14} {', '.join(unknown)}")
    return "\n".join([*text, "", f"  {entry.command}"])


def way_here(entry: Entry) -> str:
    if entry.weights:
        return "its weights have to be converted once"
    if entry.zoo == "keras":
        return "Keras fetches it at the first use, into a folder of its own, which is not looked into"
    return f"headstart models fetch {entry.reference}"


def facts(entry: Entry) -> dict[str, Any]:
    """An entry for --json; what is not known is null."""
    own = {field.name: getattr(entry, field.name) for field in fields(entry) if field.name != "file"}
    known = {name: None if value == "" else value for name, value in own.items()}
    return {**known, "megabytes": entry.megabytes, "here": here(entry.reference), "command": entry.command}


def fetched(result: Fetched) -> str:
    """Where a model is now, and how big."""
    came = f"{result.new / 1e6:,.1f} MB came now" if result.new else "all of it was there already and is whole"
    return f"{result.reference} is on this machine: {result.size / 1e6:,.1f} MB, {came}\n  {result.place}"


def amount(parameters: int | None) -> str:
    """2.5M, 138M; empty where unknown."""
    if parameters is None:
        return ""
    return f"{parameters / 1e6:.1f}M" if parameters < 99.95e6 else f"{parameters / 1e6:.0f}M"


def figure(entry: Entry) -> str:
    if entry.accuracy is None:
        return ""
    return f"{entry.accuracy:.1f} {entry.metric}" if entry.accuracy >= 10 else f"{entry.accuracy:g} {entry.metric}"


def count(text: str) -> float:
    """``30M``, ``1.2B``, ``500k`` or a plain number of parameters.

    Raises:
        ConfigError: it is none of these, or not positive.
    """
    from headstart.errors import ConfigError

    unit = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower())
    try:
        value = float(text[:-1]) * unit if unit else float(text.replace("_", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"--max-params {text}: expected a positive number such as 30M, 1.2B or 500k")
    return value
