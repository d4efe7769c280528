"""Every benchmark after the other, each in a process of its own: python benchmarks/run_all.py [--quick] [--only NAME,...]

Writes results/NAME.json for each (below results/quick/ with --quick) and results/all.json with every goal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from _shared import RESULTS, Row, print_table, write_json

NAMES = ("extraction", "time_to_probe", "embedded", "accuracy", "verdict", "texts", "sounds", "finetuning", "training_speed",
         "boundary_cache", "robustness", "tuning_search", "audit", "clean", "ranking", "logme_speed", "advice", "office_surf",
         "shift_speed", "adaptation", "mnist_m", "label_kinds", "multitask", "multitask_step")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Smoke tests; their numbers mean nothing.")
    parser.add_argument("--only", default=",".join(NAMES), help=f"Out of: {', '.join(NAMES)}.")
    options = parser.parse_args()
    folder = RESULTS / "quick" if options.quick else RESULTS
    failed, found, rows = [], {}, list[Row]()
    for name in options.only.split(","):
        path = folder / f"{name}.json"
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), "--json", str(path)]
        print(f"\n=== {name} ===", flush=True)
        if subprocess.run(command + ["--quick"] * options.quick).returncode:
            failed.append(name)
            continue
        found[name] = json.loads(path.read_text("utf-8"))
        for goal in found[name]["goals"]:
            wanted = f"{'<=' if goal['at_most'] else '>='} {goal['bound']:g}"
            rows.append({"benchmark": name, "goal": goal["what"], "wanted": wanted, "measured": goal["value"],
                         "": "met" if goal["met"] else "NOT MET"})  # fmt: skip
    if rows:
        print_table("All goals" + (" (quick: not meaningful)" if options.quick else ""), rows)
    write_json(folder / "all.json", {"failed": failed, "benchmarks": found})
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
