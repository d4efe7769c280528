"""Class weights for data in which some classes are rarer than others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def balanced(labels: np.ndarray, num_classes: int) -> Tensor:
    """(k,) weights that give every class the same share of the loss: ``n / (k * count)``.

    King and Zeng 2001, Logistic Regression in Rare Events Data, Political Analysis 9(2); as scikit-learn's "balanced". A
    class without samples has the weight 0: there is nothing to weigh.

    Args:
        labels: (n,) class numbers.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.divide(len(labels), np.count_nonzero(counts) * counts, out=np.zeros(num_classes), where=counts > 0)
    return torch.from_numpy(weights.astype(np.float32))
