from __future__ import annotations

import numpy as np
import pytest

from mixmend.imaging.tree import LEVELS, joined, nodes_over, paired


def mixture(rng, n, q=4):
    factors = rng.normal(size=(n, q, q))
    covariances = factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(q)
    return rng.dirichlet(np.ones(n)), rng.normal(size=(n, q)), covariances


def divergence(mean, covariance, other, others):
    """The Kullback-Leibler divergence of one Gaussian from another."""
    inverse, gap = np.linalg.inv(others), other - mean
    log_ratio = np.linalg.slogdet(others)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(inverse @ covariance) + gap @ inverse @ gap - len(mean) + log_ratio)


@pytest.mark.parametrize("n", [1, 2, 7, 12])
def test_pairs_are_those_of_the_least_symmetric_divergences(rng, n):
    weights, means, covariances = mixture(rng, n)
    pair_of = paired(weights, means, covariances)
    floor = 1e-3 * weights @ np.einsum("kii->k", covariances) / 4
    noisy = covariances + floor * np.eye(4)
    left, expected = set(range(n)), set()
    while len(left) > 1:
        _, a, b = min(
            (
                divergence(means[a], noisy[a], means[b], noisy[b])
                + divergence(means[b], noisy[b], means[a], noisy[a]),
                a,
                b,
            )
            for a in left
            for b in left
            if a < b
        )
        expected.add((a, b))
        left -= {a, b}
    members = [tuple(np.flatnonzero(pair_of == pair)) for pair in range(pair_of.max() + 1)]
    assert expected == {group for group in members if len(group) == 2}
    assert sum(len(group) for group in members) == n
    assert len(members) == -(-n // 2)


def test_nodes_have_the_moments_of_their_leaves(rng):
    weights, means, covariances = mixture(rng, 6)
    weights[3:] = 0.3, 0.0, 0.0
    node_of = np.array([0, 1, 0, 1, 2, 2], np.int32)
    total, centres, spread = joined(weights, means, covariances, node_of)
    np.testing.assert_allclose(total, [weights[0] + weights[2], weights[1] + weights[3], 0.0])
    for node in range(3):
        own = node_of == node
        shares = weights[own] / weights[own].sum() if node < 2 else np.array([0.5, 0.5])
        mean = shares @ means[own]
        second = np.einsum(
            "k,kij->ij", shares, covariances[own] + np.einsum("ki,kj->kij", means[own], means[own])
        )
        np.testing.assert_allclose(centres[node], mean)
        np.testing.assert_allclose(spread[node], second - np.outer(mean, mean), atol=1e-12)


@pytest.mark.parametrize("n", [1, 5, 21, 40])
def test_every_node_has_leaves_and_none_too_many(rng, n):
    node_of = nodes_over(*mixture(rng, n))
    sizes = np.bincount(node_of)
    assert len(sizes) == -(-n // 2**LEVELS)
    assert sizes.min() >= 1
    assert sizes.max() <= 2**LEVELS
