"""The demo: scikit-learn's handwritten digits, few labels a class, pretrained against from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from headstart.performing import Record

SHOTS = 5
MODEL = "embedded:image?input_size=3,64,64"  # the size of the pictures it was trained on; digits need no more


def digits() -> tuple[np.ndarray, list[str]]:
    """The 1,797 digits of scikit-learn: (1797, 8, 8) uint8, dark ink on white, and their names."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (255 - bunch.images * (255 / 16)).astype(np.uint8), [str(label) for label in bunch.target]


def demo(folder: Path) -> Record:
    """Fit the embedded model to a few digits a class, by probing and by fine-tuning, and judge the transfer."""
    from headstart.data import read
    from headstart.fitting import fit

    dataset = read(digits())
    return fit(dataset, MODEL, "auto", out=folder, shots=SHOTS)
