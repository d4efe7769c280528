"""headstart report: the report again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, browse, spoken

ORDER = 40
EPILOG = "Example:  headstart report runs/3 --no-open"


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or that of a search.")],
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Write a run's report.html anew and open it."""
    from headstart import runs
    from headstart.report import render, search

    with spoken(as_json):
        if (run / runs.SEARCH).is_file():
            path = search.write(run)
        else:
            runs.read_result(run)
            path = render.write(run)
        if as_json:
            print(json.dumps({"run": str(run), "report": str(path)}))
            return
        print(path)
        if show:
            browse(path)
