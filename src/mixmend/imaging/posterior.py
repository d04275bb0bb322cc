"""A blurred picture once each patch's component is settled: a Gaussian, so solved exactly.

With data y, blur F, noise of variance s and a component c of each patch P_n x, the picture's
posterior has the precision and mean

    H = F' F / s + (lambda / N) sum_n P_n' C_c^-1 P_n,
    H m = F' y / s + (lambda / N) sum_n P_n' C_c^-1 mu_c

(piecewise linear estimation: Yu, Sapiro & Mallat 2012, *Solving inverse problems with piecewise
linear estimators*, for pictures as a whole). Draws from it are m + H^-1 r, where r is a sum of
independent draws of the covariances that H is a sum of (Papandreou & Yuille 2010, *Gaussian
sampling by local perturbations*). Both take conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mixmend.imaging import patch_step
from mixmend.imaging.operators import Blur
from mixmend.imaging.patches import CHUNK, PatchGrid, patch_grid
from mixmend.imaging.restore import folded
from mixmend.imaging.solvers import conjugate_gradients, over_frequencies
from mixmend.kernels.patch_search import Grid, add_of_winners
from mixmend.kernels.patches import add_patches, cut_patches
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

FLOOR = 1e-5
"""Added to all variances of patches, of pictures in [0, 1]: half a level of 255, squared and
rounded up. It halves the steps of conjugate gradients and changes little else."""


class Components(NamedTuple):
    """The components of a prior, as the posterior counts them.

    Attributes
    ----------
    basis : Basis
    precisions : ndarray, shape (K, d, d)
        C^-1 of patches in pixels; without brightness where patches have no mean.
    factors : ndarray, shape (K, d, q)
        ``factors @ factors'`` are the precisions.
    pulls : ndarray, shape (K, d)
        C^-1 mu.
    """

    basis: patch_step.Basis
    precisions: Array
    factors: Array
    pulls: Array


@fixed_order()
def components_of(basis: patch_step.Basis) -> Components:
    """The precisions of a prior's components."""
    floored = basis.covariances + FLOOR * np.eye(basis.covariances.shape[1])
    inverses = np.linalg.inv(floored)
    factors = basis.vectors @ np.linalg.cholesky((inverses + inverses.swapaxes(1, 2)) / 2)
    precisions = factors @ factors.swapaxes(1, 2)
    pulls = (precisions @ basis.prior.means[:, :, None])[:, :, 0]
    return Components(basis, precisions, factors, pulls)


class _Chunk(NamedTuple):
    """Some rows of a grid of patches: never all patches of a large picture at once.

    Attributes
    ----------
    rows : ndarray of int64
        Of the upper left corners.
    winners : ndarray of int32, shape (n,)
        Components of the patches.
    shares : ndarray, shape (n,)
        lambda / N of each.
    order : ndarray of int64, shape (n,)
        The patches by their components.
    ends : ndarray of int64, shape (K,)
        Where each component's ends in ``order``.
    """

    rows: NDArray[np.int64]
    winners: NDArray[np.int32]
    shares: Array
    order: NDArray[np.intp]
    ends: NDArray[np.intp]

    def times(self, patches: Array, matrices: Array) -> Array:
        """Each patch (n, a) times the matrix (a, b) of its component."""
        ordered = patches[self.order]
        out = np.empty((len(patches), matrices.shape[2]))
        first = 0
        for k, last in enumerate(self.ends):
            if last > first:
                out[self.order[first:last]] = ordered[first:last] @ matrices[k]
            first = last
        return out


