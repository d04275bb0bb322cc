"""A tree over the components of a prior, by which likely ones are found without trying all.

Components are paired, those first that differ least, then the pairs, and so on; each node
is the Gaussian of the mean and covariance that its leaves have together (after Goldberger &
Roweis 2004, *Hierarchical clustering of a mixture model*; for patches Parameswaran et al.
2018). A patch enters at the nodes of some eight leaves each (`LEVELS`) and tries the leaves of
the most likely ones; further down, patches that lie side by side would go their own ways.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]

LEVELS = 3
"""How often nodes are paired."""

COORDINATES = 16
"""Coordinates in which nodes are compared: those that vary most."""


@fixed_order()
def nodes_over(weights: Array, means: Array, covariances: Array) -> NDArray[np.int32]:
    """The node above each component, at the level at which patches enter: shape (K,).

    Parameters
    ----------
    weights : ndarray, shape (K,)
    means, covariances : ndarray, shape (K, q) and (K, q, q)
        In coordinates of which the first vary most.

    Examples
    --------
    >>> variances = np.repeat([1.0, 50.0], 8) * np.linspace(1.0, 1.2, 16)
    >>> node_of = nodes_over(np.full(16, 1 / 16), np.zeros((16, 1)), variances[:, None, None])
    >>> len(set(node_of[:8])), len(set(node_of[8:])), len(set(node_of))
    (1, 1, 2)
    """
    leaves = weights, means[:, :COORDINATES], covariances[:, :COORDINATES, :COORDINATES]
    node_of = np.arange(len(weights), dtype=np.int32)
    for _ in range(LEVELS):
        node_of = paired(*joined(*leaves, node_of))[node_of]
    return node_of


def paired(weights: Array, means: Array, covariances: Array) -> NDArray[np.int32]:
    """The pair that each Gaussian goes into: least symmetric Kullback-Leibler divergence first.

    Of an odd number one stays alone. What they weigh does not matter, but for how much noise
    is added to make all covariances ones that can be inverted.

    Examples
    --------
    >>> paired(np.full(4, 0.25), np.zeros((4, 1)), np.array([1.0, 9.0, 1.1, 8.0])[:, None, None])
    array([0, 1, 0, 1], dtype=int32)
    """
    n, q = means.shape
    floor = 1e-3 * float(weights @ np.einsum("kii->k", covariances)) / q + 1e-12
    noisy = covariances + floor * np.eye(q)
    precisions = np.linalg.inv(noisy)
    # tr P_a (C_b + (m_a - m_b)(m_a - m_b)'), what the two divergences of a pair add up to
    second = noisy + means[:, :, None] * means[:, None]
    pulled = (precisions @ means[:, :, None])[:, :, 0]
    one_way = precisions.reshape(n, -1) @ second.reshape(n, -1).T - 2.0 * pulled @ means.T
    one_way += (pulled * means).sum(axis=1)[:, None]
    first, other = np.triu_indices(n, 1)
    order = np.argsort((one_way + one_way.T)[first, other], kind="stable")
    pair_of, count = np.full(n, -1, np.int32), 0
    for a, b in zip(first[order].tolist(), other[order].tolist(), strict=True):
        if pair_of[a] < 0 and pair_of[b] < 0:
            pair_of[a] = pair_of[b] = count
            count += 1
            if 2 * count + 1 >= n:
                break
    pair_of[pair_of < 0] = count
    return pair_of


def joined(
    weights: Array, means: Array, covariances: Array, node_of: NDArray[np.int32]
) -> tuple[Array, Array, Array]:
    """The weight, mean and covariance that the leaves of each node have together.

    Examples
    --------
    >>> means, node_of = np.array([[1.0], [3.0]]), np.zeros(2, np.int32)
    >>> joined(np.array([0.5, 0.5]), means, np.ones((2, 1, 1)), node_of)
    (array([1.]), array([[2.]]), array([[[2.]]]))
    """
    n, q = int(node_of.max()) + 1, means.shape[1]
    total: Array = np.bincount(node_of, weights, n).astype(np.float64)
    shares = np.where(total > 0, weights[:, None] * (node_of[:, None] == np.arange(n)), 0.0)
    of_none = (node_of[:, None] == np.arange(n)) / np.bincount(node_of, minlength=n)
    shares = np.where(total > 0, shares / np.where(total > 0, total, 1.0), of_none)
    centres = shares.T @ means
    gaps = means - centres[node_of]
    spread = covariances + gaps[:, :, None] * gaps[:, None]
    return total, centres, (shares.T @ spread.reshape(len(means), -1)).reshape(n, q, q)


__all__ = ["COORDINATES", "LEVELS", "joined", "nodes_over", "paired"]
