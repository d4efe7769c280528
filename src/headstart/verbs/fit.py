"""headstart fit: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.errors import ConfigError
from headstart.verbs import Json, Kind, Kinds, Labels, OnBad, Out, Paths, Text, parsed, seconds, show_record, spoken

ORDER = 10
EPILOG = (
    "Examples:  headstart fit photos/  |  headstart fit photos.csv --labels kind --group patient  |  "
    "headstart fit photos/ --model timm:resnet18.a1_in1k --approach finetune --set epochs=5 --out runs/flowers  |  "
    "headstart fit studio/ --target phone_photos/  |  headstart fit --data films.csv --data bank=questions/"
)


def fit(
    data: Annotated[
        str | None,
        typer.Argument(help="Folder of class folders (pictures, texts or sounds), or a CSV, Parquet or JSONL file."),
    ] = None,
    several: Annotated[
        list[str] | None,
        typer.Option("--data", help="A data set that shares the model with others, each a task: PATH or NAME=PATH; repeat it."),
    ] = None,
    model: Annotated[str, typer.Option(help="zoo:name, a model folder, or auto.")] = "auto",
    approach: Annotated[
        str, typer.Option(help="auto, probe, finetune, scratch or distill; with --target auto, dann, coral and others.")
    ] = "auto",
    target: Annotated[
        str | None, typer.Option(help="Samples of another domain to adapt to; labels there serve the verdict, unless --target-labels says more.")
    ] = None,
    target_labels: Annotated[
        str, typer.Option(help="What labels of the target are for: judge (the verdict), or learn (from half of them).")
    ] = "judge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of the approach: name=value.")] = None,
    tuning: Annotated[
        str | None,
        typer.Option(help="Of finetune: full, last:2, gradual, norms, lora:8, stages:NAME, surgical, or auto (see layers)."),
    ] = None,
    out: Out = None,
    baseline: Annotated[str, typer.Option(help="auto, or none to skip the baselines (then no verdict).")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for adapting the model: 90s, 5m, 2h.")] = None,
    on_bad: OnBad = "error",
    waive: Annotated[
        list[str] | None, typer.Option(help="Go on in spite of the errors of this check of the audit, such as labels.")
    ] = None,
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    task: Kinds = "auto",
    helper: Annotated[
        list[str] | None,
        typer.Option(help="Trained beside a small target, never scored: NAME=DATA (labelled), rotation (pictures) or masked (texts); repeat it."),
    ] = None,
    together: Annotated[
        str, typer.Option(help="Which of several tasks share a model: all, or auto: short runs find those that are better apart.")
    ] = "all",
    as_json: Json = False,
) -> None:
    """Adapt a model to labelled data; ends with a verdict, a report and a run folder."""
    from headstart import fitting, runs

    folder = out or runs.next_folder()
    with spoken(as_json, folder, together=True):
        chosen = {"name": approach, **parsed(settings or []), **({"tuning": tuning} if tuning else {})}
        if tuning and approach == "auto":
            chosen["name"] = "finetune"  # no other approach has tunings
        if (data is None) == (not several):
            raise ConfigError("fit takes one data set as its argument, or several as --data NAME=PATH --data NAME=PATH")
        record = fitting.fit(
            data if data is not None else several, model, chosen, out=folder, baseline=baseline, seed=seed, shots=shots,
            budget=seconds(budget) if budget else None, on_bad=on_bad, waive=tuple(waive or ()), labels=labels, paths=paths, text=text, group=group,
            modality=modality, task=task, together=together, helper=helper, target=target, target_labels=target_labels,
        )  # fmt: skip
        show_record(record, as_json)
