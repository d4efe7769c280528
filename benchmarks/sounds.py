"""Sounds: YAMNet on esc10 (official folds), and on spoken digits with the speaker held out, beside mean log-mel spectra.

python benchmarks/sounds.py [--quick] [--parts esc10,digits]
"""

from __future__ import annotations

import argparse
import re
from typing import Any

import numpy as np
from _shared import Goal, Report, data_folder, linear_probe, main, weights_folder


def measure(options: argparse.Namespace) -> Report:
    import headstart as hs

    found = Report()
    chosen = options.parts.split(",")
    if "esc10" in chosen:
        data = hs.read(data_folder("esc10"))
        folds = np.array([re.search(r"(\d)-[^/]*$", name)[1] for name in data.names])  # type: ignore[index]
        rows = compare(data, folds, 2 if options.quick else 5)
        found.tables["esc10, accuracy by official fold"] = rows
        found.goals.append(Goal("YAMNet on esc10, mean of the folds", mean(rows, "YAMNet"), 0.95))
    if "digits" in chosen:
        data = hs.read(data_folder("spoken-digits"), labels=r"(\d)_[a-z]+_\d+", group=r"\d_([a-z]+)_\d+")
        if options.quick:
            data = data.subset(range(0, len(data), 10))
        rows = compare(data, np.array(data.groups), 2 if options.quick else 6)
        found.tables["spoken digits, accuracy on the speaker held out"] = rows
        found.facts["digits"] = {name: mean(rows, name) for name in ("YAMNet", "mean log-mel")}
    return found


def mean(rows: list[dict[str, Any]], who: str) -> float:
    return float(np.mean([row[who] for row in rows]))


def compare(data: Any, folds: np.ndarray, most: int) -> list[dict[str, Any]]:
    """One row a fold: train on the others, test on it; both by headstart's logistic head."""
    from dataclasses import replace

    from headstart import models
    from headstart.evaluation.raw.audio import spectrum_table
    from headstart.features.extract import extract

    table = extract(models.load(str(weights_folder("yamnet_mobilenetv1_100"))), data)
    tables = {"YAMNet": table, "mean log-mel": replace(table, vectors=spectrum_table(data))}
    rows = []
    for fold in sorted(set(folds))[:most]:
        row: dict[str, Any] = {"held out": str(fold)}
        for name, whole in tables.items():
            sides = [
                replace(whole, vectors=whole.vectors[rows_], labels=[whole.labels[i] for i in np.flatnonzero(rows_)])
                for rows_ in (folds != fold, folds == fold)
            ]
            row[name] = linear_probe(*sides)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main("sounds", __doc__, measure, lambda parser: parser.add_argument("--parts", default="esc10,digits"))
