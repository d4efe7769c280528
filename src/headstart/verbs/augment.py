"""headstart augment: what augmentations make of the data, and whether they help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, spoken

ORDER = 35
EPILOG = (
    "Examples:  headstart augment photos/ --preview  |  headstart augment photos/ --augment crop,flip,rotate:15  |  "
    "headstart augment reviews.csv --augment delete,synonym:0.2:source=words.txt --model my_model/  |  "
    "headstart augment sounds/ --no-measure"
)


def augment(
    data: Annotated[
        str,
        typer.Argument(help="Folder of class folders (pictures, texts or sounds), or a CSV, Parquet or JSONL file."),
    ],
    recipe: Annotated[
        str, typer.Option("--augment", help="Names with settings: crop,rotate:15. By default all that need no setting.")
    ] = "",
    model: Annotated[str, typer.Option(help="Whose features decide: zoo:name, a model folder, or auto.")] = "auto",
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Show samples in the page, or numbers alone.")
    ] = True,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Measure the effect on validation, or only show samples.")
    ] = True,
    out: Annotated[Path, typer.Option(help="The page to write; an older one is replaced.")] = Path("augment.html"),
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Show what augmentations make of the samples, measure each one's effect on validation, drop what hurts."""
    from headstart import augmenting

    with spoken(as_json):
        found = augmenting.augment(
            data, recipe, model, out=out, measure=measure, preview=preview, seed=seed, shots=shots, on_bad=on_bad,
            labels=labels, paths=paths, text=text, group=group, modality=modality,
        )  # fmt: skip
        facts = found.facts
        if as_json:
            print(json.dumps({**facts, "report": str(found.report)}, ensure_ascii=False))
            return
        for entry in facts["augmentations"]:
            print(entry["sentence"] or f"{entry['name']}: {entry['what']}")
        if facts["together"]:
            low, high = facts["together"]["interval"] or (float("nan"), float("nan"))
            print(f"{facts['together']['name']}: {100 * facts['together']['gain']:+.1f} points "
                  f"[{100 * low:.1f}, {100 * high:.1f}], loss {-facts['together']['eased']:+.3f}")  # fmt: skip
        if facts["model"]:
            advice = f"--set augment={found.recipe}" if found.recipe else "--set augment= (none)"
            print(f"train with: {advice}")
        print(f"report:  {found.report}  ({facts['seconds']:.0f} s)")
