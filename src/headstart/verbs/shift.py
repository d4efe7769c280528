"""headstart shift: how far apart two data sets are, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.verbs import Json, Kind, Labels, OnBad, Paths, Text, browse, spoken

ORDER = 27
EPILOG = (
    "Examples:  headstart shift studio/ phone_photos/  |  headstart shift cleveland.csv hungary.csv --labels disease  |  "
    "headstart shift studio/ phone_photos/ --model timm:resnet18.a1_in1k --out studio_to_phone.html"
)


def shift(
    source: Annotated[str, typer.Argument(help="What a model learns from: a folder or a table, as for fit.")],
    target: Annotated[str, typer.Argument(help="What it will be used on; labels are not needed.")],
    model: Annotated[str, typer.Option(help="zoo:name, a model folder, or auto.")] = "auto",
    method: Annotated[
        str, typer.Option(help="Whose effect is shown: coral, linear_transport, subspace or tca.")
    ] = "coral",
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("shift.html"),
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
    target_labels: Annotated[
        bool, typer.Option("--target-labels", help="Compare the classes by the target's own labels, not by guesses.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Measure how far apart two data sets are, and where; ends with a report of both in one picture."""
    from headstart.comparing import measure_shift

    with spoken(as_json):
        found = measure_shift(
            source, target, model, method=method, seed=seed, use_target_labels=target_labels, on_bad=on_bad,
            labels=labels, paths=paths, text=text, modality=modality,
        )  # fmt: skip
        path = found.write(out)
        if as_json:
            short = {name: entry for name, entry in found.facts.items() if name != "map"}
            print(json.dumps({**short, "report": str(path)}, ensure_ascii=False))
            return
        _print(found.facts)
        print(f"report:  {path}  ({found.facts['seconds']:.0f} s)")
        if show:
            browse(path)


def _print(facts: dict[str, Any]) -> None:
    from headstart.report.shift import told_apart

    found = facts["distances"]
    print(f"{facts['source']['samples']} source and {facts['target']['samples']} target samples, {facts['dim']} features of "
          f"{facts['model']}")  # fmt: skip
    print(f"  told apart {100 * told_apart(found['proxy_a_distance']):.0f} % (proxy A-distance "
          f"{found['proxy_a_distance']:.2f})  MMD² {found['mmd']:.4g}, p {found['p_value']:.3f}  CORAL distance "
          f"{found['coral_distance']:.3g}")  # fmt: skip
    print(f"  {facts['num_shifted']} of {facts['dim']} features differ by more than chance; the most:")
    for row in facts["features"][:5]:
        print(
            f"    {row['feature'][:40]:40}  distance {row['distance']:.2f}  mean {_number(row['mean_difference'], '+')}"
        )
    for row in facts["classes"][:5]:
        print(f"    class {str(row['label'])[:34]:34}  distance {_number(row['distance'])}  share "
              f"{100 * row['source_share']:.0f} % -> {100 * row['target_share']:.0f} %")  # fmt: skip
    for line in facts["summary"]:
        print(line)


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.2f}"
