"""A learning curve in one line of the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

BARS, PLAIN = "▁▂▃▄▅▆▇█", "_.-=+*%#"
MOST = 24  # epochs; the last ones


def sparkline(values: Sequence[float], *, plain: bool | None = None) -> str:
    """A character a value, low to high; what is no number is a "?". ``plain`` keeps to ASCII (default: as the terminal needs).

    Example:
        sparkline([0.1, 0.4, 0.8, 0.7]) == "▁▄█▇"
    """
    if plain is None:
        plain = "utf" not in (getattr(sys.stderr, "encoding", None) or "").lower()
    bars, shown = PLAIN if plain else BARS, list(values)[-MOST:]
    numbers = [value for value in shown if math.isfinite(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    span = (high - low) or 1.0
    return "".join(bars[round((v - low) / span * (len(bars) - 1))] if math.isfinite(v) else "?" for v in shown)
