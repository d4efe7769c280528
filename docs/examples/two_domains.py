"""A table of two hospitals: adapt to the second one without its labels, and let its labels judge.

python docs/examples/two_domains.py
"""

import os
import tempfile

import numpy as np

import headstart as hs


def hospital(num: int, seed: int, drift: float = 0.0) -> tuple[list[dict[str, float]], list[str]]:
    """Rows of four values and whether each patient is ill; ``drift``: how differently the devices measure."""
    rng = np.random.default_rng(seed)
    ill = rng.random(num) < 0.5
    values = rng.normal(size=(num, 4)) + 1.6 * np.outer(ill, [1, -1, 1, 0])
    values = values * (1 + drift * np.array([0.0, 1.0, -0.5, 0.0])) + drift * np.array([2.0, 0.0, -1.0, 0.0])
    rows = [dict(zip(("pulse", "pressure", "sugar", "age"), map(float, row), strict=True)) for row in values]
    return rows, ["ill" if one else "well" for one in ill]


def dataset(name: str, rows: list[dict[str, float]], labels: list[str]) -> hs.Dataset:
    return hs.Dataset(rows, [f"{name} {i}" for i in range(len(rows))], labels, "table", origin=name)


def main() -> None:
    source = dataset("first hospital", *hospital(300, 0))
    target = dataset("second hospital", *hospital(200, 1, drift=1.0))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = f"{folder}/cache"
        for approach in ("auto", "linear_transport"):
            run = hs.fit(source, approach=approach, target=target, out=f"{folder}/{approach}")
            print(f"{approach}: {run.result['approach']}, accuracy {run.scores['accuracy']:.3f}")
            print(run.verdict or run.result["no_verdict"])


if __name__ == "__main__":
    main()
