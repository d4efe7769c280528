"""Named stages move, wherever they stand; all others are frozen.

Lee et al. 2023, Surgical Fine-Tuning Improves Adaptation to Distribution Shifts, arXiv 2210.11466: which block is the
best to move depends on how the new data differ, and it is often not the last one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from headstart.errors import ConfigError
from headstart.models.backbone import Backbone
from headstart.tuning import Tuning, layered


@dataclass(frozen=True)
class Stages(Tuning):
    """Args:
    names: of stages, joined by "+"; the last of them learns at the given rate, the ones before it slower.
    """

    names: str = ""
    decay: float = 0.7
    weight_decay: float = 0.01

    def groups(self, backbone: Backbone, learning_rate: float) -> list[dict[str, Any]]:
        known = {stage.name: stage for stage in backbone.stages}
        wanted = [name for name in self.names.split("+") if name]
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            close = difflib.get_close_matches(unknown[0], known, n=1) if unknown else []
            what = f"has no stage {unknown[0]!r}" if unknown else "has several stages, and none was named"
            raise ConfigError(
                f"$.approach.tuning: {backbone.reference} {what}. There are, early to late: {', '.join(known)}."
                + (f" Did you mean stages:{close[0]}?" if close else " For example: stages:" + [*known][-1])
            )
        chosen = [stage for stage in backbone.stages if stage.name in wanted]
        return layered(chosen, learning_rate, self.decay, self.weight_decay)
