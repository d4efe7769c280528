"""headstart resume: go on after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, show_record, show_search, spoken

ORDER = 50
EPILOG = "Example:  headstart resume runs/3"


def resume(run: Annotated[Path, typer.Argument(help="An interrupted run folder, or that of a search.")], as_json: Json = False) -> None:
    """Go on with an interrupted run; it ends like an uninterrupted one."""
    from headstart import fitting, runs

    searching = (run / runs.SEARCH).is_file()
    with spoken(as_json, run, together=not searching):
        if searching:
            from headstart import search

            show_search(search.resume(run), as_json)
            return
        show_record(fitting.resume(run), as_json)
