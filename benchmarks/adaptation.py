"""Domain adaptation beside strong baselines: seven families of pairs, every method, ``auto``, and how often each does harm.

python benchmarks/adaptation.py [--families amazon,surf] [--rows results/adaptation.jsonl]

Of a target no label is ever seen by a method or by the rule of ``auto``; they are only counted here. What is done stands
in ``--rows``, one line a pair and method, so that an interrupted run goes on; the tables are made of these lines.
Harm: the method's errors on the target's judged rows against those of source-only, McNemar's exact test and the paired
bootstrap at 95 %, as the verdict of a run does it. "Below by more than one standard error" is that of the paired gain.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _domains import DESIGN, FAMILIES, Domains, pairs
from _shared import RESULTS, Goal, Report, main, progress

from headstart.adaptation import guard
from headstart.adaptation.choosing import Ready, ready
from headstart.adaptation.gathering import gathered, importance_of
from headstart.adaptation.grid import BAR, Entry, grid
from headstart.approaches._adaptation import logits_of
from headstart.approaches.coral import Coral
from headstart.approaches.dann import Dann
from headstart.approaches.msda import Msda
from headstart.approaches.source_only import SourceOnly
from headstart.approaches.tca import Tca
from headstart.errors import HeadstartError
from headstart.evaluation.verdict import gain
from headstart.progress import hushed
from headstart.shift import proxy_a_distance
from headstart.training.run import Run

WORDS = 1000  # the most frequent ones, for methods that take minutes on 5,000
# The settings of the paper's own code for the Amazon reviews (experiments_amazon.py): 50 hidden units, lambda 0.1.
PAPER = {"weight": 0.1, "hidden": "50", "width": 50}
PUBLISHED = {
    "SVM": 0.7597,
    "NN": 0.7608,
    "DANN": 0.7628,
    "mSDA + SVM": 0.8018,
    "mSDA + NN": 0.8027,
    "mSDA + DANN": 0.8132,
}


def measure(options: argparse.Namespace) -> Report:
    done = _lines(options.rows)
    for family in options.families.split(","):
        for number, domains in enumerate(pairs(family)):
            if options.quick and number:
                break
            known = {row["method"] for row in done if (row["family"], row["pair"]) == (family, domains.name)}
            if "auto" in known and (family != "amazon" or "svm" in known or options.bare):
                continue
            progress(f"{family}: {domains.name}")
            for row in _pair(domains, bare=options.bare):
                done.append(row)
                options.rows.parent.mkdir(parents=True, exist_ok=True)
                with options.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    return _report([row for row in done if row["family"] in options.families.split(",")])


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _pair(domains: Domains, *, bare: bool) -> Iterator[dict[str, Any]]:
    """One row a candidate of the grid, one for ``auto``, and on amazon those of the paper's table."""
    pair, run = domains.pair, Run(None, 0)
    weights, evidence, right, denoised = importance_of(pair), {}, {}, None
    begun = time.perf_counter()
    for entry in grid(pair):
        started = time.perf_counter()
        try:
            with hushed():
                prepared = ready(entry.approach, pair)
                denoised = denoised or (prepared if isinstance(entry.approach, Msda) else None)  # the paper's noise
                evidence[entry.name] = gathered(prepared.approach, prepared.pair, weights, run)
                head = prepared.finish(prepared.approach.learn(prepared.pair, run))
        except HeadstartError as problem:
            progress(f"{entry.name}: {problem}")
            continue
        right[entry.name] = logits_of(head, domains.rows).argmax(1) == domains.labels
        scores = guard.scores(evidence[entry.name])
        yield _row(domains, entry.name, right, time.perf_counter() - started, scores=scores)
    decision = guard.decide(evidence, proxy_a_distance(pair.source, pair.target))
    right["auto"] = right[decision.name]
    yield _row(domains, "auto", right, time.perf_counter() - begun, kept=decision.name, reasons=decision.reasons)
    if denoised and domains.family == "amazon" and not bare:
        yield from _paper(domains, denoised, right, run)


