"""Distances and moments of a tile of rows, against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.gaussian import (
    add_moments,
    cut_strips,
    multiply_vectors,
    room_for,
    shape_of,
    strips_for,
    subtract_distances,
)
from mixmend.kernels.products import subtract_half_squares
from mixmend.kernels.simd import LANES, store_transposed

LANES_OF_A_VECTOR = pytest.mark.parametrize("lanes", [4, 8])
TILE_ROWS = 72


@numba.njit
def _distances(tile, mean, whitener, used, n_rows, vector, joint):
    shape = shape_of(vector)
    strips = strips_for(len(tile), tile.shape[1], shape)
    room = room_for(len(tile), tile.shape[1], shape)
    cut_strips(tile, used, n_rows, shape, strips)
    subtract_distances(strips, mean, whitener, used, n_rows, shape, joint, room)


@numba.njit
def _moments(tile, mean, shares, used, n_rows, vector, first, second):
    shape = shape_of(vector)
    room = room_for(len(tile), tile.shape[1], shape)
    return add_moments(tile, mean, shares, used, n_rows, shape, room, (first, second))


@numba.njit
def _transposed(a, vector, out):
    store_transposed(
        a.reshape(-1), uint64(1), uint64(a.shape[1]), out.reshape(-1), uint64(2),
        uint64(out.shape[1]), vector,
    )  # fmt: skip


def padded(d, lanes):
    return -(-d // lanes) * lanes


def case(rng, d, lanes, beyond=0):
    """A tile, a mean and a whitener of d columns, and whole vectors of others beyond them."""
    width = padded(d, lanes) + beyond
    tile, mean = np.zeros((TILE_ROWS, width)), np.zeros(width)
    tile[:, :d], mean[:d] = rng.normal(size=(TILE_ROWS, d)), rng.normal(size=d)
    whitener = np.zeros((width, width))
    whitener[:d, :d] = np.triu(rng.normal(size=(d, d)))
    return tile, mean, whitener


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_square_is_transposed(rng, lanes, dtype):
    a = rng.normal(size=(lanes, lanes + 3)).astype(dtype)
    out = np.zeros((lanes, lanes + 5), dtype)
    _transposed(a, LANES[lanes], out)
    np.testing.assert_array_equal(out[:, 2 : 2 + lanes], a[:, 1 : 1 + lanes].T)
    assert np.count_nonzero(out) == lanes**2


@LANES_OF_A_VECTOR
@pytest.mark.parametrize("d", [1, 3, 4, 7, 8, 13, 20, 32, 33])
@pytest.mark.parametrize("n_rows", [1, 11, 12, 25, 48, 71, 72])
def test_half_the_squared_distances_are_subtracted_row_by_row(rng, n_rows, d, lanes):
    tile, mean, whitener = case(rng, d, lanes)
    before = rng.normal(size=TILE_ROWS)
    joint = before.copy()
    _distances(tile, mean, whitener, padded(d, lanes), n_rows, LANES[lanes], joint)
    wanted = 0.5 * (((tile - mean) @ whitener) ** 2).sum(axis=1)
    np.testing.assert_allclose(joint[:n_rows], (before - wanted)[:n_rows], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(joint[n_rows:], before[n_rows:])


@LANES_OF_A_VECTOR
@pytest.mark.parametrize("d", [1, 3, 4, 7, 8, 13, 16, 20, 24, 28, 32, 33, 52])
@pytest.mark.parametrize("n_rows", [1, 2, 23, 72])
def test_moments_of_the_rows_with_a_share_are_added(rng, n_rows, d, lanes):
    tile, mean, _ = case(rng, d, lanes)
    width = tile.shape[1]
    shares = rng.random(TILE_ROWS) * (rng.random(TILE_ROWS) < 0.7)
    before = rng.normal(size=width), rng.normal(size=(width, width))
    first, second = before[0].copy(), before[1].copy()
    mass = _moments(tile, mean, shares, width, n_rows, LANES[lanes], first, second)
    z, shares = (tile - mean)[:n_rows], shares[:n_rows]
    assert mass == pytest.approx(shares.sum(), rel=1e-14)
    np.testing.assert_allclose(first, before[0] + shares @ z, rtol=1e-12, atol=1e-12)
    lower = np.tril_indices(width)
    wanted = before[1] + (shares * z.T) @ z
    np.testing.assert_allclose(second[lower], wanted[lower], rtol=1e-12, atol=1e-12)


@LANES_OF_A_VECTOR
def test_columns_beyond_those_in_use_are_left_alone(rng, lanes):
    tile, mean, whitener = case(rng, 9, lanes, beyond=2 * lanes)
    used, width = padded(9, lanes), tile.shape[1]
    tile[:, used:], whitener[:, used:] = np.nan, np.nan
    joint, shares = np.zeros(TILE_ROWS), rng.random(TILE_ROWS)
    _distances(tile, mean, whitener, used, 30, LANES[lanes], joint)
    wanted = -0.5 * (((tile - mean)[:30, :9] @ whitener[:9, :9]) ** 2).sum(axis=1)
    np.testing.assert_allclose(joint[:30], wanted, rtol=1e-12)
    first, second = np.zeros(width), np.zeros((width, width))
    _moments(tile, mean, shares, used, 30, LANES[lanes], first, second)
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()
    assert not first[used:].any()
    assert not second[used:].any()


@LANES_OF_A_VECTOR
def test_a_tile_without_shares_adds_nothing(rng, lanes):
    tile, mean, _ = case(rng, 5, lanes)
    tile[:] = np.nan  # not even read
    width = tile.shape[1]
    first, second = np.zeros(width), np.zeros((width, width))
    assert _moments(tile, mean, np.zeros(TILE_ROWS), width, 9, LANES[lanes], first, second) == 0.0
    assert not first.any()
    assert not second.any()


@numba.njit
def _products(a, steps, b, out, count, extent, vector, lower):
    multiply_vectors(a, steps, b, out, count, extent, shape_of(vector), lower)


@LANES_OF_A_VECTOR
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_any_number_of_vectors_are_added(rng, vectors, lanes, turned):
    height, width, count = 12, vectors * lanes, 9
    a, b = rng.normal(size=(count, height)), rng.normal(size=(count + 1, width + 3))
    before = rng.normal(size=(height + 2, width + 1))
    out = before.copy()
    given, steps = (a.T.copy(), (1, count)) if turned else (a, (height, 1))
    _products(given, steps, b, out, count, (height, width), LANES[lanes], False)
    wanted = before.copy()
    wanted[:height, :width] += a.T @ b[:count, :width]
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)


@LANES_OF_A_VECTOR
def test_of_a_lower_triangle_only_blocks_that_touch_it_are_made(rng, lanes):
    size = 3 * lanes
    a, out = rng.normal(size=(9, size)), np.zeros((size, size))
    _products(a, (size, 1), a, out, 9, (size, size), LANES[lanes], True)
    i, j = np.indices(out.shape)
    touching = j // lanes <= (i // 4 * 4 + 3) // lanes
    np.testing.assert_allclose(out, np.where(touching, a.T @ a, 0.0), rtol=1e-12, atol=1e-12)


@numba.njit
def _squares(a, b, out, rows, lanes):
    none, one, step = uint64(0), uint64(1), uint64(b.shape[1])
    subtract_half_squares(
        a.reshape(-1), none, one, uint64(a.shape[1]), b.reshape(-1), none, step, uint64(len(b)),
        out.reshape(-1), none, uint64(out.shape[1]), rows, lanes,
    )  # fmt: skip


@pytest.mark.parametrize("lanes", [4, 12, 24])
def test_half_the_squares_of_gaps_are_subtracted_lane_by_lane(rng, lanes):
    a, b = 1e6 + rng.normal(size=(2, 7)), 1e6 + rng.normal(size=(7, lanes))
    before = rng.normal(size=(3, lanes + 2))
    out = before.copy()
    _squares(a, b, out, (0, 0), (0,) * lanes)
    wanted = before.copy()
    wanted[:2, :lanes] -= 0.5 * ((a[:, :, None] - b) ** 2).sum(axis=1)
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)
