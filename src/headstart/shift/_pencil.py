"""The eigenproblem behind TCA and its kin, solved for its leading components only.

All of them look for the largest eigenvalues of the symmetric pencil

    M w = value (mu I + C C') w,        with  w' M w = 1,

where M (size, size) is the scatter of the data and the few columns of C span what separates the domains: one column
for TCA, whose matrix ``L`` has rank one, one more for every class in JDA. So the inverse square root of the right
side has a closed form (Sherman-Morrison), w = B^(-1/2) z turns the pencil into an ordinary symmetric problem, and a
Lanczos iteration finds its leading eigenvectors from products with M alone.

The form in the papers, ``(K L K + mu I)^(-1) K H K``, is *not* symmetric: a symmetric solver gives wrong components
for it without a word. The tests hold ours against the equation as stated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, eigsh

DENSE = 400  # up to this size, or if a third of all components is wanted, a full solver is quicker
TOLERANCE = 1e-11  # |M z - value z| / value, of an iterative solution
RANK = 1e-11  # eigenvalues below this share of the largest are rounding

Product = Callable[[np.ndarray], np.ndarray]


def leading(
    scatter: np.ndarray | Product, columns: np.ndarray, mu: float, num_components: int
) -> tuple[np.ndarray, np.ndarray]:
    """The leading eigenpairs of ``scatter w = value (mu I + columns columns') w``.

    Args:
        scatter: (size, size) symmetric and positive semi-definite; or its product with a vector (size,).
        columns: (size, few).
        mu: above 0.
        num_components: how many at most; there are no more than the rank of ``scatter``.

    Returns:
        values (found,), descending, and vectors (size, found) with ``vectors' scatter vectors = I``.
    """
    size = len(columns)
    basis, singular, _ = scipy.linalg.svd(columns, full_matrices=False, check_finite=False)
    shrink = np.sqrt(mu / (mu + singular**2)) - 1

    def whiten(x: np.ndarray) -> np.ndarray:  # (mu I + C C')^(-1/2) x
        return (x + basis @ ((shrink * (basis.T @ x).T).T)) / np.sqrt(mu)

    dense = isinstance(scatter, np.ndarray)
    product: Product = (lambda x: scatter @ x) if dense else scatter  # type: ignore[assignment,operator]
    wanted = min(num_components, size)
    if size <= DENSE or 3 * wanted >= size:
        full = scatter if isinstance(scatter, np.ndarray) else np.stack([product(row) for row in np.eye(size)], axis=1)
        whitened = whiten(whiten(full).T)
        values, z = scipy.linalg.eigh(
            (whitened + whitened.T) / 2, subset_by_index=(size - wanted, size - 1), check_finite=False
        )
    else:
        operator = LinearOperator((size, size), matvec=lambda x: whiten(product(whiten(x))), dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(size)  # ARPACK's own would differ from call to call
        basis_size = max(wanted + 20, 3 * wanted // 2)  # of twice the wanted, ARPACK's own, the last vectors are seldom needed
        values, z = eigsh(operator, wanted, which="LA", v0=start, tol=TOLERANCE, ncv=min(size, basis_size))
    order = np.argsort(-values)
    values, z = values[order], z[:, order]
    sound = values > RANK * max(values[0], 0.0)
    values, vectors = values[sound], whiten(z[:, sound]) / np.sqrt(values[sound])
    return values, vectors * signs(vectors)


def symmetric(matrix: np.ndarray) -> Product:
    """The product of a symmetric matrix (size, size) in float64 with a vector, for which half of it is read from memory."""
    return lambda v: scipy.linalg.blas.dsymv(
        1.0, matrix.T, v
    )  # the transpose of C order is BLAS's own, so nothing is copied


def signs(vectors: np.ndarray) -> np.ndarray:
    """(found,) +1 or -1 that makes the largest entry of every column positive: an eigenvector has no sign."""
    largest = np.abs(vectors).argmax(0)
    return np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def leading_dense(scatter: Product, right: np.ndarray, num_components: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading eigenpairs of ``scatter w = value right w`` for any positive definite ``right`` (size, size).

    Returns:
        as ``leading``.
    """
    size = len(right)
    lower = scipy.linalg.cholesky(right, lower=True, check_finite=False)

    def whiten(x: np.ndarray, transposed: bool) -> np.ndarray:
        return scipy.linalg.solve_triangular(lower, x, lower=True, trans=int(transposed), check_finite=False)

    def symmetric(x: np.ndarray) -> np.ndarray:
        return whiten(scatter(whiten(x, True)), False)

    values, z = leading(symmetric, np.zeros((size, 1)), 1.0, num_components)
    return values, whiten(z, True)
