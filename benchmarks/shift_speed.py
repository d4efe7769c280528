"""TCA on Amazon reviews (5,000 words): seconds and memory beside skada and ADAPT, growth with rows, and large samples.

    python benchmarks/shift_speed.py --peers /path/to/python        # of an environment with `pip install skada adapt`

Every measurement is a process of its own that fits 50 components on the same dense float64 arrays and transforms both
domains; imports and reading are not counted. Rivals take turns. Seconds are those of the clock; those of the processor
(all threads) stand beside them and decide, since they suffer less from whatever else the machine does. A rival that needs longer than
``--limit`` seconds is stopped, and its time is a lower bound.

Large samples: 200,000 and 370,000 rows are drawn from the real rows with a fifth of the words of each left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _shared import Goal, Report, Row, Skip, data_folder, main, median, progress

SIZES = (500, 1000, 2000, 4000)  # rows a domain
LARGER = (4000, 8000, 16000, 32000)
COMPONENTS, DIM = 50, 5000
DOMAINS = ("books", "kitchen")
OURS = ("headstart linear", "headstart rbf", "headstart linear, sparse")
PEERS = ("skada linear", "skada rbf", "ADAPT linear", "ADAPT rbf")
HUGE = {  # name: (kind of rows, rows of both domains, kernel)
    "200,000 x 5,000 sparse, linear": ("sparse", 200_000, "linear"),
    "200,000 x 5,000 dense float32 in a file, linear": ("memmap", 200_000, "primal"),
    "370,000 x 5,000 sparse, RBF on landmarks": ("sparse", 370_000, "rbf"),
    "370,000 x 5,000 sparse, linear": ("sparse", 370_000, "linear"),
}


def rows_of(domain: str, num: int, seed: int) -> Any:
    """(num, 5000) CSR: real rows, and where more are wanted than there are, copies with a fifth of the words left out."""
    import scipy.sparse
    from sklearn.datasets import load_svmlight_file

    folder = data_folder("amazon-reviews")
    parts = [
        load_svmlight_file(str(folder / f"{domain}_{part}.svmlight"), n_features=DIM)[0] for part in ("train", "test")
    ]
    rows = scipy.sparse.csr_matrix(scipy.sparse.vstack(parts))
    rng = np.random.default_rng(seed)
    if num <= rows.shape[0]:
        return rows[rng.permutation(rows.shape[0])[:num]]
    found = rows[rng.integers(rows.shape[0], size=num)].astype(np.float32)
    found.data *= rng.random(len(found.data)) >= 0.2
    found.eliminate_zeros()
    return found


def work(name: str, num: int) -> dict[str, float]:
    """One measurement, in this process."""
    library, _, kernel = name.partition(" ")
    source, target = (rows_of(domain, num, seed) for seed, domain in enumerate(DOMAINS))
    if "sparse" not in name:
        source, target = source.toarray(), target.toarray()
    kernel = kernel.partition(",")[0]
    run = {"headstart": _ours, "skada": _skada, "ADAPT": _adapt}[library](kernel)
    return timed(lambda: run(source, target))


def timed(run: Any) -> dict[str, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    run()
    return {"seconds": time.perf_counter() - begun, "processor": time.process_time() - cpu, "gigabytes": _peak()}


def _peak() -> float:
    """The most memory that this process ever held, without pages of files, which the system can take back, in GB."""
    status = Path("/proc/self/status").read_text("utf-8")
    held = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.endswith("kB")}
    return (held["VmHWM"] - held.get("RssFile", 0)) / 1e6


def _ours(kernel: str) -> Any:
    from headstart.shift import TCA  # found when first asked for: an import like those of the others

    def run(source: Any, target: Any) -> None:
        fitted = TCA(COMPONENTS, kernel).fit(source, target)
        fitted.transform(source, domain="source"), fitted.transform(target)

    return run


def _skada(kernel: str) -> Any:
    from skada._subspace import TransferComponentAnalysisAdapter

    def run(source: Any, target: Any) -> None:
        sides = np.repeat([1, -2], (len(source), len(target)))
        method = TransferComponentAnalysisAdapter(kernel, COMPONENTS)
        method.fit_transform(np.concatenate([source, target]), sample_domain=sides)

    return run


def _adapt(kernel: str) -> Any:
    from adapt.feature_based import TCA

    def run(source: Any, target: Any) -> None:
        method = TCA(n_components=COMPONENTS, kernel=kernel, verbose=0)
        method.fit_transform(source, target), method.transform(target)

    return run


def huge(name: str) -> dict[str, float]:
    """A large sample, in this process; what is read or written before the fit is not counted."""
    kind, num, kernel = HUGE[name]
    source, target = (rows_of(domain, num // 2, seed) for seed, domain in enumerate(DOMAINS))
    if kind == "memmap":
        source, target = (_in_file(x, name) for x, name in ((source, "source"), (target, "target")))
    return {**timed(lambda: _ours(kernel)(source, target)), "rows": num}


def _in_file(x: Any, name: str) -> Any:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"headstart-shift-{name}-{os.getpid()}.npy"
    out = np.lib.format.open_memmap(path, "w+", np.float32, x.shape)
    for start in range(0, x.shape[0], 5000):
        out[start : start + 5000] = x[start : start + 5000].toarray()
    out.flush()
    found = np.load(path, mmap_mode="r")
    path.unlink()  # it stays as long as it is mapped
    return found


def child(python: str, limit: float, *words: str) -> dict[str, float] | None:
    """What a measurement prints; None where it was stopped."""
    command = [python, "-W", "ignore", str(Path(__file__).resolve()), "--child", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 60, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise Skip(f"{words}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> Report:
    sizes = SIZES[:2] if options.quick else tuple(options.sizes)
    names = dict.fromkeys(OURS, sys.executable) | (dict.fromkeys(PEERS, options.peers) if options.peers else {})
    times: dict[tuple[str, int], list[dict[str, float]]] = {}
    stopped: set[str] = set()
    for size in sizes:
        for _ in range(1 if options.quick else options.rounds):
            for name, python in names.items():
                if name in stopped:
                    continue
                if (found := child(python, options.limit, name, str(size))) is None:
                    stopped.add(name)
                else:
                    times.setdefault((name, size), []).append(found)
                    if found["seconds"] > options.limit / 4:
                        stopped.add(name)  # twice the rows would take some eight times as long
                progress(f"{size} rows, {name}: {found['seconds'] if found else f'> {options.limit:g}'} s")
    report = Report(facts={"times": {f"{name}, {size}": each for (name, size), each in times.items()}})
    report.tables["Seconds of the clock, by rows a domain"] = _table(names, sizes, times, "seconds")
    report.tables["Seconds of the processor"] = _table(names, sizes, times, "processor")
    report.tables["Most memory, GB"] = _table(names, sizes, times, "gigabytes")
    if options.peers:
        for kernel in ("linear", "rbf"):
            rivals = [n for n in PEERS if kernel in n and (n, 1000) in times]
            ours = _median(times[f"headstart {kernel}", 1000], "processor")
            for name in rivals:
                report.goals.append(
                    Goal(
                        f"{name} / headstart {kernel}, 1,000 rows, processor",
                        _median(times[name, 1000], "processor") / ours,
                        10,
                    )
                )
    _growth(report, sizes, times, options)
    if not options.quick and not options.no_huge:
        _huge(report, options)
    return report


def _table(names: Any, sizes: Any, times: Any, what: str) -> list[Row]:
    return [
        {
            "": name,
            **{f"{size:,}": _median(times[name, size], what) if (name, size) in times else None for size in sizes},
        }
        for name in names
    ]


def _median(each: list[dict[str, float]], what: str = "seconds") -> float:
    return median(entry[what] for entry in each)


def _growth(report: Report, sizes: Any, times: Any, options: argparse.Namespace) -> None:
    """Exponents of rows: the slope of log time over log rows, by least squares."""
    larger = {
        size: child(sys.executable, 600, "headstart linear, sparse", str(size)) for size in LARGER if not options.quick
    }
    exponents = {name: _slope({s: _median(times[name, s], "processor") for s in sizes}) for name in OURS}
    if larger:
        exponents["headstart linear, sparse, 4,000 to 32,000"] = _slope(
            {s: e["processor"] for s, e in larger.items() if e}
        )
        report.facts["larger"] = larger
    for name in PEERS:
        if len(known := {s: _median(times[name, s], "processor") for s in sizes if (name, s) in times}) > 1:
            exponents[name] = _slope(known)
    report.tables["Growth: seconds of the processor ~ rows to the power of"] = [
        {"": n, "power": e} for n, e in exponents.items()
    ]
    report.goals.append(Goal("growth of RBF", exponents["headstart rbf"], 2, at_most=True))
    if larger:
        report.goals.append(
            Goal("growth of linear", exponents["headstart linear, sparse, 4,000 to 32,000"], 1.1, at_most=True)
        )


def _slope(times: dict[int, float]) -> float:
    return float(np.polyfit([math.log(s) for s in times], [math.log(t) for t in times.values()], 1)[0])


def _huge(report: Report, options: argparse.Namespace) -> None:
    rows = []
    for name in HUGE:
        found = child(sys.executable, 3000, "huge", name)
        progress(f"{name}: {found}")
        if found:
            rows.append({"": name, **found})
            report.goals.append(Goal(f"{name}: GB", found["gigabytes"], 8, at_most=True))
    report.tables["Large samples"] = rows


def extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers", help="Python of an environment with skada and adapt; without it only headstart runs."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Measurements of each.")
    parser.add_argument("--limit", type=float, default=120, help="Seconds after which a rival is stopped.")
    parser.add_argument(
        "--sizes", type=lambda text: [int(s) for s in text.split(",")], default=list(SIZES), help="Rows a domain."
    )
    parser.add_argument("--no-huge", action="store_true", help="Leave the large samples out.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(huge(sys.argv[3]) if sys.argv[2] == "huge" else work(sys.argv[2], int(sys.argv[3]))))
    else:
        main("shift_speed", __doc__, measure, extend)
