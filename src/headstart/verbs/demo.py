"""headstart demo: the main job on handwritten digits."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.verbs import Json, Out, browse, show_record, spoken

ORDER = 80
EPILOG = "Example:  headstart demo"


def demo(
    out: Out = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """See the main job on scikit-learn's handwritten digits: no data, no network, under three minutes."""
    from headstart import demonstration, runs

    folder = out or runs.next_folder()
    with spoken(as_json, folder, together=True):
        record = demonstration.demo(folder)
        show_record(record, as_json)
        if show and not as_json:
            browse(record.folder / "report.html")
