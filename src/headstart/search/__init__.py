"""The search for good settings: many small fits judged on validation, then one fit of the winner that is tested.

runs/1/  tune.toml  study.sqlite (the trials)  study.json (what came of them)  report.html
         best/  the run folder of the winner: the test samples were used there, once, and nowhere else
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import config, runs
from headstart.errors import ConfigError, HeadstartError, RunError
from headstart.fitting import load_record, make_settings
from headstart.performing import Record, make_approach, perform
from headstart.progress import hushed, say, track
from headstart.runs import Settings

if TYPE_CHECKING:
    import optuna

    from headstart.predictor import GroupedPredictor, Predictor
    from headstart.search.bench import Bench
    from headstart.search.space import Space
    from headstart.search.study import Study

SETTINGS, WINNER = runs.SEARCH, runs.WINNER
BEGINNING = ".study"  # lock file of who begins or joins a search
ENDED = ("finished", "pruned", "failed")  # states of a trial


@dataclass(frozen=True)
class Search:
    """Everything that decides a search; ``tune.toml`` holds it.

    Attributes:
        run: what every fit of it has in common, and the last one is carried out by.
        trials: how many configurations are tried, over all processes.
        storage: SQLAlchemy URL of a database for the trials; None for a file in the folder.
    """

    run: Settings
    trials: int = 30
    storage: str | None = None


@dataclass(frozen=True)
class Tuned:
    """A finished search.

    Attributes:
        folder: of the search.
        study: the contents of its ``study.json``.
        record: the winner's run, with its verdict.
    """

    folder: Path
    study: dict[str, Any]
    record: Record

    @property
    def best(self) -> dict[str, Any]:
        """The row of the winning trial."""
        return self.study["trials"][self.study["best"]]

    @property
    def predictor(self) -> Predictor | GroupedPredictor:
        return self.record.predictor


def tune(
    data: Any, model: str = "auto", *, trials: int = 30, budget: float | None = None, storage: str | None = None,
    out: str | Path | None = None, **options: Any,
) -> Tuned:  # fmt: skip
    """Search for the settings that do best on validation, then fit and test the winner as ``fit`` would.

    Calls in several processes with the same ``out`` (or the same ``storage``, on several machines) share the trials. A
    search that was interrupted or killed goes on when it is called again.

    Args:
        data, model: as for ``fit``.
        trials: configurations to try, over all processes.
        budget: seconds of searching in this process; the winner's fit and its baselines come on top.
        storage: SQLAlchemy URL of the database of trials; by default a file in ``out``.
        out: the folder; by default the next free number below ``runs/``.
        options: ``baseline``, ``seed``, ``shots``, ``on_bad``, ``labels``, ``paths``, ``text``, ``group``, ``modality``,
            as for ``fit``.

    Raises:
        HeadstartError: see ``headstart.errors``; the trials made so far are kept.
    """
    search = Search(make_settings(data, model, "auto", **options), trials, storage)
    return carry_out(search, Path(out) if out is not None else runs.next_folder(), budget, data=data)


def carry_out(search: Search, folder: Path, budget: float | None = None, data: Any = None) -> Tuned:
    """Begin a search in a folder, join one, or go on with it; a finished one is returned as it is."""
    from headstart.search.study import opened
    from headstart.search.summary import summarised
    from headstart.training.identity import of_split

    begun = time.monotonic()
    _check(search)
    begun_here = _claim(search, folder)
    if (folder / WINNER / "result.json").exists() and (folder / runs.STUDY).exists():
        say(
            f"{folder} is already finished: its winner was tested. More trials need a new search: choose another --out."
        )
        return _loaded(folder)
    from headstart.search.bench import bench_of
    from headstart.search.space import space_of

    try:
        bench = bench_of(search.run, data if not search.run.data else None, folder)
    except HeadstartError:
        if begun_here and _names(folder) == {SETTINGS, BEGINNING}:  # nothing is in the corrected command's way
            for name in (SETTINGS, BEGINNING):
                (folder / name).unlink()
            folder.rmdir()
        raise
    identity = {"model": bench.backbone.reference, "seed": search.run.seed, **of_split(bench.split)}
    space = space_of(bench.backbone, bench.task, bench.split.train.modality, bench.epoch, budget)
    with runs.waited(folder / BEGINNING, "another process makes the study"):
        study = opened(search.storage or f"sqlite:///{(folder / 'study.sqlite').resolve()}", identity)
        study.enqueue(slots(space, search.trials))
    deadline = None if budget is None else begun + budget
    try:
        _work_off(study, space, bench, deadline)
        study.wait()
        with runs.waited(folder / ".winner", "another process fits the winner"):
            if not (folder / WINNER / "result.json").exists():
                _fit_winner(search, study, folder, data)
    finally:
        summarised(study, search, bench.task.metric, folder)
    return _loaded(folder)


def resume(folder: Path) -> Tuned:
    """Go on with a search that was interrupted."""
    search = read(folder)
    if not search.run.data:
        raise RunError(f"The data of {folder} came from memory, so it cannot be read again; call hs.tune with it.")
    return carry_out(search, folder)


def read(folder: Path) -> Search:
    """
    Raises:
        RunError: the folder has no readable ``tune.toml``.
    """
    try:
        return config.from_dict(Search, tomllib.loads((folder / SETTINGS).read_text("utf-8")))
    except (OSError, tomllib.TOMLDecodeError, ConfigError, UnicodeDecodeError) as problem:
        raise RunError(f"{folder / SETTINGS} is not the record of a search: {problem}") from problem


def slots(space: Space, trials: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the trials are of: those of the space that come first, then free fine-tunings where there can be any."""
    free: Iterator[tuple[str, dict[str, Any]]] = repeat(("finetune", {}), trials if space.tunings else 0)
    return islice(chain(space.first(), free), trials)


