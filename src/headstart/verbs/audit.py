"""headstart audit: what is wrong with the data, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Kind, Labels, Paths, Text, spoken

ORDER = 5
EPILOG = (
    "Examples:  headstart audit photos/  |  headstart audit scans.csv --group patient --model timm:resnet18.a1_in1k  |  "
    "headstart audit photos/ --clean photos-clean/"
)


def audit(
    data: Annotated[str, typer.Argument(help="Labelled or unlabelled data, as for fit.")],
    model: Annotated[
        str, typer.Option(help="Whose features judge labels and neighbours: zoo:name, a model folder, auto, or none.")
    ] = "auto",
    clean: Annotated[
        Path | None, typer.Option(help="Write a cleaned copy of the data into this new folder, with changes.json.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audit.html and audit.json; by default the next free audits/N.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the folds of cross-validation.", min=0)] = 0,
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[
        str | None, typer.Option(help="Column (for a folder: pattern) of what belongs together: a patient, a speaker.")
    ] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Find copies, leakage, damaged files, wrong labels and the like; writes a report, and on request a cleaned copy."""
    from rich.console import Console

    from headstart import auditing, runs

    with spoken(as_json):
        found = auditing.audit(
            data, None if model == "none" else model, seed=seed, labels=labels, paths=paths, text=text, group=group,
            modality=modality,
        )  # fmt: skip
        page = found.save(out or runs.next_folder(Path("audits")))
        written = found.clean(clean) if clean else None
        if as_json:
            facts = {**found.to_dict(), "report": str(page)}
            if written:
                facts["cleaned"] = {"folder": str(written.folder), "samples": len(written.dataset),
                                    "changes": written.counts(), "notes": list(written.notes)}  # fmt: skip
            print(json.dumps(facts, ensure_ascii=False))
            return
        Console(highlight=False).print(found)
        print(f"report:  {page}  ({found.seconds:.0f} s)")
        if written:
            counts = ", ".join(f"{count} {action}" for action, count in written.counts().items()) or "nothing to change"
            print(
                f"cleaned: {written.folder}  ({len(written.dataset)} of {len(found.dataset)} samples; {counts}; see changes.json)"
            )
            for note in written.notes:
                print(f"note: {note}")
        elif found.changes:
            print(f"headstart audit {data} --clean FOLDER would make {len(found.changes)} changes in a copy.")
