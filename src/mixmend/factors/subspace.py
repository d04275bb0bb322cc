"""The subspace of a linear autoencoder and the hidden cells, each exact given the other.

What is lowered is ``J = |Y (I - B)|^2 + lambda |B|^2`` over B of rank K and the hidden cells of
Y, the centred matrix (rows counted by their weights). Given Y with singular values sigma and
right singular vectors v, B = V diag(s) V' with s = sigma^2 / (sigma^2 + lambda) over the first
K: ridge regression of Y on itself, cut to rank K (Jin et al. 2021). Then
``J = |Y|^2 - sum sigma^2 + lambda sum s``.

Given B, ``(I - B)^2 = I - V diag(t) V'`` with t = 1 - (1 - s)^2, and a row's best hidden cells
are ``V_h z`` (by Woodbury's identity), where z is the ridge regression of its observed cells::

    (V_o' V_o + diag((1 - s)^2 / t)) z = V_o' y_o

Its codes, with these cells filled in, are ``V' y = z / t``, so what comes out of the
autoencoder is ``V diag(s / t) z = V z / (2 - s)``. With lambda = 0 that is V z, and J is
the squared distance of the observed cells from the subspace.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, svds

from mixmend.factors.sweeps import Cells, HalfStep, Prior, Side, solve_side
from mixmend.kernels.entries import dot_entries
from mixmend.mixtures.starts import grand_mean
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_DENSE_CELLS = 100_000
"""Cells up to which a dense decomposition takes milliseconds."""

_LEAST = 1e-12
"""Least precision of a row's regression: rows with fewer cells than K take the shortest code."""

_MOST = 1e12


class Subspace(NamedTuple):
    """A linear autoencoder.

    Attributes
    ----------
    directions : ndarray, shape (d, K)
        Orthonormal columns, V.
    sizes : ndarray, shape (K,)
        Singular values of the filled, centred matrix.
    mean : ndarray, shape (d,)
    strength : float
        Lambda.
    """

    directions: Array
    sizes: Array
    mean: Array
    strength: float

    @property
    def gains(self) -> Array:
        """What comes out of each direction for what goes in, s, (K,)."""
        if self.strength == 0.0:
            return np.ones(len(self.sizes))
        squares = self.sizes**2
        return np.asarray(squares / (squares + self.strength))

    @property
    def precision(self) -> Array:
        """Of the regression that fills a row's hidden cells, (K,)."""
        lost = (1.0 - self.gains) ** 2
        return np.clip(lost / np.maximum(1.0 - lost, 1.0 / _MOST), _LEAST, _MOST)

    def codes(self, hidden: Array) -> Array:
        """Codes of rows whose hidden cells are ``directions @ z``, from the z (n, K)."""
        return np.ascontiguousarray(hidden / (2.0 - self.gains))


class SubspaceFit(NamedTuple):
    """The outcome of a fit."""

    best: Subspace
    noise: float
    history: list[dict[str, Any]]
    converged: bool


def hidden_codes(obs: ObservedMatrix, subspace: Subspace) -> Array:
    """The z (n, K) whose products with the directions fill the hidden cells of rows."""
    return _regressed(obs, subspace).side.values


def _regressed(obs: ObservedMatrix, subspace: Subspace, freedom: bool = False) -> HalfStep:
    prior = Prior(subspace.precision, np.ones(obs.shape[0]))
    cells = Cells(obs.by_row, None, subspace.mean)
    return solve_side(cells, Side(subspace.directions), prior, False, freedom=freedom)


def fit_subspace(
    obs: ObservedMatrix,
    rank: int,
    strength: float,
    centred: bool,
    stop: tuple[int, float],
    rng: np.random.Generator,
) -> SubspaceFit:
    """Subspace and hidden cells in turn, from holes filled with their columns' means.

    ``stop`` are the most steps, and the share of the objective that a step must gain.
    """
    n, d = obs.shape
    weights = np.ones(n) if obs.row_weights is None else obs.row_weights
    max_iter, tol = stop
    subspace = Subspace(
        np.zeros((d, rank)), np.zeros(rank), _column_means(obs, weights, centred), strength
    )
    hidden, begin = np.zeros((n, rank)), rng.normal(size=min(n, d))
    history: list[dict[str, Any]] = []
    before, converged = np.inf, False
    while len(history) < max_iter and not converged:
        subspace, objective, total = _decomposed(obs, weights, subspace, hidden, centred, begin)
        history.append({"iteration": len(history) + 1, "objective": objective})
        # what is left of an exactly fitted matrix is rounding
        converged = obs.n_observed == n * d or before - objective <= max(
            tol * objective, 1e-13 * total if tol > 0 else -np.inf
        )
        before, hidden = objective, hidden_codes(obs, subspace)
    return SubspaceFit(subspace, _noise(obs, weights, subspace), history, bool(converged))


