from __future__ import annotations

import numba
import numpy as np
import pytest

from mixmend.kernels.lower_inverses import lower_inverses


def positive_definite(rng, count, q):
    factors = rng.normal(size=(count, q, q))
    return factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(q)


@pytest.mark.parametrize("count", [1, 7, 8, 19])
@pytest.mark.parametrize("q", [1, 2, 9, 33])
def test_they_are_the_inverses_of_the_cholesky_factors(rng, count, q):
    matrices, added = positive_definite(rng, count, q), rng.random(count)
    found = lower_inverses(matrices, added)
    shifted = matrices + added[:, None, None] * np.eye(q)
    expected = np.linalg.inv(np.linalg.cholesky(shifted))
    np.testing.assert_allclose(found, np.tril(expected), atol=1e-12 * np.abs(expected).max())
    np.testing.assert_array_equal(np.triu(found, 1), 0.0)


def test_only_the_lower_triangle_is_read(rng):
    matrices, none = positive_definite(rng, 3, 5), np.zeros(3)
    np.testing.assert_array_equal(
        lower_inverses(np.tril(matrices), none), lower_inverses(matrices, none)
    )


def test_one_that_is_not_positive_definite_gives_nan_and_leaves_its_neighbours_alone(rng):
    matrices, none = positive_definite(rng, 4, 5), np.zeros(4)
    expected = lower_inverses(matrices, none)
    matrices[2] *= -1.0
    found = lower_inverses(matrices, none)
    assert np.isnan(found[2]).any()
    np.testing.assert_array_equal(found[[0, 1, 3]], expected[[0, 1, 3]])


def test_a_matrix_has_one_inverse_wherever_it_stands_and_whatever_threads_there_are(rng):
    matrices, none = positive_definite(rng, 20, 6), np.zeros(20)
    expected = lower_inverses(matrices, none)
    np.testing.assert_array_equal(lower_inverses(matrices[::-1], none), expected[::-1])
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(lower_inverses(matrices, none), expected)
    finally:
        numba.set_num_threads(before)
