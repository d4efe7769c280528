"""The study: trials in a database that several processes share, none of them lost or finished twice.

Every trial has a slot, a number given before anybody starts. Processes take waiting slots one at a time (the database
lets only one have it), and while they work on one their heartbeat is written down. A slot whose process was killed has a
heartbeat that ended; whoever sees that puts it back in the queue. Of two trials of one slot the later one gives way, so
however processes die and meet, each slot is finished once.

Optuna: Akiba et al. 2019, arXiv 1907.10902. Sampler: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization
(TPE), its multivariate form (Falkner et al. 2018, arXiv 1807.01774). Pruner: Golovin et al. 2017, Google Vizier (median).
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ConfigError, HeadstartError, MissingExtra
from headstart.progress import say
from headstart.training.identity import refuse_others

if TYPE_CHECKING:
    import optuna

HEARTBEAT, GRACE = 5, 30  # seconds between heartbeats, and without one until a process counts as dead
ATTEMPTS = 3  # times that the process of a slot may be killed until the slot is given up
OPEN_SAMPLES = 5  # fine-tunings drawn at random before the sampler learns from them
PARTS = 8  # of a training: trials of other lengths are compared after the same share of it, as their rates fall with it
PRUNED_AFTER = 2  # parts
PRUNED_FROM = 4  # trials that ran through before one is stopped for being worse than their median


class Surplus(Exception):
    """Another trial has the slot of this one."""


@dataclass(frozen=True)
class Study:
    """An Optuna study whose trials are slots."""

    study: optuna.Study

    def enqueue(self, slots: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Add the slots that are not there yet; each has an approach, and settings that are fixed beforehand."""
        known = {trial.user_attrs.get("slot") for trial in self._trials()}
        for number, (approach, fixed) in enumerate(slots):
            if number not in known:
                self.study.enqueue_trial(fixed, user_attrs={"slot": number, "approach": approach})

    def rows(self) -> list[dict[str, Any]]:
        """One row a slot, in order, as ``study.json`` has them."""
        slots: dict[int, list[optuna.trial.FrozenTrial]] = {}
        for trial in self._trials():
            if "slot" in trial.user_attrs:
                slots.setdefault(trial.user_attrs["slot"], []).append(trial)
        return [_row(slot, trials) for slot, trials in sorted(slots.items())]

    def repair(self) -> None:
        """Put back the slots whose processes died; anybody may do so at any time."""
        with _quiet():
            _optuna().storages.fail_stale_trials(self.study)
        for row in self.rows():
            if row["state"] == "lost":
                say(f"trial {row['trial']} goes back in the queue: its process ({row['process']}) is gone")
                given = {"slot": row["trial"], "approach": row["approach"]}
                self.study.enqueue_trial(row["drawn"], user_attrs=given)

    def run_next(self, seed: int, work: Callable[[optuna.Trial], float]) -> None:
        """Take a waiting slot and work on it; errors of ``work`` are recorded, and the study goes on.

        Raises:
            KeyboardInterrupt: the slot is back in the queue.
        """
        library, trials = _optuna(), self._trials()
        running = sum(trial.state == library.trial.TrialState.RUNNING for trial in trials)
        probes = sum(trial.user_attrs.get("approach") == "probe" for trial in trials)
        taken: list[int] = []

        def taking(trial: optuna.Trial) -> float:
            taken.append(trial.number)
            return self._work(trial, work)

        with _quiet():
            # Two processes that ask while the other works draw different settings; one alone always draws the same.
            drawn = np.random.SeedSequence([seed, sum(trial.state.is_finished() for trial in trials), running])
            self.study.sampler = library.samplers.TPESampler(
                n_startup_trials=probes + OPEN_SAMPLES,
                multivariate=True,
                group=True,
                seed=int(drawn.generate_state(1)[0]),
            )
            self.study.pruner = library.pruners.MedianPruner(n_startup_trials=PRUNED_FROM, n_warmup_steps=PRUNED_AFTER)
            try:
                self.study.optimize(taking, n_trials=1, catch=Exception)
            except Exception:  # where Optuna notices that another process ended the trial, it fails in different ways
                if not any(trial.number in taken and trial.state.is_finished() for trial in self._trials()):
                    raise
                say("a trial of this process was given up for dead (was the machine asleep?), and another process "
                    "repeats it; what came of it here is not used")  # fmt: skip
            except KeyboardInterrupt:
                self.repair()
                raise

    def _work(self, trial: optuna.Trial, work: Callable[[optuna.Trial], float]) -> float:
        states, slot = _optuna().trial.TrialState, trial.user_attrs.get("slot")
        others = [one for one in self._trials() if one.user_attrs.get("slot") == slot and one.number != trial.number]
        ended = any(one.state in (states.COMPLETE, states.PRUNED) for one in others)
        if slot is None or ended or any(not one.state.is_finished() and one.number < trial.number for one in others):
            trial.set_user_attr("surplus", True)
            raise Surplus
        trial.set_user_attr("process", f"{os.getpid()} on {platform.node()}")
        try:
            return work(trial)
        except _optuna().TrialPruned:
            raise
        except Exception as problem:
            kind = "" if isinstance(problem, HeadstartError) else f"{type(problem).__name__}: "
            trial.set_user_attr("error", f"{kind}{problem}"[:500])
            raise
        except KeyboardInterrupt:
            trial.set_user_attr("interrupted", True)
            raise

    def best(self) -> dict[str, Any] | None:
        """The row of the best trial that ran through; of equal ones the one that took less time."""
        rows = [row for row in self.rows() if row["state"] == "finished"]
        return max(rows, key=lambda row: (row["score"], -(row["seconds"] or 0.0)), default=None)

    def wait(self) -> None:
        """Until no other process works on a trial any more."""
        said = False
        while running := [row for row in self.rows() if row["state"] == "running"]:
            if not said:
                say(f"waiting for trial {', '.join(str(row['trial']) for row in running)}, which other processes work on "
                    f"(one that was killed counts as dead after {GRACE} s)")  # fmt: skip
                said = True
            time.sleep(1)
            self.repair()

    @property
    def closed(self) -> str:
        """Where the winner is fitted on all data and tested; "" while the search is open."""
        return str(self.study.user_attrs.get("closed", ""))

    def close(self, where: str) -> None:
        self.study.set_user_attr("closed", where)

    def importance(self, names: list[str]) -> dict[str, float]:
        """Shares of the variance of the score that settings explain, by fANOVA (Hutter et al. 2014, ICML).

        Of the fine-tunings that ran through; empty where they are too few or too alike to tell.
        """
        library = _optuna()
        tuned = (trial for trial in self._trials() if trial.user_attrs.get("approach") == "finetune")
        done = [trial for trial in tuned if trial.state == library.trial.TrialState.COMPLETE]
        varied = [name for name in names if len({repr(trial.params.get(name)) for trial in done}) > 1]
        varied = [name for name in varied if all(name in trial.params for trial in done)]
        if len(done) < 6 or not varied:
            return {}
        evaluator = library.importance.FanovaImportanceEvaluator(seed=0)
        with _quiet():
            alone = library.create_study(direction="maximize")
            alone.add_trials(done)
            try:
                found = library.importance.get_param_importances(alone, params=varied, evaluator=evaluator)
            except RuntimeError:  # all scores are the same
                return {}
        return {name: float(share) for name, share in found.items()}

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def opened(url: str, identity: dict[str, Any]) -> Study:
    """The study of these facts in a database, made where there is none.

    Raises:
        MissingExtra: Optuna is not installed.
        ConfigError: the database cannot be reached, or its driver is not installed.
        RunError: the file holds a search of other data or settings.
    """
    library = _optuna()
    name = "headstart-" + hashlib.blake2b(repr(sorted(identity.items())).encode(), digest_size=8).hexdigest()
    try:
        with _quiet():
            storage = library.storages.RDBStorage(
                url, {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT, grace_period=GRACE,
            )  # fmt: skip
            if url.startswith("sqlite"):
                _swift(storage.engine)
            others = [entry for entry in library.get_all_study_names(storage) if entry != name]
            if url.startswith("sqlite") and others:
                before = library.load_study(study_name=others[0], storage=storage).user_attrs.get("identity", {})
                refuse_others(before, identity, url.removeprefix("sqlite:///"))
            study = library.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    except ImportError as problem:
        raise ConfigError(f"--storage: the driver of {url.split(':')[0]} is not installed ({problem}); it is the package "
                          "psycopg2-binary for PostgreSQL, and SQLAlchemy's documentation names the others.") from problem  # fmt: skip
    except HeadstartError:
        raise
    except Exception as problem:
        reason = str(getattr(problem, "orig", None) or problem).splitlines()[0]
        raise ConfigError(f"--storage: the database cannot be used ({type(problem).__name__}: {reason}). Expected an "
                          "SQLAlchemy URL such as sqlite:///search.sqlite or postgresql://user@host/name.") from problem  # fmt: skip
    if "identity" not in study.user_attrs:
        study.set_user_attr("identity", identity)
    return Study(study)


def _swift(engine: Any) -> None:
    """A write-ahead log: commits in a millisecond, and readers beside a writer. It survives a killed process."""
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def settle(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    engine.dispose()  # connections made before this know nothing of it


def _row(slot: int, trials: list[optuna.trial.FrozenTrial]) -> dict[str, Any]:
    """What has become of a slot, from all trials that were made for it."""
    states = _optuna().trial.TrialState
    own = [trial for trial in trials if not trial.user_attrs.get("surplus")]
    killed = [t for t in own if t.state == states.FAIL and not {"error", "interrupted"} & set(t.user_attrs)]
    ranks = {states.COMPLETE: 0, states.PRUNED: 1, states.RUNNING: 2, states.WAITING: 3, states.FAIL: 4}
    trial = min(own, key=lambda t: (ranks[t.state], "error" not in t.user_attrs, -t.number))
    names = {states.COMPLETE: "finished", states.PRUNED: "pruned", states.RUNNING: "running", states.WAITING: "waiting"}
    facts, state = trial.user_attrs, names.get(trial.state, "lost")
    error = facts.get("error", "")
    if state == "lost" and len(killed) >= ATTEMPTS:
        error = f"its process was killed {len(killed)} times; is memory short?"
    steps = trial.intermediate_values
    return {
        "trial": slot,
        "state": "failed" if error else state,
        "approach": facts.get("approach"),
        "settings": facts.get("settings", {}),
        "drawn": trial.params or trial.system_attrs.get("fixed_params", {}),
        "score": trial.value if state == "finished" else max(steps.values(), default=None),
        "value": facts.get("value"),
        "seconds": facts.get("seconds"),
        "epochs": facts.get("epochs", 0),
        "cut": facts.get("cut", False),
        "error": error,
        "killed": len(killed),
        "process": facts.get("process", ""),
    }


def _optuna() -> Any:
    """The library.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import optuna
        import optuna.importance
    except ImportError as problem:
        raise MissingExtra("optuna", "tune", "headstart tune") from problem
    return optuna


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna's own log lines and its warnings that an interface is experimental: what matters is said here."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
