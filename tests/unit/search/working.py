"""One of several processes on one study: works its slots off, each for a moment, and writes down which it had."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from headstart.search import study as studies

studies.HEARTBEAT, studies.GRACE = 1, 3
IDENTITY = {"model": "none", "seed": 0}


def main(folder: Path, pause: float) -> None:
    study = studies.opened(f"sqlite:///{folder / 'study.sqlite'}", IDENTITY)

    def work(trial: Any) -> float:
        value = trial.suggest_float("x", 0.0, 1.0)
        with (folder / "begun.txt").open("a") as file:  # a short line is written whole
            file.write(f"{trial.user_attrs['slot']} {value} {os.getpid()}\n")
        time.sleep(pause)
        with (folder / "done.txt").open("a") as file:
            file.write(f"{trial.user_attrs['slot']} {value}\n")
        return value

    while any(row["state"] in ("waiting", "running") for row in study.rows()):
        study.repair()
        if any(row["state"] == "waiting" for row in study.rows()):
            study.run_next(0, work)
        else:
            time.sleep(0.1)
        study.repair()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
