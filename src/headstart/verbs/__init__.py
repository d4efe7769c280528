"""The verbs of the command line: one file is one verb, found by its file name.

A verb parses, makes one public call, and prints (or --json). Its module has ``ORDER`` (its place in the help), ``EPILOG``
(examples for its help) and a function of the module's name; a group of verbs has ``app`` (a ``typer.Typer``) instead. What
all verbs share stands here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import progress
from headstart.errors import ConfigError, HeadstartError

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line; logs go to standard error.")
]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default the next free runs/N.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Column of the labels in a table (default: label), or several: A,B; for a folder, a pattern."),
]
Paths = Annotated[str | None, typer.Option(help="Column of the file paths in a table (default: guessed).")]
Text = Annotated[str | None, typer.Option(help="Column of the texts in a table (default: guessed).")]
Kind = Annotated[str | None, typer.Option(help="image, text, audio or table (default: found from the data).")]
Kinds = Annotated[
    str,
    typer.Option(
        "--task",
        help="auto (found from the labels), classification, regression, ordinal[:LOW<MID<HIGH], multilabel[:DELIMITER]; or "
        "COLUMN=KIND,... for several columns of labels.",
    ),
]
OnBad = Annotated[str, typer.Option(help="Samples that cannot be read: error or skip.")]

ALONE = (
    "A launcher started several processes, and this verb works in one. Start it plainly, without accelerate launch. The verbs "
    "that train (fit, resume, rerun) work in several; for headstart tune start each process by itself, with one --out."
)


@contextmanager
def spoken(as_json: bool, folder: Path | None = None, *, together: bool = False) -> Iterator[None]:
    """Log lines and bars on standard error; an error becomes one clear message and an exit status.

    Only verbs that train work ``together`` with other processes; the others are refused where a launcher started several.
    """
    try:
        with progress.speaking():
            if not together and progress.num_processes() > 1:
                raise ConfigError(ALONE)
            yield
    except HeadstartError as problem:
        fail(str(problem), as_json, 2)
    except KeyboardInterrupt:
        resumable = folder is not None and _resumable(folder)
        fail("interrupted" + (f"; continue with: headstart resume {folder}" if resumable else ""), as_json, 130)
    except OSError as problem:  # a full disk tells no file name
        where = problem.filename or folder
        again = f"continue with: headstart resume {folder}" if folder is not None and _resumable(folder) else "try again"
        fail(f"{problem.strerror or problem}{f': {where}' if where else ''}. Check the path, its permissions and the free "
             f"space, then {again}", as_json, 2)  # fmt: skip


def _resumable(folder: Path) -> bool:
    from headstart import runs

    try:
        return runs.read_settings(folder).on_disk and not (folder / "result.json").exists()
    except HeadstartError:
        return False


def fail(message: str, as_json: bool, status: int) -> None:
    print(f"error{'' if progress.first_process() else ' in another process'}: {message}", file=sys.stderr)
    if as_json:
        print_error(message)
    raise typer.Exit(status)


def print_error(message: str) -> None:
    """What --json has on standard output in place of an answer; once, however many processes there are."""
    if progress.first_process():
        print(json.dumps({"error": message}))


def given(argument: str) -> str | Path:
    """A path where there is one, or where the argument is the name of a file, which predict will miss; else a text."""
    from headstart.data.modalities import by_suffix

    try:
        found = argument.strip() != "" and Path(argument).exists()
    except OSError:  # a text that is too long for a file name
        return argument
    named = len(argument.split()) == 1 and Path(argument).suffix.lower() in by_suffix()
    return Path(argument) if found or named else argument


def listed(references: str) -> list[str]:
    """References joined by commas; a comma before a digit belongs to a size: ``timm:resnet18?input_size=3,96,96``."""
    return [entry.strip() for entry in re.split(r",(?!\s*\d)", references) if entry.strip()]


def parsed(pairs: list[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair}: expected name=value, for example --set epochs=5")
        found[name.strip()] = value.strip()
    return found


def seconds(text: str) -> float:
    """``90``, ``90s``, ``5m`` or ``2h`` in seconds.

    Raises:
        ConfigError: it is none of these, or not positive.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    unit = units.get(text[-1:])
    try:
        value = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"--budget {text}: expected a positive time such as 90s, 5m or 2h")
    return value


