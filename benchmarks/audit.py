"""Planted faults: what the audit finds of them, and how much else it names; beside cleanlab, CleanVision and Ludwig.

python benchmarks/audit.py [--quick] [--parts clothing,esc10,sst2] [--seeds 0]

The peers are asked where they are installed: pip install cleanvision ludwig (Ludwig's check needs Python 3.12).
Datalab gets our features and our out-of-fold probabilities, the best it can be given.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _faults import Planted, photos, sentences, sounds
from _shared import Report, Row, Skip, data_folder, main, numbers, progress, weights_folder

COPIES = ("re-encoded", "cropped", "mirrored and cropped", "moved in time", "other case and signs", "words swapped",
          "synonyms", "synonyms and swapped")  # fmt: skip


def measure(options: argparse.Namespace) -> Report:
    found = Report()
    for part in options.parts.split(","):
        for seed in numbers(options.seeds):
            progress(f"{part}, seed {seed}")
            with tempfile.TemporaryDirectory() as folder:
                rows, facts = look(part, Path(folder), seed, options.quick, options.per_class)
            found.tables[f"{part}, seed {seed}"] = rows
            found.facts[f"{part}, seed {seed}"] = facts
    if "clothing" in options.parts:
        found.tables["wrong statistics of a checkpoint, on clothing"] = wrong_statistics(options.quick)
    return found


def look(part: str, folder: Path, seed: int, quick: bool, per_class: int) -> tuple[list[Row], dict[str, Any]]:
    """Audit the data as it is and with faults; a row for each fault and tool."""
    import headstart as hs

    count = 4 if quick else 20
    if part == "clothing":
        model, reading = str(weights_folder()), {}
        planted = photos(data_folder(part), folder / part, count, 0.05, seed, per_class)
        plain: Any = photos(data_folder(part), folder / "plain", 0, 0.0, seed, per_class).place
    elif part == "esc10":
        model, reading = str(weights_folder("yamnet_mobilenetv1_100")), {"group": r"-(\d+)-"}
        planted = sounds(data_folder(part), folder / part, count, 0.05, seed)
        plain = sounds(data_folder(part), folder / "plain", 0, 0.0, seed).place
    else:
        if not (model := os.environ.get("HEADSTART_MINILM", "")):
            raise Skip("HEADSTART_MINILM is not set; it names a MiniLM checkpoint")
        reading = {}
        planted = sentences(data_folder(part), folder / part, count, 0.05, seed, 300 if quick else 2000)
        plain = None
    begun = time.perf_counter()
    audit = hs.audit(planted.place, model, **reading)
    took = time.perf_counter() - begun
    rows = ours(planted, audit)
    for row in rows:
        row["tool"] = "headstart"
    if plain is not None:
        untouched = hs.audit(plain, model, **reading)
        by_check = {finding.check: len(finding.samples) for finding in untouched.findings}
        facts: dict[str, Any] = {"untouched": {"samples": len(untouched.dataset), "named": by_check}}
    else:
        facts = {}
    rows += datalab(planted, audit, model) + cleanvision(planted, part) + ludwig(planted, audit)
    return rows, {**facts, "seconds": took, "checks": audit.checks, "samples": len(audit.dataset)}


def row(tool: str, fault: str, planted: set[str], named: Iterable[str], other: set[str] = frozenset()) -> Row:  # type: ignore[assignment]
    """``named`` that belong to ``other`` planted faults are neither right nor wrong here."""
    told = set(named)
    hits, wrong = told & planted, told - planted - other
    return {
        "tool": tool,
        "fault": fault,
        "planted": len(planted),
        "found": len(hits),
        "others named": len(wrong),
        "recall": len(hits) / len(planted) if planted else None,
        "precision": len(hits) / len(hits | wrong) if hits | wrong else None,
    }


def ours(planted: Planted, audit: Any) -> list[Row]:
    names, truth = audit.dataset.names, planted.truth

    def named(*checks: str, only: Any = lambda entry: True) -> set[str]:
        return {names[s.index] for c in checks for finding in audit.of(c) for s in finding.samples if only(s)}

    found = [
        row("headstart", "wrong label", truth["wrong label"], named("suspicious")),
        row("headstart", "label in another case", truth["label in another case"], named("labels")),
    ]
    copies = set().union(*(truth[kind] for kind in COPIES if kind in truth))
    leaked = [finding for check in ("leakage", "neighbours") for finding in audit.of(check)]
    pairs = {
        (names[s.index], names[s.beside])
        for finding in leaked
        for s in finding.samples
        if s.beside is not None and audit.dataset.declared[s.index] != audit.dataset.declared[s.beside]
    }
    right = {copy for copy, origin in pairs if planted.pairs.get(copy) == origin}
    wrong = {f"{copy} | {origin}" for copy, origin in pairs if copy not in planted.pairs}
    for kind in COPIES:
        if truth.get(kind):
            found.append(row("headstart", kind, truth[kind], right & truth[kind]))
    found.append(row("headstart", "all copies across the split", copies, right | wrong))
    if truth.get("cut short"):
        found.append(row("headstart", "cut short", truth["cut short"], named("unreadable")))
    if truth.get("leaked group"):
        found.append(row("headstart", "leaked group", truth["leaked group"], named("group_leakage")))
    return found


def datalab(planted: Planted, audit: Any, model: str) -> list[Row]:
    """cleanlab's Datalab on our features and out-of-fold probabilities; it knows no sides, so any copy counts."""
    try:
        import datasets  # noqa: F401
        from cleanlab import Datalab
    except ImportError:
        return [{"tool": "Datalab", "fault": "not installed"}]
    import headstart as hs
    from headstart.auditing._outside import folds_of, probabilities

    data, truth = audit.dataset, planted.truth
    readable = [i for i in range(len(data)) if data.names[i] not in truth["cut short"]]
    part = data.subset(readable)
    vectors = hs.extract(hs.load_model(model), part, hs.Store()).vectors
    classes, labels = np.unique(np.array(part.labels), return_inverse=True)
    folds = folds_of(labels, np.arange(len(labels)), 0)
    outside = probabilities(vectors, labels, len(classes), folds)
    lab = Datalab({"y": labels}, label_name="y", verbosity=0)
    lab.find_issues(features=vectors, pred_probs=outside, issue_types={"label": {}, "near_duplicate": {}})
    told = {
        kind: {part.names[i] for i in np.flatnonzero(lab.get_issues(kind)[f"is_{kind}_issue"].to_numpy())}
        for kind in ("label", "near_duplicate")
    }
    copies = set().union(*(truth[kind] for kind in COPIES if kind in truth))
    origins = set(planted.pairs.values())
    found = [row("Datalab", "wrong label", truth["wrong label"], told["label"])]
    for kind in COPIES:
        if truth.get(kind):
            found.append(row("Datalab", kind, truth[kind], told["near_duplicate"] & truth[kind]))
    found.append(row("Datalab", "all copies across the split", copies, told["near_duplicate"], origins))
    return [*found, {"tool": "Datalab", "fault": "label in another case, cut short, leaked group: no such check"}]


