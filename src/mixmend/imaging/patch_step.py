"""The patch step of half-quadratic splitting: likely components and Wiener estimates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from mixmend.imaging.patches import BAND, PatchGrid, band_sums, joined_bands
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.tree import joined, nodes_over
from mixmend.kernels import patch_search as kernels
from mixmend.kernels.lower_inverses import lower_inverses
from mixmend.kernels.patch_tree import choose_components
from mixmend.kernels.products import whole_vectors, wide_registers
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]
Winners = NDArray[np.int32]

ASSIGNMENTS = ("marginal", "joint", "prior")
"""Which density the most likely component is that of; see `stage_tables`."""

_BLOCK = 4


class Basis(NamedTuple):
    """A prior in orthonormal coordinates of patches, those that vary most first.

    Attributes
    ----------
    vectors : ndarray, shape (d, q)
        Eigenvectors of the covariance of all patches; without the constant one where
        patches have no mean.
    means, covariances : ndarray, shape (K, q) and (K, q, q)
        The components in these coordinates.
    prior : PatchPrior
    weights : ndarray, shape (K,)
    """

    vectors: Array
    means: Array
    covariances: Array
    prior: PatchPrior
    weights: Array


class Tree(NamedTuple):
    """The level of a tree over a basis's components at which patches enter.

    Attributes
    ----------
    nodes : Basis
        The nodes as if they were components.
    node_of : ndarray of int32, shape (K,)
        The node of each component.
    beam : int
        How many nodes a patch tries the components of.
    """

    nodes: Basis
    node_of: NDArray[np.int32]
    beam: int


class Nodes(NamedTuple):
    """The level of a tree at which patches enter, at one penalty.

    Attributes
    ----------
    tables : Tables
        The nodes as if they were components.
    node_of : ndarray of int32, shape (K,)
        The node of each component.
    beam : int
        How many nodes a patch tries the components of.
    """

    tables: kernels.Tables
    node_of: NDArray[np.int32]
    beam: int


@fixed_order()
def basis_of(prior: PatchPrior) -> Basis:
    """The coordinates that a prior's components are told apart in."""
    d = prior.patch_size**2
    centre = prior.weights @ prior.means
    gaps = prior.means - centre
    pooled = np.einsum("k,kij->ij", prior.weights, prior.covariances)
    pooled += (prior.weights * gaps.T) @ gaps
    if prior.remove_mean:  # brightness last, whatever its variance
        pooled = pooled - np.full((d, d), (1.0 + np.trace(pooled)) / d)
    vectors = np.linalg.eigh(pooled)[1]
    vectors = vectors[:, :0:-1] if prior.remove_mean else vectors[:, ::-1]
    covariances = np.stack([vectors.T @ c @ vectors for c in prior.covariances])
    return Basis(vectors, prior.means @ vectors, covariances, prior, prior.weights)


@fixed_order()
def stage_tables(
    basis: Basis, noise: float, assignment: str = "marginal", rank: int | None = None
) -> kernels.Tables:
    """Components as the kernel reads them, at one penalty.

    Parameters
    ----------
    basis : Basis
    noise : float
        ``1 / gamma``, the variance around patches at this penalty; 0 for `log_density`.
    assignment : {"marginal", "joint", "prior"}, default "marginal"
        The density of a patch y that its most likely component maximises: that of
        y = z + noise with z integrated out (Zoran & Weiss 2011), with z maximised, or that
        of z = y.
    rank : int, optional
        Coordinates that components correlate when the most likely is chosen, all if not given:
        beyond them each is told by its variances alone, as if they were independent (after
        Parameswaran et al. 2018, *Accelerating GMM-based patch priors for image restoration*,
        whose tails are flat, in coordinates of each component). Estimates stay those of the
        whole covariances.
    """
    quick = rank is not None
    n_components, q = basis.means.shape
    d, r = len(basis.vectors), q if rank is None else min(rank, q)
    height, width = (whole_vectors(size, LANES[_BLOCK]) for size in (r, q))
    with np.errstate(divide="ignore"):
        log_weights = np.log(basis.weights)
    ridges = np.array([_ridge(c) for c in basis.covariances])
    inverses, log_scales = _whitening(basis.covariances, ridges, noise, quick)
    w = inverses
    if assignment != "marginal":
        of_clean, log_scales = _whitening(basis.covariances, ridges, 0.0, quick)
        w = of_clean if assignment == "prior" else inverses
    whiteners = np.zeros((n_components, height + 1, height), np.float32)
    whiteners[:, 1 : r + 1, :r] = w[:, :r, :r].swapaxes(1, 2)
    whiteners[:, 0, :r] = -(w[:, :r, :r] @ basis.means[:, :r, None])[:, :, 0]
    centre, tails, log_dets = _tails(basis, r, noise, assignment)
    log_dets += 2.0 * log_scales[:, :r].sum(axis=1)
    costs = log_dets + q * np.log(2.0 * np.pi) - 2.0 * log_weights
    # noisy^-1 covariance, the transposed gain, is 1 - (what noise and ridge add) noisy^-1
    kind: Any = np.float32 if quick else np.float64
    inverses = inverses.astype(kind, copy=False)
    gains = inverses.swapaxes(1, 2) @ (-(noise + ridges).astype(kind)[:, None, None] * inverses)
    np.einsum("kii->ki", gains)[:] += 1.0
    kept = (basis.means.astype(kind)[:, None, :] @ gains)[:, 0]
    offsets = (basis.means - kept) @ basis.vectors.T
    in_pixels = gains @ basis.vectors.T.astype(kind)
    vectors = np.zeros((d, width), np.float32)
    vectors[:, :q] = basis.vectors
    return kernels.Tables(
        vectors,
        whiteners,
        costs.astype(np.float32),
        r,
        centre.astype(np.float32),
        tails.astype(np.float32),
        in_pixels.astype(np.float32, copy=False),
        offsets.astype(np.float32),
        int(basis.prior.remove_mean),
    )


