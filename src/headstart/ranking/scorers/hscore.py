"""H-score: how much of the features' variance lies between classes, whatever its direction: tr(cov(f)^-1 cov(E[f|y])).

Paper: Bao et al. 2019, "An information-theoretic approach to transferability in task transfer learning", ICIP.
Reference code: h_score in github.com/thuml/Transfer-Learning-Library, tllib/ranking/hscore.py. Equal to it where there
are more samples than features; where there are not, every model has the same H-score, the number of classes less one.
"""

from __future__ import annotations

from headstart.errors import Incompatible
from headstart.features.table import FeatureTable
from headstart.ranking.scorers import class_numbers
from headstart.ranking.scorers._spectrum import spectrum

NEEDS: frozenset[str] = frozenset()
COST = 1


def score(table: FeatureTable) -> float:
    """Between 0 and the number of classes less one.

    Raises:
        Incompatible: no more samples than features, so that the score says nothing.
    """
    sigma, projected, counts = spectrum(table.vectors, *class_numbers(table), centred=True)
    found = float((projected**2 / sigma[:, None] / counts).sum())
    if len(sigma) >= len(table) - 1 or found > len(counts) - 1 - 1e-6:  # copies among the samples lower the rank, too
        raise Incompatible(
            f"{len(table)} samples of {table.vectors.shape[1]} features: with so few the plain H-score is the same for "
            "every model; hscore_shrunk is not"
        )
    return found
