"""Ranking real candidates on real data: every scorer and the final order of ``rank`` against what training them shows.

python benchmarks/ranking.py [--quick] [--work FOLDER] [--sets 'clothing;esc10;...'] [--seeds 0,1,2] [--tuned]

The truth takes long and is kept in the work folder: a second run goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import _candidates
import _truth
import numpy as np
from _shared import Goal, Report, Row, main, mean, numbers, progress

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
    seeds = numbers(options.seeds)[: 1 if options.quick else None]
    rows = 60 if options.quick else None
    known = {seed: _truth.truth(work, names, seed, tuned=options.tuned, rows=rows) for seed in seeds}
    store, found = Store(work / "store.sqlite"), Report()
    taus: dict[str, dict[str, float | None]] = {}
    tuned: dict[str, dict[str, float | None]] = {}
    summary: list[Row] = []
    choices: list[Row] = []
    for name in names:
        probed, fine = (averaged([known[seed][name] for seed in seeds], what) for what in ("probed", "tuned"))
        scores: dict[str, list[dict[str, float]]] = {}
        for seed in seeds:
            split = _candidates.small_split(name, seed, rows)
            for scorer, own in every_score(name, split, store, work).items():
                scores.setdefault(scorer, []).append(own)
            whole = sum(row["tune_seconds"] for row in known[seed][name].values()) if options.tuned else None
            for approach, label, truth, rows_of in (("probe", FINAL, probed, summary), ("finetune", TUNING, fine, choices)):
                if len(truth) < 4:
                    continue
                ranking, seconds = ranked(name, split, work, approach)
                scores.setdefault(label, []).append({entry.model: -float(entry.place) for entry in ranking.candidates})
                chosen, best = ranking.best.model, max(truth, key=lambda m: truth[m])
                rows_of.append({
                    "set": name, "seed": seed, "candidates": len(truth), "best": best, "chosen": chosen, "regret, points": 100 * (truth[best] - truth[chosen]),
                    "regret of random choice": 100 * (truth[best] - mean(truth.values())), "tau": tau(scores[label][-1], truth),
                    "not told from the best": len(ranking.tied), "seconds": seconds, "share of fine-tuning all": seconds / whole if whole else None,
                })  # fmt: skip
                progress(f"{label}: {rows_of[-1]}")
            if choices:  # what an order for a probe gives those who fine-tune
                choices[-1]["regret of the order for a probe"] = 100 * (max(fine.values()) - fine[summary[-1]["chosen"]])
        taus[name] = {scorer: mean_tau(own, probed) for scorer, own in scores.items() if scorer != TUNING}
        if len(fine) > 3:
            tuned[name] = {scorer: mean_tau(own, fine) for scorer, own in scores.items()}
    scorers = sorted({scorer for own in taus.values() for scorer in own})
    found.tables["Against probing on all training samples: the choice"] = summary
    found.tables["Weighted Kendall tau with probed accuracy"] = table_of(taus, scorers)
    if tuned:
        found.tables["Against fine-tuning: the choice"] = choices
        found.tables["Weighted Kendall tau with fine-tuned accuracy"] = table_of(tuned, [TUNING, *scorers])
    for rows_of, what in ((summary, "probed"), (choices, "fine-tuned")):
        by_set = [[row for row in rows_of if row["set"] == name] for name in dict.fromkeys(row["set"] for row in rows_of)]
        for key, said, bound in (("tau", "mean weighted tau of the final order", 0.8), ("regret, points", "mean regret of the first choice, points", 1.0),
                                 ("share of fine-tuning all", "cost as a share of fine-tuning all, mean", 0.1)):  # fmt: skip
            if by_set and (options.tuned or key != "share of fine-tuning all"):
                value = mean(mean(row[key] for row in own) for own in by_set)
                found.goals.append(Goal(f"{said}, {what} truth", value, bound, at_most=key != "tau"))
    found.facts = {"truth": known, "taus": taus, "tuned": tuned}
    return found


def averaged(truths: list[dict[str, dict[str, float]]], what: str) -> dict[str, float]:
    """Candidate -> accuracy, the mean over the seeds; of those that have one with every seed."""
    return {label: mean(truth[label][what] for truth in truths) for label in truths[0] if all(what in truth[label] for truth in truths)}


def ranked(name: str, split: Split, work: Path, approach: Literal["probe", "finetune"] = "probe") -> tuple[Ranking, float]:
    """What rank says, and the seconds of the processor that it takes with an empty cache.

    Two candidates are ranked on a few samples before, so that no seconds go to importing libraries: the truth's do not, either.
    """
    import headstart as hs
    from headstart.store import Store

    models, few = _candidates.candidates(_candidates.MODALITIES[name], work), split.train.subset(range(min(60, len(split.train))))
    with tempfile.TemporaryDirectory() as empty:
        hs.rank(replace(split, train=few), dict([*models.items()][:2]), store=Store(Path(empty) / "few.sqlite"), approach=approach)
        begun = time.process_time()
        found = hs.rank(split, models, store=Store(Path(empty) / "store.sqlite"), approach=approach)
        return found, time.process_time() - begun


def every_score(name: str, split: Split, store: Store, work: Path) -> dict[str, dict[str, float]]:
    """Scorer -> candidate -> score on all training samples; what a scorer cannot judge is left out."""
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


def mean_tau(scores: list[dict[str, float]], actual: dict[str, float]) -> float | None:
    """Over the seeds."""
    found = [value for own in scores if (value := tau(own, actual)) is not None]
    return mean(found) if found else None


def table_of(taus: dict[str, dict[str, float | None]], scorers: list[str]) -> list[Row]:
    rows: list[Row] = []
    for scorer in scorers:
        values = [own[scorer] for own in taus.values() if own.get(scorer) is not None]
        rows.append({"scorer": scorer, **{name: own.get(scorer) for name, own in taus.items()},
                     "mean": float(np.mean(values)) if values else None})  # fmt: skip
    return sorted(rows, key=lambda row: -(row["mean"] if row["mean"] is not None else -2))


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=Path, default=os.environ.get("HEADSTART_WORK"), help="Folder for truth and features.")
    parser.add_argument("--sets", default=";".join(SETS), help="Joined by semicolons.")
    parser.add_argument("--seeds", default="0", help="Of the parts, joined by commas; the truth is the mean over them.")
    parser.add_argument("--tuned", action="store_true", help="Also fine-tune every candidate.")


if __name__ == "__main__":
    main("ranking", __doc__, measure, extend)
