"""Gradual unfreezing: the last stage moves at once, the earlier ones join it one after the other.

Howard and Ruder 2018, Universal Language Model Fine-tuning for Text Classification, arXiv 1801.06146, section 3.3;
reference code fastai, ``Learner.freeze_to``. The rates are layer-wise, as in the paper's section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, layered


@dataclass(frozen=True)
class Gradual(Tuning):
    """Args:
    within: the share of all epochs after which every stage moves; the stages join at even distances until then.
        A stage joins at the beginning of an epoch, and until then it is frozen like any other.
    first: how many of the last stages move from the beginning.
    """

    within: float = 0.5
    first: int = 1
    decay: float = 0.7
    weight_decay: float = 0.01

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        if not 0 <= self.within < 1:
            raise ConfigError(
                f"$.approach.tuning: gradual needs the share of the epochs within which all stages have joined, from 0 "
                f"to less than 1, such as gradual:0.5; got {self.within:g}"
            )
        if not 1 <= self.first <= len(backbone.stages):
            raise ConfigError(f"$.approach.tuning: {backbone.reference} has {len(backbone.stages)} stages; expected gradual:first=1 "
                              f"to {len(backbone.stages)}, got {self.first}")  # fmt: skip
        groups = layered(backbone.stages, learning_rate, self.decay, self.weight_decay)
        apart = self.within / max(1, len(backbone.stages) - self.first)
        depth_of = {id(p): d for d, stage in enumerate(reversed(backbone.stages)) for p in stage.parameters()}
        return [{**group, "begins": apart * max(0, depth_of[id(group["params"][0])] - self.first + 1)} for group in groups]
