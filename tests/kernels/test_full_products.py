"""Products in registers and matrices in lanes, against NumPy."""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.lanes import buffers_for, negated_inverse, times_symmetric
from mixmend.kernels.layout import cut_tiles
from mixmend.kernels.products import add_outer, block_shape, padded_columns
from mixmend.kernels.simd import LANES


@numba.njit
def _outer(a, b, out, rows, lanes):
    count, height = a.shape
    width = uint64(b.shape[1])
    for i in range(0, height, len(rows)):
        for j in range(0, b.shape[1], len(lanes)):
            add_outer(
                a.reshape(-1),
                uint64(i),
                uint64(height),
                uint64(1),
                b.reshape(-1),
                uint64(j),
                width,
                uint64(count),
                out.reshape(-1),
                uint64(i) * width + uint64(j),
                width,
                rows,
                lanes,
            )


SHAPES = pytest.mark.parametrize(
    ("rows", "lanes"), [(4, 4), (4, 8), (8, 8), (8, 16), (4, 16), (4, 12), (4, 24)]
)


@SHAPES
@pytest.mark.parametrize("count", [0, 1, 7])
def test_outer_sums_are_added(rng, rows, lanes, count):
    a, b = rng.normal(size=(count, 16)), rng.normal(size=(count, 48))
    before = rng.normal(size=(16, 48))
    out = before.copy()
    _outer(a, b, out, LANES[rows], (0,) * lanes)
    np.testing.assert_allclose(out, before + a.T @ b, atol=1e-13)


@pytest.mark.parametrize("d", [1, 4, 5, 8, 9, 16, 20, 33])
def test_padding_is_a_whole_number_of_blocks(d):
    rows, lanes = block_shape(d)
    width = padded_columns(d)
    assert width % len(lanes) == 0
    assert width % len(rows) == 0
    assert d <= width < d + 16


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("size", [0, 1, 2, 6, 9])
def test_inverses_of_submatrices_in_every_lane(rng, lanes, size):
    half = rng.normal(size=(16, 9, 12))
    matrices = half @ half.swapaxes(1, 2) * 10.0 ** rng.integers(-20, 20, size=(16, 1, 1))
    chosen = rng.permutation(9)[:size].astype(np.int32)
    work = buffers_for(45, 9, 16)
    log_det = np.zeros(16)
    table = np.ascontiguousarray(np.moveaxis(matrices, 0, -1)).ravel()
    negated_inverse(table, 9, chosen, size, LANES[lanes], 0, log_det, work)
    vector, out = rng.normal(size=(9, 16)), np.zeros((9, 16))
    times_symmetric(work.inverses, 0, size, vector.ravel(), 16, LANES[lanes], out.reshape(-1))
    lower = np.tril_indices(size)
    for k in range(16):
        wanted = -np.linalg.inv(matrices[k][np.ix_(chosen, chosen)])
        found = work.inverses.reshape(45, 16)[: len(lower[0]), k]
        np.testing.assert_allclose(
            found, wanted[lower], rtol=1e-8, atol=1e-9 * abs(wanted).max(initial=0)
        )
        sign, log = np.linalg.slogdet(matrices[k][np.ix_(chosen, chosen)])
        assert sign == 1
        assert log_det[k] == pytest.approx(log, rel=1e-11, abs=1e-9)
        scale = abs(wanted).max(initial=0)
        np.testing.assert_allclose(
            out[:size, k], wanted @ vector[:size, k], rtol=1e-8, atol=1e-9 * scale
        )


@pytest.mark.parametrize("turned", [(1,), (0, 2), (5,)])
def test_what_is_not_positive_definite_has_no_log_determinant(turned):
    matrices = np.tile(np.eye(6), (8, 1, 1))
    matrices[2, turned, turned] = -1.0  # two of them: a positive determinant
    work, log_det = buffers_for(21, 6, 8), np.zeros(8)
    table = np.ascontiguousarray(np.moveaxis(matrices, 0, -1)).ravel()
    negated_inverse(table, 6, np.arange(6, dtype=np.int32), 6, LANES[4], 0, log_det, work)
    np.testing.assert_array_equal(log_det, [np.nan] * 4 + [0.0] * 4)


def test_tiles_keep_to_their_limits(rng):
    counts = rng.integers(1, 40, 30)
    storage = rng.integers(0, 20, 30)
    kinds = np.sort(rng.integers(0, 2, 30))
    starts, patterns, tiles = cut_tiles(counts, storage, kinds, 16, 25)
    lengths = np.diff(starts)
    np.testing.assert_array_equal(np.bincount(patterns, lengths), counts)
    assert np.all(np.diff(patterns) >= 0)
    for first, end in pairwise(tiles):
        assert 0 < lengths[first:end].sum() <= 16
        assert len(set(kinds[patterns[first:end]])) == 1
        assert storage[patterns[first:end]].sum() <= 25 or end - first == 1
