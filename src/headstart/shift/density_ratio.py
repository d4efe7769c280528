"""Importance weights from a classifier that tells the domains apart.

Bickel, Brueckner, Scheffer: Discriminative Learning Under Covariate Shift, JMLR 10, 2009, equation 2: p_target(x) /
p_source(x) = p(target | x) / p(source | x) * num_source / num_target. The exponent is that of Shimodaira, J. Statistical
Planning and Inference 90(2), 2000.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from headstart.errors import ConfigError
from headstart.shift import Weighting
from headstart.shift._inputs import Domains, Rows, checked_rows


class DensityRatio(Weighting):
    """Weights (p_target(x) / p_source(x))^exponent by logistic regression on standardised features, scaled to mean 1.

    Args:
        regularisation: lambda of the penalty lambda / 2 |w|^2 beside the mean log loss; weights grow wild as it falls.
        exponent: 1 weighs fully (least bias), 0 not at all (least variance).
        largest: upper bound of a ratio.
    """

    def __init__(self, regularisation: float = 0.01, exponent: float = 1.0, largest: float = 20.0) -> None:
        self.regularisation = regularisation
        self.exponent = exponent
        self.largest = largest

    def _weigh(self, domains: Domains) -> np.ndarray:
        if not self.regularisation > 0 or not 0 <= self.exponent <= 1 or self.largest < 1:
            raise ConfigError(
                f"regularisation is {self.regularisation} (above 0 is needed), exponent {self.exponent} (0 to 1), "
                f"largest {self.largest} (at least 1)."
            )
        self._classifier = None
        if not domains.single:
            sizes = domains.num_source, domains.num_target
            # sparse rows stay so: where the zero lies makes no difference to a classifier with an intercept
            self._scaler = StandardScaler(with_mean=not scipy.sparse.issparse(domains.source)).fit(domains.rows)
            self._classifier = LogisticRegression(C=1 / (sum(sizes) * self.regularisation), max_iter=1000, tol=1e-6)
            self._classifier.fit(self._scaler.transform(domains.rows), np.repeat([0, 1], sizes))
            self._offset = np.log(sizes[0] / sizes[1])
        self._scale = 1.0
        weights = self._ratio(domains.source)
        self._scale = 1 / weights.mean()
        return weights * self._scale

    def weigh(self, X: Any) -> np.ndarray:
        """Weights (num,) of further source rows (num, dim), on the same scale: for rows held out for validation."""
        check_is_fitted(self)
        return self._scale * self._ratio(checked_rows(self, X))

    def _ratio(self, x: Rows) -> np.ndarray:
        if self._classifier is None:
            return np.ones(x.shape[0])
        logits = self._classifier.decision_function(self._scaler.transform(x)) + self._offset
        return np.exp(self.exponent * np.minimum(logits, np.log(self.largest)))
