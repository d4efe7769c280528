"""All stages move, the early ones slower: layer-wise rates (Howard and Ruder 2018, arXiv 1801.06146, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, layered


@dataclass(frozen=True)
class Full(Tuning):
    """The last ``even`` stages learn at the given rate, every earlier one at ``decay`` times that of the next."""

    decay: float = 0.7
    weight_decay: float = 0.01
    even: int = 1

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        if not 1 <= self.even <= len(backbone.stages):
            raise ConfigError(
                f"$.approach.tuning: {backbone.reference} has {len(backbone.stages)} stages; expected full:even=1 to "
                f"full:even={len(backbone.stages)}, got {self.even}"
            )
        return layered(backbone.stages, learning_rate, self.decay, self.weight_decay, self.even)