def _check(search: Search) -> None:
    if search.trials < 1:
        raise ConfigError(f"$.trials: expected at least 1, got {search.trials}")
    if search.run.budget is not None:
        raise ConfigError("$.budget: the time of a search is given to hs.tune itself")


def _claim(search: Search, folder: Path) -> bool:
    """The folder is that of this search, or new; True where it was not there.

    Processes that begin at the same moment claim it one after another: the first one's record is what the others join.
    """
    from headstart.training.checkpoint import write_atomically

    if folder.is_file() or ((names := _names(folder)) and not names & {SETTINGS, BEGINNING}):
        raise RunError(f"{folder} exists and is not the folder of a search; nothing was written. Choose another --out.")
    kept, new = replace(search, storage=_public(search.storage)), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder} could not be made: {problem.strerror or problem}. Choose another --out.") from problem
    with runs.waited(folder / BEGINNING, "another process begins the search"):
        if (folder / SETTINGS).exists():
            before = read(folder)
            if before.run != search.run or before.storage != kept.storage:
                found = runs.difference(before.run, search.run) or "the storage is another one"
                raise RunError(f"{folder} holds another search: {found}. Choose another --out.")
        write_atomically(folder / SETTINGS, config.dump_toml(kept).encode())
    return new


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _public(storage: str | None) -> str | None:
    """The URL as a file may hold it.

    Raises:
        ConfigError: there is a password in it, which would be written to files that people pass on.
    """
    if storage and ":" in storage.partition("://")[2].rpartition("@")[0]:
        raise ConfigError("--storage: leave the password out of the URL, which is written to tune.toml; databases take it "
                          "from the environment or a file (PostgreSQL: PGPASSWORD or ~/.pgpass).")  # fmt: skip
    return storage


def _work_off(study: Study, space: Space, bench: Bench, deadline: float | None) -> None:
    """Take one waiting trial after another, until none is left, the time is over, or the search is closed."""
    left = sum(row["state"] not in ENDED for row in study.rows())
    for _ in track(_turns(study, bench, deadline), "trials", left):
        study.run_next(bench.seed, lambda trial: _try(trial, study, space, bench, deadline))


