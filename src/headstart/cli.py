"""The command line: one function a verb. Each parses, makes one public call, and prints (or --json)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import __version__, progress
from headstart.errors import ConfigError, HeadstartError

app = typer.Typer(
    name="headstart",
    help="Adapt any pretrained model to your data, and learn honestly whether the transfer helped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line; logs go to standard error.")
]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default the next free runs/N.")]
Labels = Annotated[
    str | None, typer.Option(help="Column of the labels in a table (default: label); for a folder, a pattern.")
]
Paths = Annotated[str | None, typer.Option(help="Column of the file paths in a table (default: guessed).")]
Text = Annotated[str | None, typer.Option(help="Column of the texts in a table (default: guessed).")]
Kind = Annotated[str | None, typer.Option(help="image, text, audio or table (default: found from the data).")]
OnBad = Annotated[str, typer.Option(help="Samples that cannot be read: error or skip.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"headstart {__version__}")
        raise typer.Exit


@app.command(epilog="Examples:  headstart fit photos/  |  headstart fit photos.csv --labels kind --group patient  |  "
             "headstart fit photos/ --model timm:resnet18.a1_in1k --approach finetune --set epochs=5 --out runs/flowers")  # fmt: skip
def fit(
    data: Annotated[
        str,
        typer.Argument(help="Folder of class folders (pictures, texts or sounds), or a CSV, Parquet or JSONL file."),
    ],
    model: Annotated[str, typer.Option(help="zoo:name, a model folder, or auto.")] = "auto",
    approach: Annotated[str, typer.Option(help="auto, probe, finetune, scratch or distill.")] = "auto",
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of the approach: name=value.")] = None,
    out: Out = None,
    baseline: Annotated[str, typer.Option(help="auto, or none to skip the baselines (then no verdict).")] = "auto",
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    shots: Annotated[int | None, typer.Option(help="Training samples a class.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time for adapting the model: 90s, 5m, 2h.")] = None,
    on_bad: OnBad = "error",
    labels: Labels = None,
    paths: Paths = None,
    text: Text = None,
    group: Annotated[str | None, typer.Option(help="Column (for a folder: pattern) of what must not be split.")] = None,
    modality: Kind = None,
    as_json: Json = False,
) -> None:
    """Adapt a model to labelled data; ends with a verdict, a report and a run folder."""
    from headstart import fitting, runs

    folder = out or runs.next_folder()
    with _spoken(as_json, folder):
        chosen = {"name": approach, **_settings(settings or [])}
        record = fitting.fit(
            data, model, chosen, out=folder, baseline=baseline, seed=seed, shots=shots,
            budget=seconds(budget) if budget else None, on_bad=on_bad, labels=labels, paths=paths, text=text, group=group,
            modality=modality,
        )  # fmt: skip
        _show(record, as_json)


@app.command(epilog="Example:  headstart resume runs/3")
def resume(run: Annotated[Path, typer.Argument(help="An interrupted run folder.")], as_json: Json = False) -> None:
    """Go on with an interrupted run; it ends like an uninterrupted one."""
    from headstart import fitting

    with _spoken(as_json, run):
        _show(fitting.resume(run), as_json)


@app.command(epilog="Example:  headstart rerun runs/3 --out runs/again")
def rerun(run: Annotated[Path, typer.Argument(help="A run folder.")], out: Out = None, as_json: Json = False) -> None:
    """Repeat a run from its run.toml into a new folder."""
    from headstart import fitting, runs

    folder = out or runs.next_folder(run.resolve().parent)
    with _spoken(as_json, folder):
        _show(fitting.rerun(run, folder), as_json)


@app.command(
    epilog="Example:  headstart predict runs/3 new.jpg more/*.jpg  |  headstart predict runs/4 'It never arrived.'"
)
def predict(
    run: Annotated[Path, typer.Argument(help="A run folder or a saved model.")],
    files: Annotated[list[str], typer.Argument(help="Files to classify; for a text model also texts themselves.")],
    top: Annotated[int, typer.Option(help="How many classes to show for each file.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Class names with probabilities for new files."""
    from headstart import fitting

    with _spoken(as_json):
        found = fitting.load(run).predict([given(file) for file in files])
        if as_json:
            rows = [{"name": p.name, "label": p.label, "probability": p.probability, "probabilities": p.probabilities}
                    for p in found]  # fmt: skip
            print(json.dumps({"predictions": rows}, ensure_ascii=False))
            return
        for prediction in found:
            ranked = sorted(prediction.probabilities.items(), key=lambda entry: -entry[1])[:top]
            print(f"{prediction.name}  " + "  ".join(f"{name} {share:.3f}" for name, share in ranked))


@app.command(epilog="Example:  headstart evaluate runs/3 other_photos/")
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

    with _spoken(as_json):
        scores = fitting.evaluate(run, data, labels=labels, paths=paths, text=text, on_bad=on_bad)
        if as_json:
            print(json.dumps(scores, ensure_ascii=False))
            return
        print(f"{scores['samples']} samples of {scores['data']}")
        _scores(scores)
        for name, row in scores["per_class"].items():
            print(f"  {name:24} precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}  "
                  f"({row['support']})")  # fmt: skip


@app.command(epilog="Example:  headstart report runs/3 --no-open")
def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Write a run's report.html anew and open it."""
    from headstart import runs
    from headstart.report.render import write

    with _spoken(as_json):
        runs.read_result(run)
        path = write(run)
        if as_json:
            print(json.dumps({"run": str(run), "report": str(path)}))
            return
        print(path)
        if show:
            _browse(path)