def show_record(record: Any, as_json: bool) -> None:
    from headstart.evaluation.verdict import shown

    if not progress.first_process():
        return
    result = record.result
    if as_json:
        short = {**result, "run": str(record.folder), "seconds": result["seconds"]["total"]}
        names = (
            "run",
            "task",
            "model",
            "approach",
            "scores",
            "verdict",
            "no_verdict",
            "seconds",
            "validation",
            "baselines",
            "reasons",
            "together",
            "interference",
            "helpers",
        )
        print(json.dumps({name: short[name] for name in names if name in short}, ensure_ascii=False))
        return
    for reason in result["reasons"]:
        print(reason if reason.startswith("warning: ") else f"because {reason}")
    print_scores(result["scores"])
    metric = result["metric"]
    if "together" in result:
        print(f"  models: {'; '.join(' + '.join(names) for names in result['together']['groups'])}")
    for name, row in result.get("interference", {}).get("tasks", {}).items():
        print(f"  {name} beside the others: {row['answer']}, {100 * row['gain']:+.1f} {row['unit']} over the same training "
              f"alone ({row['alone']:.3f}) {shown(row['interval'])}")  # fmt: skip
    if result.get("interference", {}).get("delta_m") is not None:
        low, high = (100 * bound for bound in result["interference"]["delta_m_interval"])
        print(f"  delta-m (mean relative gain over tasks alone): {100 * result['interference']['delta_m']:+.1f} % "
              f"[{low:.1f}, {high:.1f}]")  # fmt: skip
    for row in result.get("interference", {}).get("contradictions", []):
        print(f"  {row['inner']} outside its {row['outer']}: {100 * row['share']:.1f} % of the test samples, "
              f"{100 * row['alone']:.1f} % with a model each")  # fmt: skip
    for name, rows in result.get("helpers", {}).get("weights", {}).items():
        print(f"  helper {name}: mean weight {sum(weight for _, weight in rows) / len(rows):.2f}, at the end {rows[-1][1]:.2f}")
    if "gain" in result.get("helpers", {}):
        row = result["helpers"]
        print(f"  helpers: {row['answer']}, {100 * row['gain']:+.1f} {row['unit']} over the same training without ({row['without']:.3f}) "
              f"{shown(row['interval'])}")  # fmt: skip
    if result["verdict"]:
        for row in result["verdict"]["comparisons"]:
            worth = result["baselines"][row["baseline"]][metric["name"]]
            score = "none" if worth is None else f"{worth:.3f}"
            print(
                f"  against {row['title']} ({score}): {100 * row['gain']:+.1f} {metric['gain']} {shown(row['interval'])}"
            )
        print(f"verdict: {result['verdict']['summary']}")
    else:
        print(f"verdict: none, for {result.get('no_verdict') or 'no baseline was trained'}")
    print(f"report:  {record.folder / 'report.html'}  ({result['seconds']['total']:.0f} s)")


def show_search(tuned: Any, as_json: bool) -> None:
    """What a search found, and the verdict on its winner."""
    rows, best, result = tuned.study["trials"], tuned.best, tuned.record.result
    states = {
        state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)
    }
    report = tuned.folder / "report.html"
    if as_json:
        found = {"run": str(tuned.folder), "winner": str(tuned.record.folder), "best": best, "states": states,
                 "front": [rows[number] for number in tuned.study["front"]], "importance": tuned.study["importance"],
                 "model": result["model"], "approach": result["approach"], "scores": result["scores"],
                 "verdict": result["verdict"], "seconds": result["seconds"]["total"], "report": str(report)}  # fmt: skip
        print(json.dumps(found, ensure_ascii=False))
        return
    print(f"{len(rows)} trials: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    for row in (rows[number] for number in tuned.study["front"]):
        settings = " ".join(f"{name}={value}" for name, value in row["settings"].items() if name != "name")
        print(f"  {row['value']:.3f} on validation in {row['seconds']:7.1f} s  {row['approach']} {settings}")
    if tuned.study["importance"]:
        shares = sorted(tuned.study["importance"].items(), key=lambda entry: -entry[1])
        print("what mattered: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    print(f"the winner, trial {best['trial']}, fitted and tested: {tuned.record.folder}")
    show_record(tuned.record, False)
    print(f"search:  {report}")


SHOWN = {"r2": "R2", "mae": "mean absolute error", "rmse": "root mean square error", "closeness": "closeness",
         "kappa": "quadratic kappa", "accuracy": "accuracy", "f1_samples": "F1 of a sample's labels",
         "f1_micro": "micro F1", "f1_macro": "macro F1", "mean_average_precision": "mean average precision",
         "labels_right": "labels right"}  # fmt: skip


def print_scores(scores: dict[str, Any], before: str = "") -> None:
    """The scores of one task on a line or two, each with its interval."""
    if "tasks" in scores:
        print(f"{before}average of the tasks {scores['average']:.3f}")
        for name, row in scores["tasks"].items():
            print_scores(row, f"{before}{name}: ")
        return
    if "precision" not in scores:
        for name, title in SHOWN.items():
            if scores.get(name) is not None:
                pair = scores.get(f"{name}_interval")
                between = f" [{pair[0]:.4g}, {pair[1]:.4g}]" if pair else ""
                print(f"{before}{title} {scores[name]:.4g}{between}")
        for name, row in scores.get("per_output", {}).items():
            print_scores(row, f"{before}{name}: ")
        return
    low, high = scores["accuracy_interval"]
    print(f"{before}accuracy {scores['accuracy']:.3f} [{low:.3f}, {high:.3f}]  precision {scores['precision']:.3f}  "
          f"recall {scores['recall']:.3f}  F1 {scores['f1']:.3f}  calibration error {scores['calibration_error']:.3f}")  # fmt: skip


def browse(path: Path) -> None:
    import os
    import webbrowser

    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("darwin", "win32"):
        webbrowser.open(path.resolve().as_uri())
