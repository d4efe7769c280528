"""A search by two processes of which one is killed, what it finds beside ``auto``, and its memory over many trials.

    python benchmarks/tuning_search.py [--quick] [--shots 20] [--trials 16] [--budget 180] [--side 64] [--model ...]

1. Two processes run ``headstart tune`` on one folder. As soon as the first works on a fine-tuning it is killed (SIGKILL). The
   table has every trial; each must have ended exactly once, and the second process must have fitted the winner.
2. On the same split, test accuracy of the winner beside that of ``headstart fit --approach auto``. One seed is one draw: the
   intervals are those of the test samples.
3. The resident memory of a process after each of many trials in a row, half of them fine-tunings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import _shared as shared
from _shared import Goal, Report, Row


def measure(options: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="headstart-search-") as place:
        together(options, Path(place), report)
        beside_auto(options, Path(place), report)
    memory(options, report)
    return report


def command(options: argparse.Namespace, verb: str, *more: object) -> list[str]:
    given = [
        verb,
        shared.data_folder("clothing"),
        "--model",
        model(options),
        "--shots",
        options.shots,
        "--seed",
        options.seed,
    ]
    return [sys.executable, "-m", "headstart", *map(str, [*given, *more, "--baseline", "none", "--json"])]


def model(options: argparse.Namespace) -> str:
    return f"{options.model or shared.weights_folder()}?input_size=3,{options.side},{options.side}"


def together(options: argparse.Namespace, place: Path, report: Report) -> None:
    import optuna

    search = command(options, "tune", "--trials", options.trials, "--budget", options.budget, "--out", place / "search")
    begun = time.perf_counter()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    first, second = (subprocess.Popen(search, **pipes) for _ in range(2))
    storage = f"sqlite:///{place / 'search' / 'study.sqlite'}"

    def trials() -> list[Any]:
        try:
            [name] = optuna.get_all_study_names(storage)
            return optuna.load_study(study_name=name, storage=storage).trials
        except Exception:  # not there yet
            return []

    while first.poll() is None and not any(
        trial.state.name == "RUNNING" and "tuning" in trial.params
        and trial.user_attrs.get("process", "").startswith(f"{first.pid} ") for trial in trials()
    ):  # fmt: skip
        time.sleep(0.2)
    killed_in_time = first.poll() is None
    first.kill()
    shared.progress(f"killed process {first.pid} after {time.perf_counter() - begun:.0f} s")
    output = second.communicate()[0]
    first.wait()
    seconds = time.perf_counter() - begun
    answer = json.loads(output.splitlines()[-1])
    rows = json.loads((place / "search" / "study.json").read_text())["trials"]
    names = {str(first.pid): "killed", str(second.pid): "other"}
    report.tables["Trials of two processes, one of them killed"] = [
        {"trial": row["trial"], "state": row["state"], "validation": row["value"], "seconds": row["seconds"],
         "process": names.get(row["process"].split(" ")[0], ""), "begun again": "yes" if row["killed"] else "",
         "settings": " ".join(f"{k}={v}" for k, v in row["settings"].items() if k != "name") or "-"}
        for row in rows
    ]  # fmt: skip
    ends = Counter(t.user_attrs.get("slot") for t in trials() if t.state.name in ("COMPLETE", "PRUNED"))
    ended = [row for row in rows if row["state"] in ("finished", "pruned")]
    untouched = sum(row["state"] == "waiting" for row in rows)  # the budget ended before they were begun
    report.goals += [
        Goal("trials lost (begun and without an end)", len(rows) - len(ended) - untouched, 0, at_most=True),
        Goal("trials that ended twice", sum(count > 1 for count in ends.values()), 0, at_most=True),
        Goal("trials that were running when their process was killed, and were begun again",
             sum(bool(row["killed"]) for row in ended), 1),
        Goal("the first process was killed before it ended", float(killed_in_time), 1),
    ]  # fmt: skip
    report.facts["search"] = {**answer, "wall": seconds}


def beside_auto(options: argparse.Namespace, place: Path, report: Report) -> None:
    fit = command(options, "fit", "--out", place / "auto")
    begun = time.perf_counter()
    auto = json.loads(subprocess.run(fit, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    wall, found = time.perf_counter() - begun, report.facts["search"]

    def row(name: str, answer: dict[str, Any], valid: float, seconds: float) -> Row:
        low, high = answer["scores"]["accuracy_interval"]
        return {"": name, "approach": answer["approach"], "validation": valid, "test": answer["scores"]["accuracy"],
                "interval": f"[{low:.3f}, {high:.3f}]", "seconds": seconds}  # fmt: skip

    report.tables[f"Beside auto: clothing, {options.shots} labels a class, {Path(model(options)).name}"] = [
        row("tune (two processes, one killed)", found, found["best"]["value"], found["wall"]),
        row("fit --approach auto", auto, auto["validation"]["accuracy"], wall),
    ]
    report.facts["auto"] = auto


def memory(options: argparse.Namespace, report: Report) -> None:
    """In a process of its own, for what was measured before it leaves memory behind, too."""
    work = [sys.executable, __file__, "--memory", str(options.rounds), "--side", str(options.side), "--shots", "5"]
    work += ["--model", options.model] if options.model else []
    sizes = json.loads(subprocess.run(work, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    shown = [0, 3, len(sizes) // 4, len(sizes) // 2, len(sizes) - 1]
    report.tables["Resident memory after a trial, MiB"] = [{"trial": i, "MiB": sizes[i]} for i in sorted(set(shown))]
    quarter = sizes[len(sizes) // 4]
    report.goals.append(
        Goal("memory after the last trial over that after a quarter of them", sizes[-1] / quarter, 1.05, at_most=True)
    )
    report.facts["memory"] = sizes


def trials_in_a_row(options: argparse.Namespace) -> None:
    from headstart import search
    from headstart.approaches.finetune import FineTune
    from headstart.approaches.probe import Probe
    from headstart.search.bench import bench_of

    settings = search.make_settings(shared.data_folder("clothing"), model(options), "auto", shots=options.shots)
    sizes = []
    with tempfile.TemporaryDirectory() as place:
        bench = bench_of(settings, None, Path(place))
        for number in range(options.memory):
            approach = FineTune(epochs=1, patience=0) if number % 2 else Probe()
            bench.carry_out(approach, f"trial {number}", None, lambda row: None)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    print(json.dumps(sizes))


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", help="default: the folder mobilenetv2_100 of $HEADSTART_WEIGHTS")
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--budget", type=int, default=180, help="seconds of searching of each process")
    parser.add_argument("--side", type=int, default=64, help="of the pictures, in pixels")
    parser.add_argument("--rounds", type=int, default=24, help="trials in a row for the memory")
    parser.add_argument("--memory", type=int, default=0, help=argparse.SUPPRESS)


if __name__ == "__main__":
    if "--memory" in sys.argv:
        alone = argparse.ArgumentParser()
        extend(alone)
        trials_in_a_row(alone.parse_args())
    else:
        shared.main("tuning_search", __doc__, measure, extend)
