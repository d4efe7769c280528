"""headstart predict: labels for new files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, given, spoken

ORDER = 20
EPILOG = "Example:  headstart predict runs/3 new.jpg more/*.jpg  |  headstart predict runs/4 'It never arrived.'"


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder or a saved model.")],
    files: Annotated[list[str], typer.Argument(help="Files to classify; for a text model also texts themselves, for a model of rows tables.")],
    top: Annotated[int, typer.Option(help="How many classes to show for each file.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Class names with probabilities for new files."""
    from headstart import fitting

    with spoken(as_json):
        found = fitting.load(run).predict([given(file) for file in files])
        if as_json:
            rows = [{"name": p.name, "label": p.label, "probability": p.probability, "probabilities": p.probabilities,
                     "value": p.value} for p in found]  # fmt: skip
            print(json.dumps({"predictions": rows}, ensure_ascii=False))
            return
        for prediction in found:
            ranked = sorted(prediction.probabilities.items(), key=lambda entry: -entry[1])[:top]
            # where the answer is no single class (a number, several labels, a median grade) it stands in front
            answer = "" if ranked and prediction.probability is not None and prediction.label == ranked[0][0] else prediction.label
            if isinstance(prediction.value, dict):  # several tasks: the shares of one say nothing beside those of another
                ranked = []
            shares = "  ".join(f"{name} {share:.3f}" for name, share in ranked)
            print("  ".join(part for part in (prediction.name, answer, shares) if part))
