"""Only biases and the scales and shifts of norms move: well under one in a hundred parameters.

Ben Zaken, Goldberg and Ravfogel 2022, BitFit, arXiv 2106.10199, for the biases of transformers; Frankle, Schwab and
Morcos 2021, Training BatchNorm and Only BatchNorm, arXiv 2003.00152, for the norms of convolutional networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import Incompatible
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, layered

FASTER = 10.0  # than when all weights move: BitFit was trained at 1e-4 to 1e-3 where all of BERT takes 1e-5 to 5e-5


@dataclass(frozen=True)
class Norms(Tuning):
    """What has one dimension moves: that is what biases, scales and shifts have in common in every library.

    Args:
        decay: of the rate, from each stage to the one before it.
    """

    decay: float = 0.7

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        groups = [
            group
            for group in layered(backbone.stages, FASTER * learning_rate, self.decay, 0.0)
            if group["params"][0].ndim <= 1
        ]
        if not groups:
            raise Incompatible(
                f"{backbone.reference} has no norm and no bias, so the tuning norms has nothing to move. The tunings full, "
                "last and lora work without them."
            )
        return groups