def cleanvision(planted: Planted, part: str) -> list[Row]:
    """CleanVision's exact and near duplicates by perceptual hash."""
    if part != "clothing":
        return []
    try:
        from cleanvision import Imagelab
    except ImportError:
        return [{"tool": "CleanVision", "fault": "not installed"}]
    truth, origins = planted.truth, set(planted.pairs.values())
    # it stops at a file that it cannot read, so it gets those that can be
    cut = truth["cut short"]
    readable = [str(path) for path in sorted(planted.place.rglob("*.*"))
                if path.is_file() and path.relative_to(planted.place).as_posix() not in cut]  # fmt: skip
    try:
        lab = Imagelab(filepaths=readable)
        lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}, "low_information": {}, "odd_size": {}}, n_jobs=1, verbose=False)
    except Exception as problem:  # a peer's failure is a result
        return [{"tool": "CleanVision", "fault": f"stopped: {type(problem).__name__}: {str(problem)[:80]}"}]
    sets = [s for kind in ("exact_duplicates", "near_duplicates") for s in lab.info[kind]["sets"]]
    told = {Path(name).relative_to(planted.place).as_posix() for entry in sets for name in entry}
    copies = set().union(*(truth[kind] for kind in COPIES if kind in truth))
    found = [row("CleanVision", kind, truth[kind], told & truth[kind]) for kind in COPIES if truth.get(kind)]
    found.append(row("CleanVision", "all copies across the split", copies, told, origins))
    return [*found, {"tool": "CleanVision", "fault": "wrong label, label in another case, leaked group: no such check"}]


def ludwig(planted: Planted, audit: Any) -> list[Row]:
    """Ludwig's dataset quality check on the table of names or texts, labels and sides."""
    try:
        import pandas
        from ludwig.utils.dataset_quality import check_dataset_quality
    except ImportError as problem:
        return [{"tool": "Ludwig", "fault": f"not installed ({problem})"}]
    data = audit.dataset
    samples = data.items if data.modality == "text" else data.names
    frame = pandas.DataFrame({"sample": list(samples), "label": data.labels, "split": data.declared})
    report = check_dataset_quality(frame, target_column="label")
    said = "; ".join(f"{check.name}: {check.message}" for check in report.checks if check.status != "pass") or "nothing"
    return [{"tool": "Ludwig", "fault": f"all of them; it says: {said[:160]}"}]


def wrong_statistics(quick: bool) -> list[Row]:
    """Is it noticed that the card of a checkpoint states other statistics than it was trained with?"""
    import json
    import shutil

    import headstart as hs

    changes = {
        "as published": {},
        "values in 0..255": {"value_range": [0.0, 255.0]},
        "mean 0, deviation 1": {"mean": [0.0] * 3, "std": [1.0] * 3},
        "ImageNet's mean and deviation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "on the scale of 255, values in 0..1": {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]},
        "blue first": {"channel_order": "BGR"},
    }
    data, rows = hs.read(data_folder("clothing")), []
    some = data.subset(np.random.default_rng(0).permutation(len(data))[: 24 if quick else 200])
    for what, change in changes.items():
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, "model")
            shutil.copytree(weights_folder(), place)
            card = json.loads((place / "card.json").read_text("utf-8"))
            (place / "card.json").write_text(json.dumps({**card, **change}), "utf-8")
            from headstart.auditing import Evidence
            from headstart.auditing.inputs import check
            from headstart.data.duplicates import scan

            store = hs.Store()
            found = check(Evidence(some, scan(some, store), store, hs.load_model(str(place))))
        said = [f.message for f in found if f.severity == "warning"] if not isinstance(found, str) else []
        rows.append({"statistics": what, "noticed": "yes" if said else "no", "message": said[0][:110] if said else ""})
    return rows


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", default="clothing,esc10,sst2")
    parser.add_argument("--per-class", type=int, default=0, help="Photos a class and side; 0: all.")
    parser.add_argument("--seeds", default="0", help="Of the planting, such as 0,1,2.")


if __name__ == "__main__":
    main("audit", __doc__, measure, extend)
