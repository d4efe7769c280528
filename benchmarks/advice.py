"""Advice against the truth: how often the approach advised first is within a point of the best on a grid of real comparisons.

python benchmarks/advice.py [--quick] [--work FOLDER] [--sets brain-mri,sst2,...] [--seeds 2]

The grid takes long; its cells are kept in the work folder, and a second run goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import _grid
import numpy as np
from _shared import Goal, Report, Row, main, progress


def measure(options: argparse.Namespace) -> Report:
    from dataclasses import replace

    import headstart as hs
    from headstart.data.duplicates import clusters, scan
    from headstart.data.split import split
    from headstart.trials.cells import label_of

    work = options.work or Path(tempfile.gettempdir()) / "headstart-advice"
    work.mkdir(parents=True, exist_ok=True)
    store, rows, found = hs.Store(work / "store.sqlite"), list[Row](), Report()
    for name in options.sets.split(";"):
        compared = _grid.grid(work, [name], options.seeds, (5,) if options.quick else None)[name]
        data = _grid.data(name)
        alike = clusters(scan(data, store))
        for size in dict.fromkeys(row["shots"] for row in compared.curves):
            truth = {row["approach"].partition(":")[0]: row["accuracy"] for row in compared.curves if row["shots"] == size}
            best = max(truth, key=lambda approach: truth[approach])
            for seed in range(options.seeds):
                cut = split(data, seed=seed, shots=int(size), clusters=alike)
                advice = hs.advise(replace(cut, valid=cut.valid if len(cut.valid) else cut.train), [_grid.model(name)],
                                   seed=seed, store=store)  # fmt: skip
                rows.append({
                    "set": name, "labels a class": label_of(int(size)), "seed": seed, **truth, "best": best, "advised": advice.approach,
                    "behind, points": 100 * (truth[best] - truth[advice.approach]), "because": advice.title,
                    "expected": f"{100 * advice.expected[0]:.0f} to {100 * advice.expected[1]:.0f}",
                    "inside": advice.expected[0] <= truth[advice.approach] <= advice.expected[1],
                })  # fmt: skip
                progress(f"{name}, {size} a class, seed {seed}: {rows[-1]}")
    within = [row["behind, points"] <= 1.0 for row in rows]
    found.tables["Advice and truth (mean accuracy over seeds)"] = rows
    fixed = {approach: float(np.mean([max(row[k] for k in ("probe", "finetune", "scratch")) - row[approach] <= 0.01 for row in rows]))
             for approach in ("probe", "finetune", "scratch")}  # fmt: skip
    found.tables["Within a point of the best"] = [{"always": name, "share": share} for name, share in fixed.items()] + [
        {"always": "as advised", "share": float(np.mean(within))}
    ]
    found.goals = [Goal("share of first choices within a point of the best, over the best fixed choice",
                        float(np.mean(within)) - max(fixed.values()), 0.0)]  # fmt: skip
    found.facts = {"inside the expected range": float(np.mean([row["inside"] for row in rows]))}
    return found


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=Path, default=os.environ.get("HEADSTART_WORK"), help="Folder for cells and features.")
    parser.add_argument("--sets", default=";".join(_grid.SHOTS), help="Joined by semicolons.")
    parser.add_argument("--seeds", type=int, default=2)


if __name__ == "__main__":
    main("advice", __doc__, measure, extend)
