"""What long work says while it runs: log lines and progress bars with the time left, on standard error."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
logger = logging.getLogger("headstart")
_state = {"quiet": True, "live": False}


def say(message: str) -> None:
    """One line for the person at the terminal; it also goes to the logger ``headstart``."""
    logger.info(message)
    if not _state["quiet"]:
        print(message, file=sys.stderr, flush=True)  # a Console of its own would write across a bar


def brief_duration(seconds: float) -> str:
    """42 -> 42 s; 250 -> 4 min; 7200 -> 2.0 h"""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def first_process() -> bool:
    """Whether this process is the first of those that a launcher started, or the only one: the others stay silent."""
    return _launched("RANK", "RANK", 0) == 0 or num_processes() <= 1


def num_processes() -> int:
    """How many processes a launcher started for this work: ``accelerate launch``, ``torchrun`` or ``mpirun`` says it."""
    return _launched("WORLD_SIZE", "SIZE", 1)


def _launched(name: str, short: str, default: int) -> int:
    """A number from torch's launchers, or from Intel MPI, Open MPI or MVAPICH2, as Accelerate reads them."""
    names = (name, f"PMI_{short}", f"OMPI_COMM_WORLD_{short}", f"MV2_COMM_WORLD_{short}")
    return next((int(os.environ[entry]) for entry in names if entry in os.environ), default)


@contextmanager
def speaking() -> Iterator[None]:
    """Within it, log lines and bars are shown; the command line uses it, a library call stays silent."""
    before = _state["quiet"]
    _state["quiet"] = not first_process()
    try:
        yield
    finally:
        _state["quiet"] = before


@contextmanager
def hushed() -> Iterator[None]:
    """Within it nothing is shown: for a small training that is one of many. The logger still hears of it."""
    before = _state["quiet"]
    _state["quiet"] = True
    try:
        yield
    finally:
        _state["quiet"] = before


def track(work: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of ``work`` while a bar shows how many are done and how long the rest will take."""
    if _state["quiet"] or _state["live"] or not sys.stderr.isatty():
        yield from work
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    _state["live"] = True
    try:
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bars:
            yield from bars.track(work, total=total, description=what)
    finally:
        _state["live"] = False