def _paper(
    domains: Domains, denoised: Ready, right: dict[str, np.ndarray], run: Run
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The other methods of the paper's table."""
    from sklearn.svm import LinearSVC

    pair = domains.pair
    started = time.perf_counter()
    cut = len(pair.labels) * 9 // 10  # C by the last tenth of the source
    fits = [LinearSVC(C=c).fit(pair.source[:cut], pair.labels[:cut]) for c in (1e-4, 1e-3, 1e-2)]
    best = max(fits, key=lambda fit: fit.score(pair.source[cut:], pair.labels[cut:]))
    fitted = LinearSVC(C=best.C).fit(pair.source, pair.labels)
    right["svm"] = fitted.predict(domains.rows) == domains.labels
    yield _row(domains, "svm", right, time.perf_counter() - started)
    few = np.sort(
        np.argsort(-np.count_nonzero(pair.source, 0) - np.count_nonzero(pair.target, 0), kind="stable")[:WORDS]
    )
    small = replace(pair, source=pair.source[:, few], target=pair.target[:, few])
    frequent = f"{WORDS} words"
    methods: list[tuple[Entry, Any, np.ndarray]] = [
        (Entry("dann", Dann(**PAPER)), pair, domains.rows),  # type: ignore[arg-type]
        (Entry(f"source_only, {frequent}", SourceOnly()), small, domains.rows[:, few]),
        (Entry(f"coral, {frequent}", Coral()), small, domains.rows[:, few]),
        (Entry(f"tca, {frequent}", Tca()), small, domains.rows[:, few]),
    ]
    for entry, given, judged in methods:
        started = time.perf_counter()
        with hushed():
            head = entry.approach.learn(given, run)
        right[entry.name] = logits_of(head, judged).argmax(1) == domains.labels
        yield _row(domains, entry.name, right, time.perf_counter() - started)
    started = time.perf_counter()
    with hushed():
        head = denoised.finish(Dann(**PAPER).learn(denoised.pair, run))  # type: ignore[arg-type]
    right["msda + dann"] = logits_of(head, domains.rows).argmax(1) == domains.labels
    yield _row(domains, "msda + dann", right, time.perf_counter() - started)


def _row(domains: Domains, method: str, right: dict[str, np.ndarray], seconds: float, **more: Any) -> dict[str, Any]:
    bar, own = right[BAR.name], right[method]
    found = gain(own, bar)
    difference = own.astype(float) - bar
    return {
        "family": domains.family, "pair": domains.name, "method": method, "accuracy": float(own.mean()),
        "gain": found.gain, "interval": found.interval, "answer": found.answer,
        "standard_error": float(difference.std() / np.sqrt(len(difference))), "judged": len(own), "seconds": seconds, **more,
    }  # fmt: skip


def _report(rows: list[dict[str, Any]]) -> Report:
    found = Report()
    for family in dict.fromkeys(row["family"] for row in rows):
        some = [row for row in rows if row["family"] == family]
        methods = list(dict.fromkeys(row["method"] for row in some))
        if family == "amazon":
            found.tables["amazon, target test accuracy"] = _wide(some, methods)
            found.tables["amazon, means of the DANN paper"] = [
                {"method": name, "mean": mean} for name, mean in PUBLISHED.items()
            ]
        found.tables[f"{family}{' (in part looked at while the rule was made)' if family in DESIGN else ''}"] = [
            _summary(method, [row for row in some if row["method"] == method]) for method in methods
        ]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    counted = [_summary(method, [row for row in rows if row["method"] == method]) for method in methods]
    found.tables["all pairs"] = counted
    autos = [row for row in rows if row["method"] == "auto"]
    if autos:
        hurt = sum(row["answer"] == "hurt" for row in autos)
        found.goals.append(
            Goal(f"pairs that auto hurts, of 100 ({hurt} of {len(autos)})", 100 * hurt / len(autos), 2, True)
        )
    amazon = [row for row in autos if row["family"] == "amazon"]
    if amazon:
        mean = float(np.mean([row["accuracy"] for row in amazon]))
        below = sum(row["gain"] < -row["standard_error"] for row in amazon)
        found.goals.append(Goal(f"auto on amazon, mean of {len(amazon)} pairs", mean, 0.80))
        found.goals.append(Goal("amazon pairs on which auto is below source-only by a standard error", below, 0, True))
    return found


def _wide(rows: list[dict[str, Any]], methods: list[str]) -> list[dict[str, Any]]:
    pairs_ = list(dict.fromkeys(row["pair"] for row in rows))
    values = {(row["pair"], row["method"]): row["accuracy"] for row in rows}
    table = [{"pair": pair, **{method: values.get((pair, method)) for method in methods}} for pair in pairs_]
    means = {
        method: [value for pair in pairs_ if (value := values.get((pair, method))) is not None] for method in methods
    }
    return [*table, {"pair": "mean", **{method: float(np.mean(some)) for method, some in means.items()}}]


def _summary(method: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    answers = [row["answer"] for row in rows]
    return {
        "method": method, "pairs": len(rows), "mean accuracy": float(np.mean([row["accuracy"] for row in rows])),
        "mean gain": float(np.mean([row["gain"] for row in rows])), "helped": answers.count("helped"),
        "hurt": answers.count("hurt"), "adapted": sum(row.get("kept", method) != BAR.name for row in rows),
        "seconds": float(np.median([row["seconds"] for row in rows])),
    }  # fmt: skip


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument(
        "--rows", type=Path, default=RESULTS / "adaptation.jsonl", help="What is done already, and goes on."
    )
    parser.add_argument("--bare", action="store_true", help="On amazon only the candidates and auto.")


if __name__ == "__main__":
    main("adaptation", __doc__, measure, extend)
