"""Fine-tuning and what it forgets: train on the photos of amazon, test on the other three domains of office-caltech10.

    python benchmarks/robustness.py [--quick] [--seeds 0,1,2] [--epochs 8] [--side 224]

LP-FT (begin with a fitted head) against full fine-tuning (begin with a fresh one) and the probe, as in the paper (Kumar et al.
2022, arXiv 2202.10054): in distribution on held-out amazon photos, out of it on caltech10, dslr and webcam. Epochs are
chosen on amazon's validation photos; no photo of another domain is seen before the test.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import _shared as shared
from _shared import Goal, Report, Row

OTHERS = ("caltech10", "dslr", "webcam")


def measure(options: argparse.Namespace) -> Report:
    from headstart import models
    from headstart.approaches.finetune import FineTune
    from headstart.approaches.probe import Probe
    from headstart.data import Split, read
    from headstart.data.split import split
    from headstart.tasks.classification import Classification
    from headstart.training.run import Run, sow

    folder = shared.data_folder("office-caltech10")
    source = replace(read(folder / "amazon"), declared=None)
    others = {name: read(folder / name) for name in OTHERS}
    smaller = f"?input_size=3,{options.side},{options.side}&crop_fraction=1" if options.side != 224 else ""
    epochs = 1 if options.quick else options.epochs
    methods = {
        "probe": Probe(),
        "full, fresh head": FineTune(epochs=epochs, start="random"),
        "LP-FT": FineTune(epochs=epochs),
    }
    rows: list[Row] = []
    for seed in shared.numbers(options.seeds)[: 1 if options.quick else None]:
        parts = split(source, seed=seed)
        if options.quick:
            parts = Split(*(part.subset(range(0, len(part), 8)) for part in (parts.train, parts.valid, parts.test)))
        task = Classification.learn(parts.train.labels or [])
        for name, approach in methods.items():
            sow(seed, 0)
            backbone = models.load(f"{shared.weights_folder()}{smaller}")
            made = approach.fit(backbone, task, parts, Run(None, seed, stage=name))
            row: Row = {"seed": seed, "method": name, "amazon": shared.accuracy(made, parts.test)}
            row |= {other: shared.accuracy(made, data) for other, data in others.items()}
            row["out of distribution"] = shared.mean(row[other] for other in OTHERS)
            rows.append(row)
            shared.progress(", ".join(f"{key} {value}" for key, value in row.items()))
    columns = ("amazon", *OTHERS, "out of distribution")
    table: list[Row] = []
    for name in methods:
        mine = [row for row in rows if row["method"] == name]
        table.append({"method": name, **{column: shared.mean(row[column] for row in mine) for column in columns}})
    report = Report({f"Trained on amazon, {options.side} px, {epochs} epochs, means of {len(rows) // 3} seeds": table})
    by = {row["method"]: row for row in table}
    gain = by["LP-FT"]["out of distribution"] - by["full, fresh head"]["out of distribution"]
    report.goals.append(Goal("LP-FT less full fine-tuning, out of distribution", gain, 0.0))
    report.facts |= {"rows": rows}
    return report


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--side", type=int, default=224, help="Of the photos in pixels.")


if __name__ == "__main__":
    shared.main("robustness", __doc__, measure, extend)
