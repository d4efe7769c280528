"""LogME on 20,000 x 2,048 features of 200 classes, beside a straightforward NumPy version of the authors' code.

python benchmarks/logme_speed.py [--quick]
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import numpy as np
from _shared import Goal, Report, main

ROWS, FEATURES, CLASSES, ROUNDS = 20_000, 2048, 200, 3


def features(rows: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 features of a decaying spectrum, and class numbers that they say something of."""
    rng = np.random.default_rng(0)
    numbers = np.arange(rows) % classes
    x = rng.standard_normal((rows, width), np.float32) * np.geomspace(3, 0.1, width, dtype=np.float32)
    return x + 0.5 * rng.standard_normal((classes, width), np.float32)[numbers], numbers


def straightforward(x: np.ndarray, numbers: np.ndarray) -> float:
    """The reference as one writes it down: float64, one decomposition, then class by class with all left vectors."""
    f = x.astype(np.float64)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    return _classes(u, (s**2).reshape(-1, 1), numbers, f.shape)


def truncated(x: np.ndarray, numbers: np.ndarray) -> float:
    """The same with the authors' shortcut: the decomposition of the smaller matrix x'x, then u = x v / s."""
    f = x.astype(np.float64)
    _, values, vh = np.linalg.svd(f.T @ f)
    s = np.sqrt(values)
    u = f @ vh.T / s
    return _classes(u, (s**2).reshape(-1, 1), numbers, f.shape)


def _classes(u: np.ndarray, sigma: np.ndarray, numbers: np.ndarray, shape: tuple[int, ...]) -> float:
    n, d = shape
    evidences = []
    for label in range(int(numbers.max()) + 1):
        y = (numbers == label).astype(np.float64).reshape(-1, 1)
        x2 = (u.T @ y) ** 2
        rest = (y**2).sum() - x2.sum()
        alpha, beta = 1.0, 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = (sigma / (sigma + t)).sum()
            m2 = (sigma * x2 / (t + sigma) ** 2).sum()
            res2 = (x2 / (1 + sigma / t) ** 2).sum() + rest
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (res2 + 1e-5)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        evidence = d / 2 * np.log(alpha) + n / 2 * np.log(beta) - 0.5 * np.log(alpha + beta * sigma).sum()
        evidences.append((evidence - beta / 2 * res2 - alpha / 2 * m2 - n / 2 * np.log(2 * np.pi)) / n)
    return float(np.mean(evidences))


def headstart(x: np.ndarray, numbers: np.ndarray) -> float:
    from headstart.ranking.scorers.logme import evidences

    return float(evidences(x, numbers, int(numbers.max()) + 1).mean())


RIVALS = {"headstart": headstart, "NumPy, decomposition of x": straightforward, "NumPy, decomposition of x'x": truncated}


def _alone(name: str, shape: tuple[int, int, int], pipe: object) -> None:
    """In a process of its own: value, seconds, and how much the peak of memory grew beyond the features."""
    x, numbers = features(*shape)
    RIVALS[name](x[:500, :64].copy(), numbers[:500] % 5)  # warms up
    before = _peak()
    begun, spent = time.perf_counter(), time.process_time()
    value = RIVALS[name](x, numbers)
    pipe.send((value, time.perf_counter() - begun, time.process_time() - spent, _peak() - before))  # type: ignore[attr-defined]


def _peak() -> float:
    """MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(options: argparse.Namespace) -> Report:
    shape = (2000, 256, 20) if options.quick else (ROWS, FEATURES, CLASSES)
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in RIVALS}
    for _ in range(1 if options.quick else options.rounds):
        for name in RIVALS:
            here, there = context.Pipe(False)
            process = context.Process(target=_alone, args=(name, shape, there))
            process.start()
            found[name].append(here.recv())
            process.join()
    rows = []
    for name, runs in found.items():
        value, wall, processor, memory = (float(np.median([run[i] for run in runs])) for i in range(4))
        rows.append({"who": name, "value": value, "seconds": wall, "processor seconds": processor, "memory, MB": memory})
    own, plain, short = rows
    report = Report({f"LogME, {shape[0]} x {shape[1]} features, {shape[2]} classes": rows})
    report.goals = [
        Goal("times as fast as the straightforward NumPy version (processor time)", plain["processor seconds"] / own["processor seconds"], 5),
        Goal("difference to its value, relative", abs(own["value"] / plain["value"] - 1), 1e-6, at_most=True),
        Goal("memory beyond the features, MB", own["memory, MB"], 8 * shape[1] ** 2 * 6 / 1e6 + 100, at_most=True),
    ]
    report.facts = {"times as fast as the version that decomposes x'x": short["processor seconds"] / own["processor seconds"],
                    "runs": found}  # fmt: skip
    return report


if __name__ == "__main__":
    main("logme_speed", __doc__, measure, lambda parser: parser.add_argument("--rounds", type=int, default=ROUNDS))