class Posterior:
    """The posterior of a picture, given the components of its patches.

    Parameters
    ----------
    operator : Blur
        F; patches wrap around where it is periodic.
    noise : float
        s, the variance of the noise.
    components : Components
    picture : ndarray, shape (height, width)
        An estimate, whose patches' most likely components are taken.
    spread : float
        Variance of what may be wrong with the estimate when components are chosen.
    strength : float
        lambda, how much the prior counts.
    stride : int, default 1
        Distance of the patches; each counts for the more.
    offset : tuple of int, default (0, 0)
        Where they lie, as for `patch_grid`.
    """

    @fixed_order()
    def __init__(
        self,
        operator: Blur,
        noise: float,
        components: Components,
        picture: Array,
        spread: float,
        strength: float,
        stride: int = 1,
        offset: tuple[int, int] = (0, 0),
    ) -> None:
        size = components.basis.prior.patch_size
        self._operator, self._noise, self._components = operator, noise, components
        self._wrap = size - 1 if operator.boundary == "periodic" else 0
        wide = self._widened(picture)
        self.grid: PatchGrid = patch_grid(wide.shape, size, stride, offset)
        tables = patch_step.stage_tables(components.basis, spread)
        _, self.winners = patch_step.patch_sums(
            wide, self.grid, tables, patch_step.no_winners(self.grid)
        )
        # patches at a border, where a pixel is part of few, count for more
        coverage = self._widened(strength / folded(self.grid.counts, self._wrap))
        self._chunks = self._in_chunks(coverage, len(components.precisions))
        self._factors = self._spectrum()

    def mean(self, data: Array, start: Array, tol: float = 5e-5) -> Array:
        """M, from y; conjugate gradients go from ``start`` to this share of the right side."""
        pulled = self._operator.adjoint(data) / self._noise
        pulls = self._components.pulls
        felt = self._summed(lambda chunk: pulls[chunk.winners] * chunk.shares[:, None])
        return self._solved(pulled + felt, start, tol)

    def draw(self, rng: np.random.Generator, tol: float = 1e-2) -> Array:
        """A draw of x - m."""
        turned = self._components.factors.swapaxes(1, 2)
        data = rng.standard_normal(self._operator.shape) / np.sqrt(self._noise)

        def drawn(chunk: _Chunk) -> Array:
            units = rng.standard_normal((len(chunk.winners), turned.shape[1]))
            return chunk.times(units, turned) * np.sqrt(chunk.shares)[:, None]

        right = self._operator.adjoint(data) + self._summed(drawn)
        return self._solved(right, np.zeros_like(right), tol)

    @fixed_order()
    def variances(self, n_draws: int, rng: np.random.Generator) -> Array:
        """Variances of the pixels, about the diagonal of H^-1.

        The squares of a few draws are averaged over all patches of a component, pixel by
        pixel, and these over the patches that a pixel is part of: patches of one component
        are about equally well known, and there are many more of them than one can have draws.
        """
        shape = self._components.pulls.shape
        values, counts = np.zeros(shape), np.zeros(shape[0])
        for _ in range(n_draws):
            squares = self._widened(self.draw(rng) ** 2)
            for chunk in self._chunks:
                np.add.at(values, chunk.winners, self._cut(squares, chunk.rows))
                counts += np.bincount(chunk.winners, minlength=shape[0])
        values /= np.maximum(counts, 1.0)[:, None]
        total = np.zeros(self.grid.shape)
        plain = Grid(self.grid.rows, self.grid.columns, self.grid.patch_size)
        add_of_winners(values, plain, self.winners, total)
        return folded(total, self._wrap) / folded(self.grid.counts, self._wrap)

    def apply(self, picture: Array) -> Array:
        """H x."""
        seen = self._operator.adjoint(self._operator.forward(picture)) / self._noise
        wide, precisions = self._widened(picture), self._components.precisions

        def felt(chunk: _Chunk) -> Array:
            patches = chunk.times(self._cut(wide, chunk.rows), precisions)
            return patches * chunk.shares[:, None]

        return seen + self._summed(felt)

    @fixed_order()
    def _solved(self, right: Array, start: Array, tol: float) -> Array:
        def condition(residual: Array) -> Array:
            return over_frequencies(residual, self._factors)

        return conjugate_gradients(self.apply, right, condition, start, tol)

    def _in_chunks(self, coverage: Array, n_components: int) -> list[_Chunk]:
        at_once = max(1, CHUNK // len(self.grid.columns))
        chunks = []
        for first in range(0, len(self.grid.rows), at_once):
            rows = self.grid.rows[first : first + at_once]
            winners = self.winners[first : first + at_once].ravel()
            shares = self._cut(coverage, rows).mean(axis=1)
            ends = np.cumsum(np.bincount(winners, minlength=n_components))
            order = np.argsort(winners, kind="stable")
            chunks.append(_Chunk(rows, winners, shares, order, ends))
        return chunks

    def _cut(self, wide: Array, rows: NDArray[np.int64]) -> Array:
        values = np.ascontiguousarray(wide)
        return np.asarray(cut_patches(values, rows, self.grid.columns, self.grid.patch_size))

    def _widened(self, picture: Array) -> Array:
        return np.pad(picture, ((0, self._wrap), (0, self._wrap)), mode="wrap")

    def _summed(self, patches_of: Callable[[_Chunk], Array]) -> Array:
        total = np.zeros(self.grid.shape)
        for chunk in self._chunks:
            patches = patches_of(chunk)
            add_patches(patches, chunk.rows, self.grid.columns, self.grid.patch_size, total)
        return folded(total, self._wrap)

    def _spectrum(self) -> Array:
        """H by frequencies, as if all patches were of the average component everywhere."""
        shape, size = self._operator.shape, self.grid.patch_size
        weights = np.zeros(len(self._components.precisions))
        for chunk in self._chunks:
            weights += np.bincount(chunk.winners, chunk.shares, len(weights))
        weights /= shape[0] * shape[1]
        average = np.einsum("k,kij->ij", weights, self._components.precisions)
        rows, columns = (axis.ravel() for axis in np.mgrid[0:size, 0:size])
        lags = np.zeros(shape)
        np.add.at(
            lags,
            (
                np.subtract.outer(rows, rows) % shape[0],
                np.subtract.outer(columns, columns) % shape[1],
            ),
            average,
        )
        of_prior = np.maximum(scipy.fft.rfft2(lags).real, 0.0)
        of_data = self._operator.power() / self._noise
        found = of_data + of_prior
        return np.asarray(np.maximum(found, 1e-9 * found.max()))


__all__ = ["Components", "Posterior", "components_of"]
