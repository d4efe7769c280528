"""mSDA: features that are filled in from one another, learnt on both domains at once.

Chen, Xu, Weinberger, Sha: Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012, arXiv 1206.4683,
equations 3-8 and section 3.3 (high dimensions).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import scipy.sparse

from headstart.errors import ConfigError
from headstart.progress import say
from headstart.shift import Adapter, Domain
from headstart.shift._inputs import Domains, Rows, dense
from headstart.shift._moments import blocks

RIDGE = 1e-5
SINGLE = 0.1  # noise from which on float32 rows are solved for in float32
Layer = tuple[np.ndarray, np.ndarray]  # weights (dim, dim_out) and bias (dim_out,), applied as tanh(x W + b)


class MSDA(Adapter):
    """Rows become [x, h_1, ..., h_L], h_l = tanh(W h_(l-1)): each layer restores inputs of which a share was zeroed.

    Every feature is dropped with probability ``noise``; in expectation over all ways to drop, the least squares weights
    are ``W = P Q^(-1)`` (equation 5), with S = X X' over all rows of both domains, a constant 1 added to each that is
    never dropped, Q and P of equations 7 and 8. A word that only one domain uses is so replaced by what it goes with.

    In high dimensions only the ``num_features`` most frequent features are restored, from all of them in the first
    layer. The paper restores them from random parts of the features and averages; here it is exact.

    Args:
        num_layers: L.
        noise: probability that a feature is dropped, in every layer.
        num_features: how many features a layer restores; None: all. Cost: dim^3 / 3 + dim^2 * num_features.
        keep_input: whether x itself leads the output.
        ridge: added to the diagonal of Q, as a share of its mean: for features that are always 0.

    Attributes:
        layers_: for each layer, weights (dim_in, dim_out) and bias (dim_out,).
        restored_: numbers of the restored features, ascending.
    """

    def __init__(
        self,
        num_layers: int = 3,
        noise: float = 0.7,
        num_features: int | None = None,
        keep_input: bool = True,
        ridge: float = RIDGE,
    ) -> None:
        self.num_layers = num_layers
        self.noise = noise
        self.num_features = num_features
        self.keep_input = keep_input
        self.ridge = ridge

    def _learn(self, domains: Domains) -> None:
        if self.num_layers < 1 or not 0 <= self.noise < 1 or self.ridge < 0 or (self.num_features or 1) < 1:
            raise ConfigError(
                f"num_layers is {self.num_layers} (at least 1), noise {self.noise} (0 to less than 1), num_features "
                f"{self.num_features} (at least 1), ridge {self.ridge} (at least 0)."
            )
        parts = [domains.source] if domains.single else [domains.source, domains.target]
        self.restored_ = frequent(parts, self.num_features)
        self.layers_: list[Layer] = []
        for layer, _ in layers(parts, self.num_layers, self.noise, self.restored_, self.ridge):
            self.layers_.append(layer)

    def _map(self, x: Rows, domain: Domain) -> np.ndarray:
        outputs = [dense(x)] if self.keep_input else []
        for layer in self.layers_:
            x = hidden(x, layer)
            outputs.append(x)
        return np.concatenate(outputs, axis=1)


def layers(
    parts: list[Rows], num_layers: int, noise: float, restored: np.ndarray, ridge: float
) -> Iterator[tuple[Layer, list[np.ndarray]]]:
    """Layer upon layer, each with its outputs for all parts, (num, num_restored) each."""
    for _ in range(num_layers):
        layer = denoiser(parts, noise, restored, ridge)
        parts, restored = [hidden(x, layer) for x in parts], np.arange(len(restored))
        yield layer, parts


def frequent(parts: list[Rows], num_features: int | None) -> np.ndarray:
    """Numbers of the features that are most often not 0, ascending; all of them where no number is given."""
    dim = parts[0].shape[1]
    if num_features is None or num_features >= dim:
        return np.arange(dim)
    counts = sum(np.asarray((x != 0).sum(0)).ravel() for x in parts)
    if np.min(counts) == np.max(counts):
        say(f"mSDA: all features are equally frequent; the first {num_features} are restored.")
    return np.sort(np.argsort(-counts, kind="stable")[:num_features])


def denoiser(parts: list[Rows], noise: float, restored: np.ndarray, ridge: float) -> Layer:
    """One layer in closed form from rows (num, dim), in parts; ``restored``: numbers of the features it gives back."""
    dim, dtype = parts[0].shape[1], parts[0].dtype
    # scaled to a diagonal of ones the noise keeps Q far from singular: single precision is enough for single rows
    exact = np.float32 if dtype == np.float32 and noise >= SINGLE else np.float64
    s = np.zeros((dim + 1, dim + 1), exact)
    for x in parts:
        for rows in blocks(x):
            block = x[rows].astype(exact, copy=False)
            s[:dim, :dim] += dense(block.T @ block)
            s[dim, :dim] += np.asarray(block.sum(0)).ravel()
    s[:dim, dim], s[dim, dim] = s[dim, :dim], sum(x.shape[0] for x in parts)
    survive = np.append(np.full(dim, 1 - noise), 1.0).astype(exact)
    diagonal = survive * np.diag(s) + ridge * np.trace(s) / (dim + 1)  # of the paper's Q
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1))
    even = survive / size
    p = even[:, None] * s[:, restored]  # (dim + 1, num_restored), the transpose of the paper's
    s *= even
    s *= even[:, None]
    s[np.diag_indices(dim + 1)] = diagonal / size**2
    w = scipy.linalg.solve(s, p, assume_a="pos", overwrite_a=True, overwrite_b=True, check_finite=False)
    w = w / size[:, None]
    return w[:dim].astype(dtype), w[dim].astype(dtype)


def hidden(x: Rows, layer: Layer) -> np.ndarray:
    """tanh(x W + b), (num, dim_out)."""
    out = x @ layer[0]
    out += layer[1]
    return np.tanh(out, out=out)
