"""headstart rank: which model suits the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, listed, spoken

ORDER = 6
EPILOG = (
    "Examples:  headstart rank photos/ --models embedded:image,timm:mobilenetv2_100.ra_in1k  |  "
    "headstart rank photos/ --search mobilenet --report ranking.html  |  headstart rank reviews.csv --text review  |  "
    "headstart rank photos/ --approach finetune"
)


def rank(
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    models: Annotated[str, typer.Option(help="References joined by commas (default: what is on this machine).")] = "",
    search: Annotated[str, typer.Option(help="Words: the models of the catalogue that they find.")] = "",
    seed: Annotated[int, typer.Option(help="Of the split, as for fit.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    approach: Annotated[str, typer.Option(help="What for: probe, or finetune: what stages before the last know counts, too.")] = "probe",
    report: Annotated[Path | None, typer.Option(help="Also write a page with everything that was measured.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Rank pretrained models by how well they suit labelled data, before any is trained."""
    from headstart.ranking.rank import rank as rank_models

    with spoken(as_json):
        found = rank_models(
            data, listed(models), search=search, seed=seed, shots=shots, on_bad=on_bad, labels=labels, paths=paths, text=text,
            group=group, modality=modality, approach=cast(Any, approach),
        )  # fmt: skip
        facts = found.to_dict()
        if report:
            from headstart.report.pages import write_page

            write_page("ranking", facts, report)
        print(json.dumps(facts, ensure_ascii=False) if as_json else found)
        if report and not as_json:
            print(f"report: {report}")
