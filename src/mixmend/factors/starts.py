"""Where factor models begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from mixmend.errors import DataError
from mixmend.factors.problem import Problem
from mixmend.factors.steps import State
from mixmend.factors.sweeps import Side, triangle

Array = NDArray[np.float64]


_DENSE_CELLS = 100_000
"""Cells up to which a dense decomposition takes milliseconds."""


def begin(problem: Problem, rng: np.random.Generator) -> State:
    """Row factors to start from; what is to be learned of noise and priors begins with them.

    "random" draws factors uniformly from [0, 1) for ridge regressions, and from N(0, 1 / r)
    for variational fits, whose priors are centred; "svd" takes the truncated singular value
    decomposition of the centred matrix with 0 in its holes, each side with the roots of
    the singular values.
    """
    options, (n, _) = problem.options, problem.observed.shape
    rank, q = options.n_factors, options.unknowns
    values = np.zeros((n, q))
    if options.init == "svd":
        values[:, :rank] = svd_factors(problem, rng)[0]
    elif options.inference == "ridge":
        values[:, :rank] = rng.random((n, rank))
    else:
        values[:, :rank] = rng.normal(scale=rank**-0.5, size=(n, rank))
    variance = _variance(problem)
    # half of the variance to the noise, the rest shared out among products of factors
    shares = np.full(q, np.sqrt(0.25 * variance / rank))
    if options.effects:
        shares[-1] = 0.125 * variance
    covariances = None
    if options.inference == "variational":
        covariances = np.zeros((n, triangle(q)))
        if options.init == "random":
            values[:, :rank] *= np.sqrt(shares[:rank] * rank)
    rows = Side(values, covariances)
    columns = Side(np.zeros((problem.observed.shape[1], q)))
    return State(rows, columns, max(0.5 * variance, 1e-12), shares, shares, np.inf, np.inf)


def svd_factors(problem: Problem, rng: np.random.Generator) -> tuple[Array, Array]:
    """Row and column factors from the r largest singular values, (n, r) and (d, r)."""
    obs, rank = problem.observed, problem.options.n_factors
    if rank >= min(obs.shape):
        raise DataError(
            f"init='svd' needs n_factors below the smaller side of the {obs.shape[0]} × "
            f"{obs.shape[1]} matrix; got {rank}. Take init='random'."
        )
    view = obs.by_row
    values = view.values - np.repeat(problem.offsets, obs.row_counts)
    matrix = csr_array((values, view.indices, view.pointers), shape=obs.shape)
    left, sizes, right = leading_vectors(matrix, rank, rng)
    roots = np.sqrt(sizes)
    return left * roots, right * roots


def leading_vectors(
    matrix: csr_array, rank: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Left singular vectors, values and right vectors: the r largest, r below min(n, d)."""
    n, d = matrix.shape
    if n * d <= _DENSE_CELLS:
        # ARPACK gives up on matrices of lower rank, which small ones may well be
        left, sizes, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    elif not matrix.data.any():
        return np.zeros((n, rank)), np.zeros(rank), np.zeros((d, rank))
    else:
        left, sizes, right = svds(matrix, k=rank, v0=rng.normal(size=min(n, d)))
    order = np.argsort(-sizes)[:rank]
    return left[:, order], sizes[order], right[order].T


def _variance(problem: Problem) -> float:
    values = problem.observed.by_row.values - np.repeat(
        problem.offsets, problem.observed.row_counts
    )
    return max(float(np.mean(values * values)), 1e-12)
