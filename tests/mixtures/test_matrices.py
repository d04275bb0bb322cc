"""Covariances that are kept from singularity: several at once as one by one."""

from __future__ import annotations

import numpy as np

from mixmend.mixtures.full_e_step import lanes_of, mirrored, whitener
from mixmend.mixtures.matrices import floored, packed, unpacked


def covariances(rng, count, d):
    factors = rng.normal(size=(count, d, d))
    return factors @ factors.swapaxes(1, 2)


def test_several_covariances_are_floored_as_each_by_itself(rng):
    given, floor = covariances(rng, 4, 3), 0.3 * np.eye(3)
    given[1] += np.eye(3)  # needs no mending
    found = floored(given, floor)
    np.testing.assert_array_equal(found, [floored(one, floor) for one in given])
    np.testing.assert_array_equal(found[1], given[1])
    assert np.abs(found[0] - given[0]).max() > 1e-3
    assert np.linalg.eigvalsh(found).min() > 0.3 - 1e-9


def test_several_covariances_are_whitened_as_each_by_itself(rng):
    given = covariances(rng, 3, 4)
    found = whitener(given)
    np.testing.assert_array_equal(found, [whitener(one) for one in given])
    np.testing.assert_allclose(found @ given @ found.swapaxes(1, 2), [np.eye(4)] * 3, atol=1e-8)


def test_what_is_above_the_diagonal_does_not_matter_to_mirrored_matrices(rng):
    lower = rng.normal(size=(2, 3, 3))
    other = lower + np.triu(np.full((3, 3), np.nan), 1)
    found = mirrored(other)
    np.testing.assert_array_equal(found, mirrored(lower))
    np.testing.assert_array_equal(found, found.swapaxes(1, 2))
    np.testing.assert_array_equal(np.tril(found), np.tril(lower))


def test_lanes_hold_components_side_by_side_and_repeat_the_last(rng):
    given = rng.normal(size=(5, 2, 3))
    found = lanes_of(given)
    assert found.flags.c_contiguous
    assert found.shape[2] >= 5
    np.testing.assert_array_equal(found[..., :5], given.transpose(1, 2, 0))
    np.testing.assert_array_equal(
        found[..., 5:], np.broadcast_to(given[-1][..., None], found[..., 5:].shape)
    )


def _covariances(rng, n_components=3, d=5):
    half = rng.normal(size=(n_components, d, 2 * d))
    return half @ half.swapaxes(1, 2)


def test_several_are_packed_like_each_and_unpacked_again(rng):
    covariances = _covariances(rng)
    vectors = packed(covariances)
    assert vectors.shape == (3, 15)
    for covariance, vector in zip(covariances, vectors, strict=True):
        np.testing.assert_array_equal(packed(covariance), vector)
        factor = np.linalg.cholesky(covariance)
        np.testing.assert_allclose(np.exp(vector[[0, 2, 5, 9, 14]]), factor.diagonal())
        np.testing.assert_array_equal(vector[[1, 3, 4]], factor[[1, 2, 2], [0, 0, 1]])
        np.testing.assert_allclose(unpacked(vector, 5), covariance, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(unpacked(vectors, 5), covariances, rtol=1e-12, atol=1e-12)


def test_a_matrix_that_has_no_factor_is_packed_as_nan(rng):
    covariances = _covariances(rng)
    covariances[1] *= -1.0
    assert np.isnan(packed(covariances[1])).all()
    assert np.isnan(packed(covariances)[1]).all()
