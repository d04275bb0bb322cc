"""Other libraries' factor models behind one call, for `bench_factors.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_matrix

from mixmend import ObservedMatrix

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]
Fit = Callable[[ObservedMatrix, int], Predict]


def cmfrec_model(
    train: ObservedMatrix, rank: int, regularization: float, n_sweeps: int, use_float: bool = False
) -> Any:
    """Alternating least squares by Cholesky decompositions; effects fitted jointly, as here."""
    from cmfrec import CMF

    rows, columns, values = train.entries()
    return CMF(
        k=rank,
        lambda_=regularization,
        method="als",
        use_cg=False,
        niter=n_sweeps,
        use_float=use_float,
        precompute_for_predictions=False,
        verbose=False,
        nthreads=2,
    ).fit(coo_array((values, (rows, columns)), shape=train.shape))


def cmfrec_fit(rank: int, regularization: float, use_float: bool) -> Fit:
    """The same behind one call."""

    def fit(train: ObservedMatrix, n_sweeps: int) -> Predict:
        model = cmfrec_model(train, rank, regularization, n_sweeps, use_float)
        return lambda r, c: model.predict(r, c)

    return fit


def implicit_sweep(train: ObservedMatrix, rank: int, timed: Any, took: Any) -> Any:
    """A sweep of 3 conjugate gradient steps; ratings taken as confidences, single precision.

    Its objective counts all cells, the empty ones by way of one r × r matrix for each half-sweep:
    the work for each entry is the same as ours.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    rows, columns, values = train.entries()
    confidences = csr_matrix((values.astype(np.float32), (rows, columns)), shape=train.shape)
    fits = {}
    for sweeps in (2, 8):
        model = AlternatingLeastSquares(rank, iterations=sweeps, num_threads=2, random_state=0)
        fits[sweeps] = timed(lambda model=model: model.fit(confidences, show_progress=False))[0]
    return (fits[8] - fits[2]).per(6)


def surprise_fit(train: ObservedMatrix) -> Predict:
    """Stochastic gradient descent with effects, as its defaults are."""
    from surprise import SVD, Dataset, Reader

    rows, columns, values = train.entries()
    data = Dataset(Reader(rating_scale=(values.min(), values.max())))
    triplets = zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True)
    ratings = [(u, i, x, None) for u, i, x in triplets]
    model = SVD(random_state=0).fit(data.construct_trainset(ratings))

    def predict(r: np.ndarray, c: np.ndarray) -> np.ndarray:
        pairs = zip(r.tolist(), c.tolist(), strict=True)
        return np.array([model.predict(u, i).est for u, i in pairs])

    return predict
