"""headstart tune: search for the settings that do best on validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Kind, Kinds, Labels, OnBad, Out, Paths, Text, fail, seconds, show_search, spoken

ORDER = 15
EPILOG = (
    "Examples:  headstart tune photos/ --trials 30 --budget 10m  |  "
    "several processes on one search, each in its own terminal:  headstart tune photos/ --out runs/search  |  "
    "several machines:  headstart tune photos/ --storage postgresql://user@host/name"
)


def tune(
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    model: Annotated[str, typer.Option(help="zoo:name, a model folder, or auto.")] = "auto",
    trials: Annotated[int, typer.Option(help="Configurations to try, over all processes.")] = 30,
    budget: Annotated[
        str | None, typer.Option(help="Time for searching: 90s, 5m, 2h. The winner's fit comes on top.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="SQLAlchemy URL of the trials (default: study.sqlite in the run folder).")
    ] = None,
    out: Out = None,
    baseline: Annotated[str, typer.Option(help="For the winner: auto, or none (then no verdict).")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    task: Kinds = "auto",
    as_json: Json = False,
) -> None:
    """Try many settings on validation, then fit and test the best; interrupted or killed, it goes on where it was."""
    from headstart import runs, search

    folder = out or runs.next_folder()
    with spoken(as_json, folder):
        try:
            found = search.tune(
                data, model, trials=trials, budget=seconds(budget) if budget else None, storage=storage, out=folder,
                baseline=baseline, seed=seed, shots=shots, on_bad=on_bad, labels=labels, paths=paths, text=text,
                group=group, modality=modality, task=task,
            )  # fmt: skip
        except KeyboardInterrupt:
            again = (
                f"its trials are kept; go on with: headstart resume {folder}; or repeat the command with --out {folder}"
            )
            fail("interrupted" + (f"; {again}" if (folder / Path(runs.SEARCH)).exists() else ""), as_json, 130)
        else:
            show_search(found, as_json)
