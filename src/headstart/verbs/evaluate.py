"""headstart evaluate: scores on other labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart.verbs import Json, Labels, OnBad, Paths, Text, print_scores, spoken

ORDER = 30
EPILOG = "Example:  headstart evaluate runs/3 other_photos/"


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder or a saved model.")],
    data: Annotated[str, typer.Argument(help="Labelled data, as for fit.")],
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    on_bad: OnBad = "error",
    as_json: Json = False,
) -> None:
    """Score a run's model on other labelled data."""
    from headstart import fitting

    with spoken(as_json):
        scores = fitting.evaluate(run, data, labels=labels, paths=paths, text=text, on_bad=on_bad)
        if as_json:
            print(json.dumps(scores, ensure_ascii=False))
            return
        print(f"{scores['samples']} samples of {scores['data']}")
        print_scores(scores)
        for name, row in scores.get("per_class", {}).items():
            print(f"  {name:24} precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}  "
                  f"({row['support']})")  # fmt: skip
