"""Distances and moments of a tile of rows, against NumPy."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.gaussian import (
    add_moments,
    cut_strips,
    room_for,
    shape_of,
    strips_for,
    subtract_distances,
)
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
