"""headstart compare: does it pay?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.errors import ConfigError
from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, listed, spoken

ORDER = 8
EPILOG = (
    "Examples:  headstart compare photos/ --shots 5,20,all --seeds 3  |  headstart compare photos/ --models embedded:image "
    "--approaches probe,finetune:epochs=4 --out comparisons/photos"
)


def compare(
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    approaches: Annotated[str, typer.Option(help="Joined by commas; settings behind colons: finetune:epochs=4.")] = (
        "probe,finetune,scratch"
    ),
    models: Annotated[str, typer.Option(help="References joined by commas (default: the one that fit takes).")] = "",
    shots: Annotated[str, typer.Option(help="Training samples a class, joined by commas; all for all.")] = "5,20,all",
    seeds: Annotated[int, typer.Option(help="How many; each has a split of its own.")] = 3,
    out: Annotated[Path | None, typer.Option(help="The folder; what is in it already is not computed again.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Compare approaches at growing numbers of labels: which pays from when on, and is the pretrained start worth it?"""
    from headstart.trials.compare import compare as compare_approaches

    with spoken(as_json):
        chosen = [entry.strip() for entry in approaches.split(",") if entry.strip()]
        found = compare_approaches(
            data, chosen, listed(models), shots=[_size(entry) for entry in shots.split(",")], seeds=seeds, out=out,
            on_bad=on_bad, labels=labels, paths=paths, text=text, group=group, modality=modality,
        )  # fmt: skip
        print(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found)
        if not as_json:
            print(f"report: {Path(found.folder) / 'comparison.html'}")


def _size(text: str) -> int | None:
    if text.strip() == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--shots {text}: expected numbers of samples a class, or all, such as 5,20,all") from None
