"""headstart rerun: the same settings again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Out, show_record, spoken

ORDER = 60
EPILOG = "Example:  headstart rerun runs/3 --out runs/again"


def rerun(run: Annotated[Path, typer.Argument(help="A run folder.")], out: Out = None, as_json: Json = False) -> None:
    """Repeat a run from its run.toml into a new folder."""
    from headstart import fitting, runs

    folder = out or runs.next_folder(run.resolve().parent)
    with spoken(as_json, folder, together=True):
        show_record(fitting.rerun(run, folder), as_json)
