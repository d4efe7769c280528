"""What every benchmark needs: where the data is, timing, tables, goals, and one JSON file of results."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch.nn import Module

    from headstart.data import Dataset, Split
    from headstart.features.table import FeatureTable
    from headstart.predictor import Predictor


RESULTS = Path(__file__).parent / "results"
PACKAGES = ("headstart", "torch", "torchvision", "timm", "Pillow", "numpy", "scikit-learn", "fastai", "transformers")
Row = dict[str, Any]


class Skip(Exception):
    """The benchmark cannot run here; the message says why."""


@dataclass(frozen=True)
class Goal:
    """A promise with a number: ``value`` should be at least (or, with ``at_most``, at most) ``bound``."""

    what: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def row(self) -> Row:
        wanted = f"{'<=' if self.at_most else '>='} {self.bound:g}"
        return {"goal": self.what, "wanted": wanted, "measured": self.value, "": "met" if self.met else "NOT MET"}


@dataclass
class Report:
    """What a benchmark found: tables for a person, goals, and further facts for the JSON file."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


Measure = Callable[[argparse.Namespace], Report]


def main(
    name: str, about: str | None, measure: Measure, extend: Callable[[argparse.ArgumentParser], None] | None = None
) -> None:
    """Run one benchmark from the command line, with an empty feature cache of its own."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="A smoke test on a little data; its numbers mean nothing.")
    parser.add_argument("--json", type=Path, default=RESULTS / f"{name}.json", help="Where the results go.")
    if extend:
        extend(parser)
    options = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="headstart-") as cache:
        os.environ["HEADSTART_CACHE"] = cache
        try:
            found, skipped = measure(options), None
        except Skip as reason:
            found, skipped = Report(), str(reason)
            print(f"{name}: skipped: {reason}")
    for title, rows in found.tables.items():
        print_table(title, rows)
    if found.goals:
        print_table(
            "Goals" + (" (quick: not meaningful)" if options.quick else ""), [goal.row() for goal in found.goals]
        )
    seconds = time.perf_counter() - begun
    goals = [{**asdict(goal), "met": goal.met} for goal in found.goals]
    write_json(
        options.json,
        {"benchmark": name, "quick": options.quick, "skipped": skipped, "seconds": seconds, "goals": goals,
         "tables": found.tables, "facts": found.facts, "environment": environment()},
    )  # fmt: skip
    print(f"\n{name}: {seconds:.0f} s; {options.json}")


def data_folder(*parts: str) -> Path:
    """A folder below ``$HEADSTART_DATA``.

    Raises:
        Skip: the variable is unset or the folder is not there.
    """
    root = os.environ.get("HEADSTART_DATA")
    if not root:
        raise Skip("HEADSTART_DATA is not set; it names the folder that holds clothing/, grocery/ and the others")
    return _existing(Path(root, *parts), "HEADSTART_DATA")


def weights_folder(name: str = "mobilenetv2_100") -> Path:
    """A model folder below ``$HEADSTART_WEIGHTS``, by default the folder ``weights`` beside the data.

    Raises:
        Skip: it is not there.
    """
    root = os.environ.get("HEADSTART_WEIGHTS")
    return _existing((Path(root) if root else data_folder().parent / "weights") / name, "HEADSTART_WEIGHTS")


def _existing(path: Path, variable: str) -> Path:
    if not path.exists():
        raise Skip(f"there is no {path} ({variable} says where to look)")
    return path


def stock_network() -> Module:
    """MobileNetV2 as anyone would build it, without headstart: timm's network with the weights of the folder."""
    import timm
    from safetensors.torch import load_file

    network = timm.create_model("mobilenetv2_100", pretrained=False, pad_type="same")
    network.load_state_dict(load_file(weights_folder() / "model.safetensors"))
    return network


def few_shot(dataset: Dataset, shots: int, seed: int, most_tests: int) -> Split:
    """``shots`` training pictures a class; the rest, or the declared test pictures, are for testing."""
    from headstart.data.duplicates import clusters, scan
    from headstart.data.split import Split, split
    from headstart.store import Store

    cut = split(dataset, seed=seed, shots=shots, clusters=clusters(scan(dataset, Store())), test=0.6, valid=0.15)
    chosen = np.random.default_rng(seed).permutation(len(cut.test))[:most_tests]
    return Split(cut.train, cut.valid, cut.test.subset(chosen), notes=cut.notes)


def linear_probe(train: FeatureTable, test: FeatureTable, *, head: str = "logistic", seed: int = 0) -> float:
    """Test accuracy of headstart's own solver on two feature tables, whoever computed the features."""
    import torch

    from headstart import solvers
    from headstart.models.backbone import Features
    from headstart.tasks.classification import Classification

    task = Classification.learn(train.labels)
    fitted = solvers.fit(head, train.vectors, task.encode(train.labels), len(task.classes), seed=seed)
    with torch.inference_mode():
        output = fitted.head(Features(torch.from_numpy(test.vectors)))
    return float((output.argmax(1).numpy() == task.encode(test.labels)).mean())


def accuracy(predictor: Predictor, dataset: Dataset) -> float:
    """The share of samples that a predictor gets right."""
    predicted = predictor.probabilities(dataset).argmax(1)
    return float((predicted == predictor.task.encode(dataset.labels)).mean())


def seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def alternate(rivals: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each rival, A B A B ..., so that a slow minute of the machine hurts all alike."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, work in rivals.items():
            times[name].append(seconds(work))
    return times


median = statistics.median


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Rows with the same columns, as aligned text."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [columns, *([_shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(f"\n{title}")
    for line in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1.5 else f"{value:.1f}"
    return "" if value is None else str(value)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=float) + "\n", "utf-8")


def environment() -> Row:
    """The machine and the versions that a figure belongs to."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    """The model as Linux names it, with the instructions that decide the precision of the fast path."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    entries = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in entries.items()}
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.processor())} ({', '.join(known)})"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def numbers(text: str) -> list[int]:
    """``"1,2,3"`` as a list."""
    return [int(entry) for entry in text.split(",")]


def progress(message: str) -> None:
    """One line on standard error, so that a long benchmark is seen to live."""
    print(f"  {message}", file=sys.stderr, flush=True)


def mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)
