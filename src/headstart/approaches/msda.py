"""mSDA on features: each is restored from the others, layer upon layer, and a classifier is fitted on all layers.

Chen, Xu, Weinberger, Sha: Marginalized Denoising Autoencoders for Domain Adaptation, ICML 2012, arXiv 1206.4683. With
``then="dann"`` it is the mSDA + DANN of Ganin et al., JMLR 17(59), 2016, section 5.1.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from headstart import config, plugins
from headstart.approaches._adaptation import Adaptation, fit_on_features
from headstart.approaches._rows import Pair, Scaling, are_counts, scaling
from headstart.data.split import Split
from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.predictor import Predictor
from headstart.tasks import Head, Task
from headstart.tasks._layers import LayeredHead
from headstart.training.run import Run


@dataclass(frozen=True)
class Msda(Adaptation):
    """Args:
    num_layers, noise, num_features: as in ``hs.shift.MSDA``, by default the layers and the noise of the DANN paper;
        num_features 0 restores all.
    then: the approach that goes on with the layers' outputs: source_only, dann, selftrain or another one that ends in
        linear layers.
    weight: of that approach's alignment, where it has one.
    """

    num_layers: int = 5
    noise: float = 0.5
    num_features: int = 1000
    then: str = "source_only"
    weight: float = 1.0
    needs = frozenset({"vector"})

    def fit(self, backbone: Backbone, task: Task, split: Split, run: Run) -> Predictor:
        return fit_on_features(self, backbone, task, split, run)

    def learn(self, pair: Pair, run: Run) -> Head:
        denoised = self.denoise(pair)
        return denoised.finish(self.following().learn(denoised.pair, run))

    def denoise(self, pair: Pair) -> Denoised:
        """The part that looks at no label: the same for all that may follow."""
        from headstart.shift.msda import RIDGE, frequent, layers

        source, target = pair.source, pair.target
        counts = are_counts(source, target)
        if counts:  # that a word occurs says more than how often; what occurs is about 1, so that tanh bends and not cuts
            source, target = np.log1p(source), np.log1p(target)
            scaled = Scaling(np.zeros(source.shape[1], np.float32), np.full(source.shape[1], _size(source), np.float32))
        else:
            scaled = scaling(source, target)
        source, target = scaled(source), scaled(target)
        parts: list[Any] = [csr_array(rows) if counts else rows for rows in (source, target)]  # zeros need not be multiplied
        restored = frequent(parts, self.num_features or None)
        found, outputs = [], [[source], [target]]
        for layer, hidden in layers(parts, self.num_layers, self.noise, restored, RIDGE):
            found.append(layer)
            for known, new in zip(outputs, hidden, strict=True):
                known.append(new)
        rows = [np.concatenate(known, 1, dtype=np.float32) for known in outputs]
        return Denoised(replace(pair, source=rows[0], target=rows[1], together=True), scaled, found, counts)

    def following(self) -> Adaptation:
        """The approach that goes on."""
        kind: Any = plugins.variant("approaches", self.then, Adaptation)
        if self.then == "msda":
            raise ConfigError("$.approach.then: msda cannot go on with itself; num_layers adds layers")
        known = config.to_dict(kind())
        return config.from_dict(kind, {"weight": self.weight} if "weight" in known else {}, path="$.approach")


def _size(rows: np.ndarray) -> float:
    """The root mean square of what is not zero."""
    return float(np.sqrt(np.square(rows, dtype=np.float64).sum() / max(1, np.count_nonzero(rows)))) or 1.0


@dataclass(frozen=True)
class Denoised:
    """The rows behind mSDA's layers, and how a head of them becomes one of raw rows.

    ``dampened``: the rows were counts x, taken as log(1 + x).
    """

    pair: Pair
    scaled: Scaling
    layers: list[tuple[np.ndarray, np.ndarray]]
    dampened: bool

    def finish(self, head: Head) -> Head:
        made = stacked(self.scaled.mean, self.scaled.scale, self.layers, head)
        made.dampened.fill_(self.dampened)
        return made


def stacked(
    mean: np.ndarray, scale: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]], after: Head
) -> LayeredHead:
    """One head of mSDA's layers (weights (in, out) and bias each) and of the head that takes their outputs.

    Raises:
        ConfigError: that head is of a kind that cannot stand behind them.
    """
    hidden = [len(layer.bias) for layer in after.hidden] if isinstance(after, LayeredHead) else []  # type: ignore[arg-type]
    linear = getattr(after, "linear", None)
    if linear is None or (isinstance(after, LayeredHead) and len(after.denoisers)):
        raise ConfigError(
            f"$.approach.then: expected an approach that ends in linear layers, got {type(after).__name__}"
        )
    made = LayeredHead(len(mean), linear.out_features, hidden, [len(bias) for _, bias in layers])
    with torch.no_grad():
        made.mean.copy_(torch.from_numpy(mean))
        made.scale.copy_(torch.from_numpy(scale))
        for layer, (weight, bias) in zip(made.denoisers, layers, strict=True):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.T, np.float32)))  # type: ignore[operator,union-attr]
            layer.bias.copy_(torch.from_numpy(np.asarray(bias, np.float32)))  # type: ignore[operator,union-attr]
        behind = [*made.hidden, made.linear]
        before = [*after.hidden, after.linear] if isinstance(after, LayeredHead) else [linear]
        for new, old in zip(behind, before, strict=True):
            new.load_state_dict(old.state_dict())
        if isinstance(after, LayeredHead):  # its own scaling goes into its first layer
            first = behind[0]
            folded = first.weight / after.scale  # type: ignore[operator]
            first.bias.sub_(folded @ after.mean)  # type: ignore[operator,union-attr]
            first.weight.copy_(folded)  # type: ignore[operator,union-attr]
    return made
