"""Turned tiles of rows and the leaders among their scores, against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.scores import fold_scores, score_shape, turn, turned_lanes

precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@numba.njit
def _turned(X, rows, first, column, centre, tile, at, step, lanes):
    width = uint64(X.shape[1])
    first, column, at, step = uint64(first), uint64(column), uint64(at), uint64(step)
    turn(X.reshape(-1), width, rows, first, column, centre, tile, at, step, lanes)


@numba.njit
def _folded(panels, tile, terms, scores, leaders, centres, lanes):
    count = uint64(panels.shape[1])
    for k in range(0, len(terms), len(centres)):
        fold_scores(
            panels.reshape(-1), uint64(k) * count, tile.reshape(-1), uint64(0), count, terms,
            uint64(k), scores, uint64(k * len(lanes)), leaders, uint64(0), centres, lanes,
        )  # fmt: skip


@precisions
def test_a_turned_tile_is_the_transpose_of_chosen_rows(rng, dtype):
    lanes = turned_lanes(np.dtype(dtype).itemsize)
    side = len(lanes)
    X, centre = rng.normal(size=(20, side + 3)).astype(dtype), rng.normal(size=side + 3)
    rows = rng.permutation(20)
    tile, step = np.full((side, side + 5), 7.0, dtype), side + 5
    _turned(X, rows, 2, 1, centre.astype(dtype), tile.reshape(-1), 4, step, lanes)
    expected = np.full_like(tile, 7.0)
    expected[:, 4 : 4 + side] = (X[rows[2 : 2 + side]] - centre.astype(dtype)).T[1 : 1 + side]
    np.testing.assert_array_equal(tile, expected)


@precisions
@pytest.mark.parametrize("equal", [False, True])
def test_leaders_are_the_largest_scores_the_first_of_equals(rng, dtype, equal):
    centres, lanes = score_shape(np.dtype(dtype).itemsize)
    d, n_centres, n_rows = 5, 3 * len(centres), len(lanes)
    coefficients = rng.integers(-3, 4, (n_centres, d)).astype(dtype)
    if equal:  # each centre three times
        coefficients = coefficients[np.arange(n_centres) % len(centres)]
    tile = rng.integers(-3, 4, (d, n_rows)).astype(dtype)
    terms = np.zeros(n_centres, dtype) if equal else rng.integers(-5, 5, n_centres).astype(dtype)
    terms[-1] = -np.inf
    panels = np.ascontiguousarray(coefficients.reshape(3, -1, d).transpose(0, 2, 1))
    scores = np.empty(n_centres * n_rows, dtype)
    leaders = tuple(np.full(n_rows, start, dtype) for start in (-np.inf, -np.inf, 0))
    _folded(panels, tile, terms, scores, leaders, centres, lanes)
    expected = coefficients @ tile + terms[:, None]
    np.testing.assert_array_equal(scores.reshape(n_centres, n_rows), expected)
    best, second, chosen = leaders
    ranked = np.sort(expected, axis=0)
    np.testing.assert_array_equal(best, ranked[-1])
    np.testing.assert_array_equal(second, ranked[-2])
    np.testing.assert_array_equal(chosen, expected.argmax(axis=0))
