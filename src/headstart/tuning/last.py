"""Only the last stages move (Yosinski et al. 2014, arXiv 1411.1792); the ones before are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, layered


@dataclass(frozen=True)
class Last(Tuning):
    stages: int = 1
    decay: float = 0.7
    weight_decay: float = 0.01

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        if not 1 <= self.stages <= len(backbone.stages):
            names = ", ".join(stage.name for stage in backbone.stages)
            raise ConfigError(
                f"$.approach.tuning: {backbone.reference} has {len(backbone.stages)} stages ({names}); expected last:1 to "
                f"last:{len(backbone.stages)}, got last:{self.stages}"
            )
        return layered(backbone.stages[-self.stages :], learning_rate, self.decay, self.weight_decay)