def _column_means(obs: ObservedMatrix, weights: Array, centred: bool) -> Array:
    if not centred:
        return np.zeros(obs.shape[1])
    view, each = obs.by_row, np.repeat(weights, obs.row_counts)
    counts = np.bincount(view.indices, each, obs.shape[1])
    sums = np.bincount(view.indices, each * view.values, obs.shape[1])
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1.0), grand_mean(obs))


def _products(obs: ObservedMatrix, left: Array, directions: Array) -> Array:
    """Products of rows' vectors and directions where cells are observed."""
    out = np.empty(obs.n_observed)
    columns = obs.by_row.indices.astype(np.int64)
    dot_entries(left, np.ascontiguousarray(directions), obs.entry_rows, columns, out)
    return out


def _decomposed(
    obs: ObservedMatrix,
    weights: Array,
    old: Subspace,
    hidden: Array,
    centred: bool,
    begin: Array,
) -> tuple[Subspace, float, float]:
    """The best subspace for the filled matrix, J there, and the sum of squares of all cells.

    The filled matrix is sparse (what the observed cells are beyond the filling) plus a product
    of rank K, and is never made, unless it is small.
    """
    (n, d), rank = obs.shape, len(old.sizes)
    view, each = obs.by_row, np.repeat(weights, obs.row_counts)
    fills = _products(obs, hidden, old.directions)
    values = view.values - old.mean[view.indices]
    beyond = csr_array((values - fills, view.indices, view.pointers), shape=(n, d))
    total = float(each @ (values**2 - fills**2) + weights @ (hidden**2).sum(axis=1))
    shift = np.zeros(d)
    if centred:
        shift = (weights @ beyond + (weights @ hidden) @ old.directions.T) / weights.sum()
        total -= float(weights.sum() * (shift @ shift))
    roots = np.sqrt(weights)

    def forward(x: Array) -> Array:
        x = x.ravel()
        return roots * (beyond @ x + hidden @ (old.directions.T @ x) - shift @ x)

    def backward(y: Array) -> Array:
        y = roots * y.ravel()
        return np.asarray(beyond.T @ y + old.directions @ (hidden.T @ y) - shift * y.sum())

    if n * d <= _DENSE_CELLS or rank >= min(n, d):
        filled = beyond.toarray() + hidden @ old.directions.T - shift
        _, sizes, right = np.linalg.svd(roots[:, None] * filled, full_matrices=False)
    else:
        operator = LinearOperator((n, d), matvec=forward, rmatvec=backward, dtype=np.float64)
        _, sizes, right = svds(operator, k=rank, v0=begin)
    order = np.argsort(-sizes, kind="stable")[:rank]
    sizes, directions = sizes[order], right[order].T
    # signs are free: the largest coordinate of a direction is positive
    largest = np.abs(directions).argmax(axis=0)
    signs = np.where(directions[largest, np.arange(rank)] < 0, -1.0, 1.0)
    new = Subspace(np.ascontiguousarray(directions * signs), sizes, old.mean + shift, old.strength)
    penalty = old.strength * float(new.gains.sum()) if old.strength > 0 else 0.0
    return new, max(total - float(sizes @ sizes), 0.0) + penalty, total


def _noise(obs: ObservedMatrix, weights: Array, subspace: Subspace) -> float:
    """Squared errors of outputs over what observed cells the parameters leave free."""
    (_, d), rank = obs.shape, len(subspace.sizes)
    found = _regressed(obs, subspace, freedom=True)
    view, each = obs.by_row, np.repeat(weights, obs.row_counts)
    outputs = _products(obs, subspace.codes(found.side.values), subspace.directions)
    squares = float(each @ (view.values - subspace.mean[view.indices] - outputs) ** 2)
    count = float(each.sum())
    taken = float(weights @ found.freedom) + d * (rank + 1) - rank**2
    return max(squares / max(count - taken, 0.05 * count), 1e-300)