def _turns(study: Study, bench: Bench, deadline: float | None) -> Iterator[None]:
    """A turn for every trial that can still be begun here."""
    while not study.closed:
        study.repair()
        rows = study.rows()
        waiting = [row for row in rows if row["state"] == "waiting"]
        fast = any(row["approach"] == "probe" for row in waiting)  # in no time, so they are tried even where it is over
        if waiting and not fast and deadline is not None and time.monotonic() + bench.epoch > deadline:
            say(f"the time is over; {len(waiting)} of {len(rows)} trials were not begun (--budget sets more)")
            return
        if waiting:
            yield
        elif any(row["state"] == "running" for row in rows):
            time.sleep(1)  # another process has it; should it be killed, the trial comes back
        else:
            return


def _try(trial: optuna.Trial, study: Study, space: Space, bench: Bench, deadline: float | None) -> float:
    """One trial: draw, fit, judge; what it was and what came of it stands in the study."""
    from optuna import TrialPruned

    from headstart.search.bench import score
    from headstart.search.study import PARTS

    slot, best = trial.user_attrs["slot"], study.best()
    usual = slot < len(list(space.first()))
    chosen = space.drawn(trial.user_attrs["approach"], trial)
    trial.set_user_attr("settings", chosen)
    approach = make_approach(chosen)
    assert approach is not None
    stage = f"trial {slot}"
    what = f"{stage}: {spelled(chosen)}"

    def watch(row: dict[str, Any]) -> None:
        """A trial that is worse than the median of the others after the same share of their training is not worth its time."""
        value = row.get(f"valid_{bench.task.metric.name}")
        if row["stage"] != stage or not row["epoch"] or value is None:
            return
        trial.set_user_attr("epochs", row["epoch"])
        trial.report(score(value, row["valid_loss"]), round(PARTS * row["epoch"] / chosen["epochs"]))
        if trial.should_prune() and not usual and row["epoch"] < chosen["epochs"]:
            say(f"{what}: {value:.3f} after epoch {row['epoch']}, worse than most; stopped")
            raise TrialPruned

    begun = time.perf_counter()
    try:
        with hushed():
            found = bench.carry_out(approach, stage, deadline, watch)
    except (HeadstartError, RuntimeError, ValueError, ArithmeticError) as problem:
        say(f"{what}: failed: {problem}")
        raise
    finally:
        trial.set_user_attr("seconds", time.perf_counter() - begun)
    for name, value in asdict(found).items():
        trial.set_user_attr(name, value)
    better = best is None or found.score > best["score"]
    say(f"{what}: {found.value:.3f} on validation in {found.seconds:.1f} s{' (best)' if better else ''}")
    return found.score


def spelled(chosen: dict[str, Any]) -> str:
    """Settings of an approach as a person writes them: ``finetune tuning=last:1 epochs=4``."""
    return " ".join([chosen["name"], *(f"{key}={value}" for key, value in chosen.items() if key != "name")])


def _fit_winner(search: Search, study: Study, folder: Path, data: Any) -> None:
    """The ordinary fit of the winning configuration: the only time that the test samples are used."""
    best = study.best()
    if best is None:
        errors = [f"trial {row['trial']}: {row['error']}" for row in study.rows() if row["error"]]
        raise RunError("No trial ran through, so there is no winner" + (f"; {'; '.join(errors[:3])}" if errors else "")
                       + ". A larger --budget or another --model may help.")  # fmt: skip
    where = str((folder / WINNER).resolve())
    if study.closed not in ("", where):
        raise RunError(f"The winner of this search was fitted in {study.closed}, and its test samples are used up. "
                       "See there, or begin another search with another --seed or --out.")  # fmt: skip
    study.close(where)
    say(f"the winner is trial {best['trial']}: {spelled(best['settings'])}; now it is fitted and tested")
    perform(replace(search.run, approach=best["settings"]), folder / WINNER, None if search.run.data else data)


def _loaded(folder: Path) -> Tuned:
    from headstart.search.summary import load

    return Tuned(folder, load(folder), load_record(folder / WINNER))