def tree_over(basis: Basis, beam: int | None) -> Tree | None:
    """The tree over a basis's components, none where patches shall try all of them.

    Parameters
    ----------
    basis : Basis
    beam : int or None
        How many nodes a patch tries the components of; None for no tree.
    """
    if beam is None:
        return None
    node_of = nodes_over(basis.weights, basis.means, basis.covariances)
    weights, means, covariances = joined(basis.weights, basis.means, basis.covariances, node_of)
    nodes = basis._replace(weights=weights, means=means, covariances=covariances)
    return Tree(nodes, node_of, min(beam, len(weights)))


def node_tables(
    tree: Tree | None, noise: float, assignment: str = "marginal", rank: int | None = None
) -> Nodes | None:
    """The nodes of a tree as the kernel reads them, at one penalty; none of none.

    Parameters
    ----------
    tree : Tree or None
        Of `tree_over`.
    noise, assignment, rank
        As for `stage_tables`; nodes are told apart by half of the rank.
    """
    if tree is None:
        return None
    half = None if rank is None else -(-rank // 2)
    return Nodes(stage_tables(tree.nodes, noise, assignment, half), tree.node_of, tree.beam)


def patch_sums(
    picture: Array,
    grid: PatchGrid,
    tables: kernels.Tables,
    winners: Winners,
    nodes: Nodes | None = None,
) -> tuple[Array, Winners]:
    """The sum over patches of their estimates, and their components.

    Parameters
    ----------
    picture : ndarray, shape (height, width)
    grid : PatchGrid
    tables : Tables
        Of `stage_tables`.
    winners : ndarray of int32, shape (rows, columns) of the grid
        Components to try first, -1 for none.
    nodes : Nodes, optional
        Of `node_tables`: components are chosen by way of these, and ``winners`` not looked at.

    Returns
    -------
    sums : ndarray, shape (height, width)
    winners : ndarray of int32
    """
    found = winners.copy()
    parts = band_sums(grid, dtype=np.float32)
    values = np.ascontiguousarray(picture, dtype=np.float32)
    if nodes is not None:
        room = np.empty((len(parts), BAND * len(grid.columns), nodes.beam), np.int32)
        at_nodes = tables, nodes.tables, nodes.node_of, room
        choose_components(values, _plain(grid), *at_nodes, found, *_tokens())
    kernels.estimate_patches(
        values, _plain(grid), tables, found, BAND, nodes is not None, parts, *_tokens()
    )
    return joined_bands(parts, grid), found


def log_density(picture: Array, grid: PatchGrid, tables: kernels.Tables, winners: Winners) -> float:
    """``sum_n log p(P_n x)`` over the patches of a grid, ``tables`` being those without noise."""
    out = np.empty(len(grid.rows))
    values = np.ascontiguousarray(picture, dtype=np.float32)
    kernels.log_densities(values, _plain(grid), tables, winners, out, *_tokens())
    return float(out.sum())


def no_winners(grid: PatchGrid) -> Winners:
    """Nothing to try first."""
    return np.full((len(grid.rows), len(grid.columns)), -1, np.int32)


def _whitening(covariances: Array, ridges: Array, noise: float, quick: bool) -> tuple[Array, Array]:
    """Lower triangles W, ``W' W`` the precisions, (K, q, q), and ``-log`` of their diagonals.

    LAPACK's unless it shall be quick: eight components side by side differ from these in the
    last bits.
    """
    if quick:
        inverses = lower_inverses(covariances, ridges + noise)
        return inverses, -np.log(np.einsum("kii->ki", inverses))
    q = covariances.shape[1]
    clean = covariances + ridges[:, None, None] * np.eye(q)
    factors = np.linalg.cholesky(clean + noise * np.eye(q))
    inverses = np.stack([dtrtri(factor.T)[0].T for factor in factors])
    return inverses, np.log(np.einsum("kii->ki", factors))


def _tails(basis: Basis, rank: int, noise: float, assignment: str) -> tuple[Array, Array, Array]:
    """The centre of the coordinates beyond ``rank``, precisions along them, log determinants.

    Means count as a part of the variances: so a patch's squares serve all components.
    """
    centre = (basis.weights @ basis.means)[rank:]
    gaps = basis.means[:, rank:] - centre
    clean = np.einsum("kii->ki", basis.covariances)[:, rank:] + gaps**2 + 1e-12
    noisy = clean + noise
    precisions = 1.0 / (clean if assignment == "prior" else noisy)
    log_dets = np.log(noisy if assignment == "marginal" else clean).sum(axis=1)
    return centre, precisions, log_dets


def _ridge(covariance: Array) -> float:
    """What makes a singular covariance one that can be factored."""
    return 1e-9 * float(np.trace(covariance)) + 1e-12


def _plain(grid: PatchGrid) -> kernels.Grid:
    return kernels.Grid(grid.rows, grid.columns, grid.patch_size)


def _tokens() -> tuple[tuple[int, ...], tuple[int, ...]]:
    return LANES[_BLOCK], LANES[64 if wide_registers() else 16]