@app.command(epilog="Example:  headstart demo")
def demo(
    out: Out = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the report in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """See the main job on scikit-learn's handwritten digits: no data, no network, under three minutes."""
    from headstart import demonstration, runs

    folder = out or runs.next_folder()
    with _spoken(as_json, folder):
        record = demonstration.demo(folder)
        _show(record, as_json)
        if show and not as_json:
            _browse(record.folder / "report.html")


models = typer.Typer(help="Which models there are, what is known of them, and how to have one without the network.")
app.add_typer(models, name="models")


@models.callback(invoke_without_command=True, epilog="Examples:  headstart models --modality text --max-params 30M  |  "
                 "headstart models --search mobilenet --here")  # fmt: skip
def list_models(
    context: typer.Context,
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    max_params: Annotated[str | None, typer.Option(help="At most so many parameters: 30M, 1.2B.")] = None,
    license: Annotated[str | None, typer.Option(help="Part of the licence's name: apache-2.0.")] = None,
    search: Annotated[str, typer.Option(help="Words; they also search timm's pretrained names.")] = "",
    here: Annotated[bool, typer.Option("--here", help="Only what is on this machine.")] = False,
    as_json: Json = False,
) -> None:
    """List the catalogue."""
    if context.invoked_subcommand:
        return
    from headstart.models import catalog, listing

    with _spoken(as_json):
        limit = listing.count(max_params) if max_params else None
        wanted = catalog.Wanted(modality, limit, license, search, here)
        found = catalog.find(wanted)
        if as_json:
            print(json.dumps({"models": [listing.facts(entry) for entry in found]}, ensure_ascii=False))
        else:
            listing.table(found, wanted)


@models.command("show", epilog="Example:  headstart models show timm:resnet18.a1_in1k")
def show_model(
    reference: Annotated[str, typer.Argument(help="zoo:name, as headstart models lists it.")], as_json: Json = False
) -> None:
    """All that is known of one model, with sources, and the command that uses it."""
    from headstart.models import catalog, listing

    with _spoken(as_json):
        entry = catalog.show(reference)
        print(json.dumps(listing.facts(entry), ensure_ascii=False) if as_json else listing.page(entry))


@models.command("fetch", epilog="Example:  headstart models fetch transformers:sentence-transformers/all-MiniLM-L6-v2")
def fetch_model(
    reference: Annotated[str, typer.Argument(help="zoo:name; with transformers, any repository of the hub.")],
    as_json: Json = False,
) -> None:
    """Download a model for offline use (safetensors only), or check the one that is there."""
    from headstart.models import catalog, listing

    with _spoken(as_json):
        result = catalog.fetch(reference)
        if as_json:
            row = {"reference": reference, "place": str(result.place), "bytes": result.size, "new_bytes": result.new}
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(listing.fetched(result))


@contextmanager
def _spoken(as_json: bool, folder: Path | None = None) -> Iterator[None]:
    """Log lines and bars on standard error; an error becomes one clear message and an exit status."""
    try:
        with progress.speaking():
            yield
    except HeadstartError as problem:
        _fail(str(problem), as_json, 2)
    except KeyboardInterrupt:
        resumable = folder is not None and _resumable(folder)
        _fail("interrupted" + (f"; continue with: headstart resume {folder}" if resumable else ""), as_json, 130)
    except OSError as problem:
        _fail(f"{problem.strerror or problem}: {problem.filename or ''}. Check the path, its permissions and the free "
              "space, then try again.", as_json, 2)  # fmt: skip


def _resumable(folder: Path) -> bool:
    from headstart import runs

    try:
        return bool(runs.read_settings(folder).data) and not (folder / "result.json").exists()
    except HeadstartError:
        return False


def _fail(message: str, as_json: bool, status: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message}))
    raise typer.Exit(status)


def given(argument: str) -> str | Path:
    """A path where there is such a file, else the argument itself: a text, or a path that predict will miss."""
    try:
        return Path(argument) if Path(argument).is_file() else argument
    except OSError:  # a text that is too long for a file name
        return argument


def _settings(pairs: list[str]) -> dict[str, str]:
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


def _show(record: Any, as_json: bool) -> None:
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
            "seconds",
            "validation",
            "baselines",
            "reasons",
        )
        print(json.dumps({name: short[name] for name in names}, ensure_ascii=False))
        return
    for reason in result["reasons"]:
        print(f"because {reason}")
    _scores(result["scores"])
    if result["verdict"]:
        for row in result["verdict"]["comparisons"]:
            low, high = (100 * bound for bound in row["interval"])
            accuracy = result["baselines"][row["baseline"]]["accuracy"]
            print(f"  against {row['title']} ({accuracy:.3f}): {100 * row['gain']:+.1f} points [{low:.1f}, {high:.1f}]")
        print(f"verdict: {result['verdict']['summary']}")
    else:
        print("verdict: none, for no baseline was trained")
    print(f"report:  {record.folder / 'report.html'}  ({result['seconds']['total']:.0f} s)")


def _scores(scores: dict[str, Any]) -> None:
    low, high = scores["accuracy_interval"]
    print(f"accuracy {scores['accuracy']:.3f} [{low:.3f}, {high:.3f}]  precision {scores['precision']:.3f}  "
          f"recall {scores['recall']:.3f}  F1 {scores['f1']:.3f}  calibration error {scores['calibration_error']:.3f}")  # fmt: skip


def _browse(path: Path) -> None:
    import os
    import webbrowser

    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("darwin", "win32"):
        webbrowser.open(path.resolve().as_uri())


def run() -> None:
    """Entry point of the command."""
    app()
