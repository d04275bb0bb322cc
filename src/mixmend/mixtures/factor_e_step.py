"""The E-step of mixtures of factor analysers: rows' factors integrated out exactly.

Given component k, row u observes x_C = mu_C + W_C z + noise with z ~ N(0, I_r). With
M = I + sum_i w_i w_i^T / psi_i and b = sum_i w_i (x_i - mu_i) / psi_i over the observed
columns, z given x_C is N(M^-1 b, M^-1), and by the matrix determinant lemma and Woodbury

    -2 log p(x_C) = m log 2 pi + sum log psi_i + log |M| + sum (x_i - mu_i)^2 / psi_i - b^T M^-1 b.

Only r × r systems are ever formed; the rows go by in tiles. Complete matrices have one M
for all rows of a component, and all else there is matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from mixmend.em.block import Block
from mixmend.kernels import factor as kernels
from mixmend.kernels.products import block_shape
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.mixtures.spherical_e_step import Array

_LANES = LANES[8]
_ROWS = block_shape(len(_LANES))[0]  # as many as this processor's registers hold
_LOG_2PI = float(np.log(2.0 * np.pi))
_DENSE = 0.6
"""From this share of observed cells on, products with a mask beat gathers over the entries."""


class Parameters(NamedTuple):
    """Parameters of a mixture of factor analysers; K components, d columns, r factors.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Mixing weights.
    means : ndarray, shape (K, d)
        Component means.
    loadings : ndarray, shape (K, d, r)
        W: how much of each factor each column takes, in units of the column.
    noise : ndarray, shape (K, d)
        psi: variance of each column beside the factors; all equal for isotropic noise.
    """

    weights: Array
    means: Array
    loadings: Array
    noise: Array

    @property
    def variances(self) -> Array:
        """Marginal variance of every column given the component, (K, d)."""
        return np.asarray((self.loadings**2).sum(axis=2) + self.noise)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Expected sufficient statistics at some parameters, centred at those parameters' means.

    Attributes
    ----------
    log_likelihood : float
        Log-likelihood of the observed cells at the parameters of the E-step.
    factors : ndarray, shape (K, r + 1, r + 1)
        Over all rows: posterior-weighted sums of E[f f^T], f = (z, 1).
    systems : ndarray, shape (K, d, r + 1, r + 1)
        The same over the rows that observe each column.
    deviations : ndarray, shape (K, d, r + 1)
        Per column: sums of (x - mean) E[f].
    squares : ndarray, shape (K, d)
        Per column: sums of (x - mean)^2.
    """

    log_likelihood: float
    factors: Array
    systems: Array
    deviations: Array
    squares: Array

    def __add__(self, other: Statistics) -> Statistics:
        """Statistics of both sets of rows, taken at the same parameters."""
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.factors + other.factors,
            self.systems + other.systems,
            self.deviations + other.deviations,
            self.squares + other.squares,
        )


class Posterior(NamedTuple):
    """What the E-step says of each row.

    Attributes
    ----------
    responsibilities : ndarray, shape (n, K)
        Posterior probability of each component.
    log_densities : ndarray, shape (n,)
        Log density of each row's observed cells; 0 where none is.
    """

    responsibilities: Array
    log_densities: Array


