"""KMM: source weights under which the two means in the kernel's feature space agree.

Huang, Smola, Gretton, Borgwardt, Schoelkopf: Correcting Sample Selection Bias by Unlabeled Data, NIPS 2006, equation 5.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Weighting
from headstart.shift._inputs import Domains
from headstart.shift._kernels import EXACT, gamma_of, landmarks, rbf
from headstart.shift._moments import blocks
from headstart.shift._pencil import Product


class KMM(Weighting):
    """Weights b that minimise ``b' K b / 2 - k' b`` with 0 <= b <= ``largest`` and |mean(b) - 1| <= ``slack``.

    K is the RBF kernel of the source, k_i = num_source / num_target * sum of k(source_i, target_j) over j. Solved by
    accelerated projected gradients (FISTA). Afterwards the weights are scaled to mean 1.

    Args:
        largest: upper bound B of a weight.
        slack: epsilon; None: 1 - 1 / sqrt(num_source), as the paper suggests.
        gamma: of exp(-gamma |x - y|^2); None: 1 / the median squared distance.
        num_landmarks: beyond 4,000 source rows the kernel is approximated on so many (Nystroem), which is said.
        num_iterations: at most.
        seed: of the landmarks.
    """

    def __init__(
        self,
        largest: float = 1000.0,
        slack: float | None = None,
        gamma: float | None = None,
        num_landmarks: int = 1000,
        num_iterations: int = 2000,
        seed: int = 0,
    ) -> None:
        self.largest = largest
        self.slack = slack
        self.gamma = gamma
        self.num_landmarks = num_landmarks
        self.num_iterations = num_iterations
        self.seed = seed

    def _weigh(self, domains: Domains) -> np.ndarray:
        num = domains.num_source
        slack = 1 - 1 / np.sqrt(num) if self.slack is None else self.slack
        if self.largest < 1 or slack < 0:
            raise ConfigError(
                f"largest is {self.largest} and slack {slack}: the mean weight is 1, so neither can be so."
            )
        if domains.single:
            return np.ones(num)
        product, linear, step = self._problem(domains)
        bounds = num * (1 - slack), num * (1 + slack)
        b = previous = np.ones(num)
        momentum = 1.0
        for _ in range(self.num_iterations):
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead = b + (momentum - 1) / following * (b - previous)
            previous, momentum = b, following
            b = projected(ahead - step * (product(ahead) - linear), self.largest, bounds)
            if (ahead - b) @ (b - previous) > 0:  # the momentum points uphill: begin anew (O'Donoghue, Candes 2015)
                momentum = 1.0
            if np.abs(b - previous).max() < 1e-7 * max(b.max(), 1.0):
                break
        return b / b.mean()

    def _problem(self, domains: Domains) -> tuple[Product, np.ndarray, float]:
        """The product with K, k (num_source,), and 1 / a bound of the largest eigenvalue of K."""
        source, target, num = domains.source, domains.target, domains.num_source
        gamma = gamma_of(domains, self.gamma, self.seed)
        share = num / domains.num_target
        if num <= EXACT:
            k = rbf(source, source, gamma)
            linear = np.zeros(num)
            for rows in blocks(target, num):
                linear += share * rbf(source, target[rows], gamma).sum(1)
            return (lambda v: k @ v), linear, 1 / _largest(lambda v: k @ v, num)
        say(f"KMM: {num} source rows: the kernel is approximated on {self.num_landmarks} landmarks (Nystroem).")
        features = landmarks(domains, gamma, self.num_landmarks, self.seed)
        f = np.concatenate([features(source[rows]) for rows in blocks(source, self.num_landmarks)])
        mean = sum(features(target[rows]).sum(0) for rows in blocks(target, self.num_landmarks)) / domains.num_target
        return (lambda v: f @ (f.T @ v)), num * (f @ mean), 1 / _largest(lambda v: f @ (f.T @ v), num)


def _largest(product: Product, size: int) -> float:
    """Slightly above the largest eigenvalue of a kernel matrix: its entries are positive, so powers of it converge."""
    v = np.ones(size)
    for _ in range(30):
        v = product(v)
        v /= np.linalg.norm(v)
    return 1.05 * float(v @ product(v))


def projected(b: np.ndarray, largest: float, bounds: tuple[float, float]) -> np.ndarray:
    """The nearest weights with 0 <= b <= largest and a sum within ``bounds``: shift all, clip, by bisection."""
    clipped = np.clip(b, 0, largest)
    total = clipped.sum()
    if bounds[0] <= total <= bounds[1]:
        return clipped
    wanted = bounds[0] if total < bounds[0] else bounds[1]
    low, high = b.min() - largest, b.max()  # a shift by low leaves everything at the top, by high at 0
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(b - middle, 0, largest).sum() > wanted:
            low = middle
        else:
            high = middle
    return np.clip(b - high, 0, largest)
