"""Only the last stages move (Yosinski et al. 2014, arXiv 1411.1792); the ones before are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, decayed


@dataclass(frozen=True)
class Last(Tuning):
    stages: int = 1
    decay: float = 0.7
    weight_decay: float = 0.01

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        if not 1 <= self.stages <= len(backbone.stages):
            names = ", ".join(stage.name for stage in backbone.stages)
            raise ConfigError(f"$.tuning.stages: expected 1 to {len(backbone.stages)} ({names}), got {self.stages}")
        groups = []
        for depth, stage in enumerate(reversed(backbone.stages[-self.stages :])):
            groups += decayed(stage.parameters(), learning_rate * self.decay**depth, self.weight_decay)
        return groups
