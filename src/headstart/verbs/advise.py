"""headstart advise: when does transfer pay, and which approach first?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, listed, seconds, spoken

ORDER = 7
EPILOG = (
    "Examples:  headstart advise photos/  |  headstart advise photos/ --models embedded:image,timm:resnet18.a1_in1k "
    "--budget 5m --report advice.html"
)


def advise(
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    models: Annotated[str, typer.Option(help="References joined by commas (default: what is on this machine).")] = "",
    budget: Annotated[str | None, typer.Option(help="Time for adapting the model: 90s, 5m, 2h (default: 10m).")] = None,
    seed: Annotated[int, typer.Option(help="Of the split, as for fit.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a page with the tree and the path taken.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Say which approach to try first, what to expect, when not to transfer, and what would change that."""
    from headstart.advising.advise import advise as advise_on

    with spoken(as_json):
        found = advise_on(
            data, listed(models), budget=seconds(budget) if budget else None, seed=seed, shots=shots, on_bad=on_bad,
            labels=labels, paths=paths, text=text, group=group, modality=modality,
        )  # fmt: skip
        facts = found.to_dict()
        if report:
            from headstart.report.pages import write_page

            write_page("advice", {**facts, "origin": data}, report)
        print(json.dumps(facts, ensure_ascii=False) if as_json else found)
        if report and not as_json:
            print(f"report: {report}")
