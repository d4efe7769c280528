"""Two hospitals measure the same four values on different scales: how far apart are they, and what helps?

    python docs/examples/domain_shift.py
"""

import os
import tempfile

import numpy as np
from sklearn.linear_model import LogisticRegression

import headstart as hs

MIX = np.array([[1.0, 0.6, 0.0, 0.0], [0.0, 1.0, 0.8, 0.0], [0.0, 0.0, 1.0, 0.7], [0.5, 0.0, 0.0, 1.0]])


def hospital(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(num, 4) measurements and whether each patient is ill."""
    rng = np.random.default_rng(seed)
    ill = rng.random(num) < 0.5
    return rng.normal(size=(num, 4)) + 1.6 * np.outer(ill, [1, -1, 1, 0]), ill


def main() -> None:
    source, labels = hospital(400, 0)
    target, truth = hospital(300, 1)
    target = target @ MIX * [1.0, 2.0, 0.5, 1.0] + [2.0, 0.0, -1.0, 0.0]  # another device
    print(hs.shift.mmd(source, target))
    print("proxy A-distance", hs.shift.proxy_a_distance(source, target))

    plain = LogisticRegression().fit(source, labels)
    print(f"as it is: accuracy {plain.score(target, truth):.3f}")
    # TCA looks at means alone, and here it does harm: adaptation is no gain by itself
    for method in (hs.shift.CORAL(regularisation=0.01), hs.shift.LinearTransport(), hs.shift.TCA(3, kernel="primal")):
        adapted = hs.shift.AdaptedClassifier(method).fit(source, target, labels)
        print(f"{type(method).__name__}: accuracy {adapted.score(target, truth):.3f}")

    with tempfile.TemporaryDirectory() as cache:
        os.environ["HEADSTART_CACHE"] = cache
        found = hs.measure_shift((source, ["ill" if value else "well" for value in labels]), (target, None))
    print(found.summary)


if __name__ == "__main__":
    main()
