"""Run folders: the record of a fit. ``result.json`` is written last, so a folder with one is whole.

runs/1/  run.toml  result.json  history.jsonl  predictions.parquet  mistakes.json  model/  report.html
         .work/ (checkpoints; gone when the run is finished)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import headstart
from headstart.config import dump_json, dump_toml, from_dict
from headstart.errors import ConfigError, HeadstartError, RunError
from headstart.progress import say

WORK = ".work"
MEMORY = "<memory>"  # a target that came from memory, not from a path
SEARCH, STUDY, WINNER = "tune.toml", "study.json", "best"  # what the folder of a search has; its winner is a run


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run; ``run.toml`` holds it and ``headstart rerun`` replays it.

    Attributes:
        data: path of the data, absolute; empty for data that came from memory, and for several data sets.
        datasets: several data sets that share a model: path of each, absolute, by the name of its task.
        model: reference of the model, or "auto".
        target: path of the target domain to adapt to, absolute, or ``MEMORY``; None: there is no target.
        target_labels: what labels of the target are for: "judge", the verdict only; "learn", half of them (or those of its
            declared training part) may be learned from.
        approach: its "name" ("auto", "probe", "finetune", ...) and any of its settings.
        baseline: "auto" trains what the verdict compares with; "none" skips it, and no verdict is claimed.
        seed: of everything random.
        shots: training samples a class, None for all.
        budget: seconds for adapting the model, None for no limit.
        on_bad: "error" stops at samples that cannot be read, "skip" leaves them out.
        waive: names of checks of the audit whose errors do not stop the run.
        helpers: other labelled data sets to train beside, whose scores do not count: path of each, absolute, or ``MEMORY``, by name.
        labels, paths, text, group: columns of a table (or, for a folder, patterns for labels and group).
        together: which of several tasks share a model: "all", or "auto", which keeps apart what short runs show to hurt.
        task: "auto", a kind of task ("regression", "ordinal:low<high"), or COLUMN=KIND,... for several columns of labels.
        modality: kind of sample; None is found from the data.
    """

    data: str
    target: str | None = None
    target_labels: Literal["judge", "learn"] = "judge"
    model: str = "auto"
    approach: dict[str, Any] = field(default_factory=lambda: {"name": "auto"})
    baseline: Literal["auto", "none"] = "auto"
    seed: int = 0
    shots: int | None = None
    budget: float | None = None
    on_bad: Literal["error", "skip"] = "error"
    waive: tuple[str, ...] = ()
    labels: str | None = None
    paths: str | None = None
    text: str | None = None
    group: str | None = None
    modality: str | None = None
    task: str = "auto"
    together: Literal["all", "auto"] = "all"
    datasets: dict[str, str] = field(default_factory=dict)
    helpers: dict[str, str] = field(default_factory=dict)
    headstart: str = headstart.__version__

    @property
    def on_disk(self) -> bool:
        """Whether the data can be read again."""
        return bool(self.data or self.datasets) and MEMORY not in self.helpers.values()


def next_folder(parent: Path = Path("runs")) -> Path:
    """``runs/1``, or the first number that is free."""
    taken = {int(p.name) for p in parent.iterdir() if p.name.isdigit()} if parent.is_dir() else set()
    return parent / str(max(taken, default=0) + 1)


def refuse_finished(folder: Path) -> None:
    """
    Raises:
        RunError: the folder holds a finished run, which is never written over.
    """
    if (folder / "result.json").exists():
        raise RunError(
            f"{folder} already holds a finished run. Choose another --out; headstart rerun {folder} repeats it."
        )


@contextmanager
def opened(folder: Path, settings: Settings) -> Iterator[Path]:
    """The folder of a run that is under way, locked against a second process; yields its place for checkpoints.

    A run that is refused before it has anything to go on with leaves no folder behind, which would only be in the way of
    the corrected command.

    Raises:
        RunError: the folder holds a finished run, another run's beginning, other files, or is in use.
    """
    refuse_finished(folder)
    others = folder.is_dir() and not (folder / "run.toml").exists() and any(p.name != WORK for p in folder.iterdir())
    if others or folder.is_file():
        raise RunError(f"{folder} exists and is not a run folder; nothing was written. Choose another --out.")
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder} cannot be created: {problem.strerror}. Choose another --out.") from problem
    with (folder / WORK / "lock").open("a") as lock:  # never cut short what another process may hold locked
        if not locked(lock):
            raise RunError(f"{folder} is in use by another process; wait for it or choose another --out.")
        from headstart.training.checkpoint import write_atomically

        if (folder / "run.toml").exists():
            before = read_settings(folder)
            if before != settings:
                raise RunError(f"{folder} holds the beginning of another run: {difference(before, settings)}. "
                               f"Continue that one with: headstart resume {folder}; or choose another --out.")  # fmt: skip
        write_atomically(folder / "run.toml", dump_toml(settings).encode())
        try:
            yield folder / WORK
        except HeadstartError:
            _withdraw(folder, new)
            raise