def packed_length(r: int) -> int:
    """Length of a packed line: scalar, vector and triangle, padded to whole registers."""
    return -(-(1 + r + r * (r + 1) // 2) // len(_LANES)) * len(_LANES)


def row_bytes(r: int) -> int:
    """Bytes per row that one component's M-step gathers; what `Block` sizes its tiles by."""
    return 8 * packed_length(r)


def triangle(r: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a packed triangle, in order."""
    return np.tril_indices(r)


def unpacked(lines: Array, r: int) -> Array:
    """Augmented symmetric matrices (..., r + 1, r + 1), factors first, of packed lines."""
    out = np.empty((*lines.shape[:-1], r + 1, r + 1))
    a, b = triangle(r)
    out[..., a, b] = out[..., b, a] = lines[..., 1 + r : 1 + r + len(a)]
    out[..., r, :r] = out[..., :r, r] = lines[..., 1 : 1 + r]
    out[..., r, r] = lines[..., 0]
    return out


class _Room:
    """Where a tile's mask and gaps are written, again and again: fresh pages cost more."""

    def __init__(self, block: Block, n_rows: int) -> None:
        d = block.observed.shape[1]
        self.dense = block.observed.dense
        self.complete = block.observed.is_complete
        self.mask, self.gaps = np.empty((n_rows, d)), np.empty((n_rows, d))


def _room(block: Block, n_rows: int) -> _Room | None:
    """Room for matrix products where few enough cells are missing to make those pay."""
    obs = block.observed
    dense = obs.is_stored_dense and obs.density >= _DENSE
    return _Room(block, n_rows) if obs.n_observed and (dense or obs.is_complete) else None


class Tables:
    """One component's parameters in the form that the kernels gather."""

    def __init__(self, parameters: Parameters, k: int) -> None:
        loadings, noise = parameters.loadings[k], parameters.noise[k]
        d, r = loadings.shape
        self.r = r
        self.means = np.ascontiguousarray(parameters.means[k])
        self.precisions = 1.0 / noise
        scaled = loadings * self.precisions[:, None]
        a, b = triangle(r)
        self.packed = np.zeros((d, packed_length(r)))
        self.packed[:, 0] = np.log(noise)
        self.packed[:, 1 + r : 1 + r + len(a)] = scaled[:, a] * loadings[:, b]
        head = -(-(1 + r) // len(_LANES)) * len(_LANES)
        self.linear = np.zeros((d, head))
        self.linear[:, 1 : 1 + r] = scaled

    def solve(self, block: Block, first: int, room: _Room | None, out: Array) -> None:
        """Solved systems of some rows: (-2 log density - m log 2 pi, E[z], var z), packed."""
        if room is not None and room.complete:
            self._solve_complete(first, room, out)
            return
        if room is not None:
            mask = self.fill(first, room, out)
            out[:, 1:] = 0.0
            kernels.add_product(mask, False, self.packed, _ROWS, _LANES, out)
            kernels.add_product(room.gaps[: len(out)], False, self.linear, _ROWS, _LANES, out)
        else:
            kernels.row_systems(
                block.by_row,
                first,
                self.means,
                self.precisions,
                self.linear,
                self.packed,
                _LANES,
                out,
            )
        kernels.solve_rows(out, self.r)

    def fill(self, first: int, room: _Room, out: Array) -> Array:
        """Mask (returned) and gaps of rows; their scaled squares in front of ``out``."""
        mask, gaps = room.mask[: len(out)], room.gaps[: len(out)]
        out[:, 0] = 0.0
        kernels.fill_gaps(room.dense, first, self.means, self.precisions, mask, gaps, out)
        return mask

    def _solve_complete(self, first: int, room: _Room, out: Array) -> None:
        r = self.r
        shared = self.packed.sum(axis=0)[None, :]
        system = unpacked(shared[0], r)[:r, :r] + np.eye(r)
        kernels.solve_rows(shared, r)
        self.fill(first, room, out)
        squares = out[:, 0].copy()
        out[:, 1:] = 0.0
        kernels.add_product(room.gaps[: len(out)], False, self.linear, _ROWS, _LANES, out)
        b = out[:, 1 : 1 + r].copy()
        # not by BLAS: its sums depend on its threads
        z = np.einsum("ur,rs->us", b, unpacked(shared[0], r)[:r, :r])
        out[:] = shared
        out[:, 1 : 1 + r] = z
        # b^T M^-1 b by way of 2 b^T z - z^T M z, which errs by the square of what z does: factors
        # that explain a row to a small noise leave next to nothing of the squares
        explained = 2.0 * b - np.einsum("ur,rs->us", z, system)
        out[:, 0] += squares - np.einsum("ur,ur->u", explained, z)

    def add_columns(self, room: _Room, moments: Array, linear: Array, squares: Array) -> Array:
        """Add dense rows to the sums by column; returns the rows' mask.

        The room must hold this component's gaps (`fill`).
        """
        gaps = room.gaps[: len(moments)]
        kernels.add_product(gaps, True, moments, _ROWS, _LANES, linear)
        kernels.add_squares(gaps, moments, squares)
        return room.mask[: len(moments)]


class _Work:
    """All components' tables, and the systems of one tile, used again for the next."""

    def __init__(self, parameters: Parameters, block: Block, n_rows: int) -> None:
        n_components, _, r = parameters.loadings.shape
        self.block = block
        self.room = _room(block, n_rows)
        self.scratch = np.empty((n_rows, 1))
        self.tables = [Tables(parameters, k) for k in range(n_components)]
        self.systems = np.empty((n_components, n_rows, packed_length(r)))
        with np.errstate(divide="ignore"):
            self.log_weights = np.log(parameters.weights)

    def threads(self) -> Any:
        """As many threads as the work deserves."""
        n_components, _, length = self.systems.shape
        return threads_for(int(n_components * self.block.observed.n_observed * length))

    def log_joint(self, first: int, m: int) -> Array:
        """Log p_k + log density (m, K) of some rows; their solved systems are left behind."""
        out = np.empty((m, len(self.tables)))
        counts = self.block.counts[first : first + m] * _LOG_2PI
        for k, tables in enumerate(self.tables):
            tables.solve(self.block, first, self.room, self.systems[k, :m])
            out[:, k] = self.log_weights[k] - 0.5 * (self.systems[k, :m, 0] + counts)
        return out


def e_step(parameters: Parameters, block: Block) -> Statistics:
    """Expected sufficient statistics of a block, tile by tile."""
    return _statistics(parameters, block, None)


def statistics_of(shares: Array, parameters: Parameters, block: Block) -> Statistics:
    """Statistics under given responsibilities (n, K), factors from ``parameters``.

    The log-likelihood of this is not defined and given as NaN.
    """
    return _statistics(parameters, block, shares)


def _statistics(parameters: Parameters, block: Block, given: Array | None) -> Statistics:
    n_components, d, r = parameters.loadings.shape
    length = packed_length(r)
    complete = block.observed.is_complete and block.observed.n_observed > 0
    factors = np.zeros((n_components, length))
    sums = np.zeros((n_components, 1 if complete else d, length))
    linear = np.zeros((n_components, d, -(-(1 + r) // len(_LANES)) * len(_LANES)))
    squares = np.zeros((n_components, d))
    work = _Work(parameters, block, min(block.tile_rows, len(block.counts)))
    total = 0.0
    weights = block.row_weights
    with work.threads():
        for tile, (first, m) in enumerate(block.tiles()):
            rows = slice(first, first + m)
            joint = work.log_joint(first, m)
            part = work.systems[:, :m]
            density = logsumexp(joint, axis=1)
            shares = np.exp(joint - density[:, None]) if given is None else given[rows]
            density = np.where(block.counts[rows] > 0, density, 0.0)
            total += float(density.sum() if weights is None else weights[rows] @ density)
            if weights is not None:
                shares = shares * weights[rows, None]
            for k in range(n_components):
                kernels.weigh_moments(part[k], np.ascontiguousarray(shares[:, k]), r)
                factors[k] += part[k].sum(axis=0)
                mean = work.tables[k].means
                if work.room is None:
                    view = block.by_tile_column
                    kernels.column_systems(
                        view, tile * d, mean, part[k], _LANES, sums[k], linear[k], squares[k]
                    )
                    continue
                if n_components > 1:  # the room holds the last component's gaps
                    work.tables[k].fill(first, work.room, work.scratch[:m])
                mask = work.tables[k].add_columns(work.room, part[k], linear[k], squares[k])
                if not complete:
                    kernels.add_product(mask, True, part[k], _ROWS, _LANES, sums[k])
    if complete:
        sums = np.repeat(factors[:, None, :], d, axis=1)
    # f = (z, 1), where the kernels keep the constant in front
    deviations = np.concatenate([linear[:, :, 1 : 1 + r], linear[:, :, :1]], axis=2)
    value = total if given is None else float("nan")
    return Statistics(value, unpacked(factors, r), unpacked(sums, r), deviations, squares)


def posterior(parameters: Parameters, block: Block) -> Posterior:
    """Responsibilities and log densities of every row; row weights do not enter."""
    n, n_components = len(block.counts), len(parameters.weights)
    out, densities = np.empty((n, n_components)), np.empty(n)
    work = _Work(parameters, block, min(block.tile_rows, n))
    with work.threads():
        for first, m in block.tiles():
            joint = work.log_joint(first, m)
            density = logsumexp(joint, axis=1)
            out[first : first + m] = np.exp(joint - density[:, None])
            densities[first : first + m] = density
    return Posterior(out, np.where(block.counts > 0, densities, 0.0))


def row_factors(parameters: Parameters, block: Block) -> tuple[Array, Array]:
    """Mean (n, K, r) and covariance (n, K, r, r) of the factors of each row."""
    r = parameters.loadings.shape[2]
    work = _Work(parameters, block, len(block.counts))
    with work.threads():
        work.log_joint(0, len(block.counts))
    matrices = unpacked(work.systems, r)
    return matrices[..., r, :r].swapaxes(0, 1), matrices[..., :r, :r].swapaxes(0, 1)
