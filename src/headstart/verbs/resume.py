"""headstart resume: go on after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, show_record, spoken

ORDER = 50
EPILOG = "Example:  headstart resume runs/3"


def resume(run: Annotated[Path, typer.Argument(help="An interrupted run folder.")], as_json: Json = False) -> None:
    """Go on with an interrupted run; it ends like an uninterrupted one."""
    from headstart import fitting

    with spoken(as_json, run):
        show_record(fitting.resume(run), as_json)
