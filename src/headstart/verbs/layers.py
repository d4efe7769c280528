"""headstart layers: at which depth the transfer lives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, spoken

if TYPE_CHECKING:
    from headstart.depths import Layers

ORDER = 16
EPILOG = (
    "Examples:  headstart layers photos/ --model timm:resnet18.a1_in1k  |  headstart layers photos/ --shots 20 --json  |  "
    "what it finds is used by  headstart fit photos/ --approach finetune --tuning auto"
)
BAR = 40  # characters


def layers(
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    model: Annotated[str, typer.Option(help="zoo:name, a model folder, or auto.")] = "auto",
    out: Annotated[Path, typer.Option(help="The page with the picture.")] = Path("layers.html"),
    seed: Annotated[int, typer.Option(help="Of the split and the folds.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Probe every stage of a model on labelled data: accuracy by depth, as a picture and for --tuning auto."""
    from headstart import depths

    with spoken(as_json):
        found = depths.layers(
            data, model, seed=seed, shots=shots, on_bad=on_bad, labels=labels, paths=paths, text=text, group=group,
            modality=modality,
        )  # fmt: skip
        page = found.write(out)
        if as_json:
            print(json.dumps({**found.to_dict(), "page": str(page)}, ensure_ascii=False))
            return
        show(found)
        print(f"picture: {page}")


def show(found: Layers) -> None:
    from headstart.tuning.auto import behind

    print(f"{found.model}: {found.samples} training samples of {found.classes} classes; linear probes, early to late")
    width = max(len(depth.stage) for depth in found.depths)
    for number, depth in enumerate(found.depths):
        low, high = depth.interval
        mark = "  <- as good as at any depth" if number == found.best else ""
        bar = "#" * round(BAR * depth.accuracy)
        print(f"  {depth.stage:{width}}  {depth.accuracy:.3f} [{low:.3f}, {high:.3f}]  {bar:{BAR}}{mark}")
    pairs = [(depth.accuracy, depth.error) for depth in found.depths]
    fast = "the last stage learns" if (count := behind(pairs)) == 1 else f"the last {count} stages learn"
    print(f"--tuning auto takes {found.tuning}: {fast} at the whole rate, the earlier ones slower")