def _withdraw(folder: Path, new: Sequence[Path]) -> None:
    """Take a run's beginning out of its folder, and the ``new`` folders, the innermost first, unless there is more than settings."""
    if {path.name for path in folder.iterdir()} != {"run.toml", WORK} or any((folder / WORK).glob("*.safetensors")):
        return
    with contextlib.suppress(OSError):
        (folder / "run.toml").unlink()
        shutil.rmtree(folder / WORK, ignore_errors=True)
        for path in new:
            path.rmdir()


def locked(file: IO[str]) -> bool:
    """Lock an open file for this process; the system lets go of the lock however the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)  # it locks from the position on; that the file ends there does not matter to it
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def waited(path: Path, why: str) -> Iterator[None]:
    """Within it this process alone holds the lock file; it waits, and says why, while another one does."""
    with path.open("a") as lock:
        said = False
        while not locked(lock):
            if not said:
                say(f"waiting: {why}")
            said = True
            time.sleep(0.2)
        yield


def difference(one: Settings, other: Settings) -> str:
    """In words. Of two approaches of one name, in which settings they differ; of two names, no more than these."""
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in Settings.__dataclass_fields__ if name != "approach"]
    same = one.approach.get("name") == other.approach.get("name")
    names = {**one.approach, **other.approach} if same else ("name",)
    pairs += [(f"approach.{name}", one.approach.get(name), other.approach.get(name)) for name in names]
    return "; ".join(f"{name} is {a!r} there and {b!r} here" for name, a, b in pairs if a != b)


def read_settings(folder: Path) -> Settings:
    """The settings in a folder's ``run.toml``.

    Raises:
        RunError: there is none, or it is not valid; the message carries the path of the wrong entry.
    """
    try:
        return from_dict(Settings, tomllib.loads((folder / "run.toml").read_text("utf-8")))
    except OSError as problem:
        raise RunError(f"{folder} is not a run folder: it has no run.toml. headstart fit writes one.") from problem
    except (tomllib.TOMLDecodeError, ConfigError, UnicodeDecodeError) as problem:
        raise RunError(f"{folder / 'run.toml'} is damaged or was edited: {problem}") from problem


def tested(folder: Path) -> Path:
    """The run folder that is meant: of a search, that of its winner."""
    return folder / WINNER if (folder / SEARCH).is_file() else folder


def close(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json`` with the digests of all other files: from here on the run counts as finished."""
    from headstart.training.checkpoint import write_atomically

    result["files"] = {name: digest(folder / name) for name in listed(folder)}
    write_atomically(folder / "result.json", dump_json(result).encode())


def listed(folder: Path) -> list[str]:
    """The files of a finished run that its result vouches for."""
    found = (p.relative_to(folder) for p in sorted(folder.rglob("*")) if p.is_file())
    return [str(p) for p in found if p.parts[0] != WORK and p.name not in ("result.json", "report.html")]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_result(folder: Path, *, verify: bool = True) -> dict[str, Any]:
    """The result of a finished run, after checking that none of its files was changed.

    Raises:
        RunError: the run is unfinished, or a file is missing or differs from what the run wrote.
    """
    if not (folder / "result.json").is_file():
        if (folder / "run.toml").is_file():
            raise RunError(f"The run in {folder} is not finished. Continue it with: headstart resume {folder}")
        raise RunError(f"{folder} is not a run folder: it has no result.json. headstart fit writes one.")
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
        files = dict[str, str](result["files"])
    except (ValueError, KeyError, TypeError) as problem:
        raise RunError(
            f"{folder / 'result.json'} is damaged: {problem}. Repeat the run: headstart rerun {folder}"
        ) from problem
    for name, wanted in files.items() if verify else ():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file() or digest(path) != wanted:
            raise RunError(
                f"{path} is not what the run wrote (missing or changed), so its model and scores cannot be trusted. "
                f"Restore it, or repeat the run: headstart rerun {folder}"
            )
    return result


def same_disk_path(path: str | os.PathLike) -> str:
    """A path as run.toml keeps it: absolute, so that a rerun works from anywhere."""
    return str(Path(path).expanduser().resolve())


def lasting_reference(model: str) -> str:
    """A model reference that works from anywhere: the path of a local model becomes absolute, the rest stays."""
    stated = model.startswith("local:")
    whole = model.removeprefix("local:") if stated else model
    # behind the path: #ARCHITECTURE?STATISTICS of a file, or ?CHOICES of a folder
    place = whole if Path(whole).exists() else re.split("[#?]", whole, maxsplit=1)[0]
    if stated or (place and Path(place).exists()):
        return f"local:{same_disk_path(place)}{whole[len(place) :]}"
    return model
