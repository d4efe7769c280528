"""Ranking real candidates on real data: every scorer and the final order of ``rank`` against what training them shows.

python benchmarks/ranking.py [--quick] [--work FOLDER] [--sets clothing,esc10,...] [--tuned]

The truth takes long and is kept in the work folder: a second run goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import _candidates
import _truth
import numpy as np
from _shared import Goal, Report, Row, main, mean, progress

if TYPE_CHECKING:
    from headstart.data import Split
    from headstart.ranking.result import Ranking
    from headstart.store import Store

SETS = ("clothing", "mnist-m", "usps", "brain-mri", "sst2", "banking77, 20 intents", "esc10", "spoken digits")
FINAL = "headstart rank, final order"
TUNING = "headstart rank --approach finetune, final order"


def measure(options: argparse.Namespace) -> Report:
    from headstart.store import Store

    work = options.work or Path(tempfile.gettempdir()) / "headstart-ranking"
    work.mkdir(parents=True, exist_ok=True)
    names = options.sets.split(";")[: 1 if options.quick else None]
    rows = 60 if options.quick else None
    known = _truth.truth(work, names, options.seed, tuned=options.tuned, rows=rows)
    store, found = Store(work / "store.sqlite"), Report()
    taus: dict[str, dict[str, float | None]] = {}
    tuned: dict[str, dict[str, float | None]] = {}
    summary: list[Row] = []
    choices: list[Row] = []
    for name in names:
        split = _candidates.small_split(name, options.seed, rows)
        ranking, seconds = ranked(name, split, work)
        probed = {label: row["probed"] for label, row in known[name].items()}
        scores = every_score(name, split, store, work)
        scores[FINAL] = {entry.model: -float(entry.place) for entry in ranking.candidates}
        taus[name] = {scorer: tau(own, probed) for scorer, own in scores.items()}
        fine = {label: row["tuned"] for label, row in known[name].items() if "tuned" in row}
        if len(fine) > 3:
            tuned[name] = {scorer: tau(own, fine) for scorer, own in scores.items()}
            for_tuning, spent = ranked(name, split, work, "finetune")
            tuned[name][TUNING] = tau({entry.model: -float(entry.place) for entry in for_tuning.candidates}, fine)
            won, all_of_them = max(fine, key=lambda m: fine[m]), sum(row["tune_seconds"] for row in known[name].values())
            choices.append({
                "set": name, "best": won, "chosen": for_tuning.best.model,
                "regret, points": 100 * (fine[won] - fine[for_tuning.best.model]), "regret of random choice": 100 * (fine[won] - mean(fine.values())),
                "regret of the order for a probe": 100 * (fine[won] - fine[ranking.best.model]), "tau": tuned[name][TUNING],
                "seconds": spent, "seconds of fine-tuning all": all_of_them, "share": spent / all_of_them, "share of the order for a probe": seconds / all_of_them,
            })  # fmt: skip
        best = max(probed.values())
        summary.append({
            "set": name, "candidates": len(probed), "best": max(probed, key=lambda m: probed[m]), "chosen": ranking.best.model,
            "regret, points": 100 * (best - probed[ranking.best.model]), "regret of random choice": 100 * (best - mean(probed.values())),
            "tau": taus[name][FINAL], "not told from the best": len(ranking.tied), "seconds": seconds,
        })  # fmt: skip
        progress(f"{name}: {summary[-1]}")
    scorers = sorted({scorer for own in taus.values() for scorer in own})
    found.tables["Against probing on all training samples: the choice"] = summary
    found.tables["Weighted Kendall tau with probed accuracy"] = table(taus, scorers)
    if tuned:
        found.tables["Against fine-tuning: the choice"] = choices
        found.tables["Weighted Kendall tau with fine-tuned accuracy"] = table(tuned, [TUNING, *scorers])
    found.goals = [
        Goal("mean weighted tau of the final order", mean(row["tau"] for row in summary), 0.8),
        Goal("mean regret of the first choice, points", mean(row["regret, points"] for row in summary), 1.0, at_most=True),
    ]
    if tuned:
        found.goals += [
            Goal("cost as a share of fine-tuning all, mean", mean(row["share of the order for a probe"] for row in choices), 0.1, at_most=True),
            Goal("mean weighted tau of the final order, fine-tuned truth", mean(row["tau"] for row in choices), 0.8),
            Goal("mean regret of the first choice, fine-tuned truth, points", mean(row["regret, points"] for row in choices), 1.0, at_most=True),
            Goal("cost for fine-tuning as a share of fine-tuning all, mean", mean(row["share"] for row in choices), 0.1, at_most=True),
        ]
    found.facts = {"truth": known, "taus": taus, "tuned": tuned}
    return found


def ranked(name: str, split: Split, work: Path, approach: Literal["probe", "finetune"] = "probe") -> tuple[Ranking, float]:
    """What rank says, and the seconds of the processor that it takes with an empty cache."""
    import headstart as hs
    from headstart.store import Store

    with tempfile.TemporaryDirectory() as empty:
        begun = time.process_time()
        found = hs.rank(split, _candidates.candidates(_candidates.MODALITIES[name], work), store=Store(Path(empty) / "store.sqlite"), approach=approach)
        return found, time.process_time() - begun


def every_score(name: str, split: Split, store: Store, work: Path) -> dict[str, dict[str, float]]:
    """Scorer -> candidate -> score on all training samples; what a scorer cannot judge is left out."""
    from dataclasses import replace

    from headstart import plugins
    from headstart.errors import HeadstartError
    from headstart.features.extract import extract
    from headstart.features.table import Origin
    from headstart.ranking import scorers
    from headstart.ranking.rank import source_probabilities

    found: dict[str, dict[str, float]] = {}
    for label, make in _candidates.candidates(_candidates.MODALITIES[name], work).items():
        backbone = make()
        plain = extract(backbone, split.train, store)
        origin = Origin(sum(p.numel() for p in backbone.parameters()), None, source_probabilities(backbone, plain.vectors))
        for scorer in plugins.names("ranking.scorers"):
            try:
                found.setdefault(scorer, {})[label] = scorers.score(scorer, replace(plain, origin=origin))
            except HeadstartError:
                continue
    return found


def tau(scores: dict[str, float], actual: dict[str, float]) -> float | None:
    """Weighted Kendall tau (Vigna 2015), as the papers on scorers report it; None for fewer than four candidates."""
    from scipy.stats import weightedtau

    both = [label for label in actual if label in scores]
    if len(both) < 4:
        return None
    return float(weightedtau([scores[label] for label in both], [actual[label] for label in both]).statistic)


def table(taus: dict[str, dict[str, float | None]], scorers: list[str]) -> list[Row]:
    rows: list[Row] = []
    for scorer in scorers:
        values = [own[scorer] for own in taus.values() if own.get(scorer) is not None]
        rows.append({"scorer": scorer, **{name: own.get(scorer) for name, own in taus.items()},
                     "mean": float(np.mean(values)) if values else None})  # fmt: skip
    return sorted(rows, key=lambda row: -(row["mean"] if row["mean"] is not None else -2))


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=Path, default=os.environ.get("HEADSTART_WORK"), help="Folder for truth and features.")
    parser.add_argument("--sets", default=";".join(SETS), help="Joined by semicolons.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuned", action="store_true", help="Also fine-tune every candidate.")


if __name__ == "__main__":
    main("ranking", __doc__, measure, extend)
