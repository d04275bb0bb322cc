"""Entries regrouped by (row block, column), against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.em.block import Block
from mixmend.kernels.blocks import columns_by_block
from mixmend.observed.matrix import ObservedMatrix
from spherical_cases import with_holes


def regrouped(X: np.ndarray, block_rows: int) -> tuple[list[int], list[int], list[float]]:
    pointers, rows, values = [0], [], []
    for first in range(0, len(X), block_rows):
        for i in range(X.shape[1]):
            for u in range(first, min(first + block_rows, len(X))):
                if not np.isnan(X[u, i]):
                    rows.append(u - first)
                    values.append(X[u, i])
            pointers.append(len(rows))
    return pointers, rows, values


def assert_regrouped(X: np.ndarray, block_rows: int) -> None:
    view = ObservedMatrix.from_dense(X).by_row
    pointers, rows, values = columns_by_block(*view, X.shape[1], block_rows)
    expected = regrouped(X, block_rows)
    np.testing.assert_array_equal(pointers, expected[0])
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_array_equal(values, np.array(expected[2], X.dtype))
    assert (pointers.dtype, rows.dtype, values.dtype) == (np.int64, np.int32, X.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block_rows", [1, 2, 7, 22, 23, 24, 1000])
def test_every_block_size(rng, dtype, block_rows):
    X = with_holes(rng, 23, 5, 0.5, dtype, empty_rows=(0, 9, 22), empty_columns=(0, 4))
    assert_regrouped(X, block_rows)


def test_nothing_observed_and_no_rows(rng):
    assert_regrouped(np.full((6, 3), np.nan), 4)
    no_rows = ObservedMatrix.from_dense(np.zeros((2, 3))).select_rows(slice(0, 0))
    pointers, rows, values = columns_by_block(*no_rows.by_row, 3, 4)
    assert (pointers.tolist(), len(rows), len(values)) == ([0], 0, 0)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    d=st.integers(1, 8),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    block_rows=st.integers(1, 40),
)
def test_any_matrix(seed, n, d, missing, block_rows):
    assert_regrouped(with_holes(np.random.default_rng(seed), n, d, missing), block_rows)


@pytest.mark.parametrize("tile_rows", [1, 4, 10, 11])
def test_a_block_offers_its_tiles_in_order_and_whole(rng, tile_rows):
    X = with_holes(rng, 10, 3)
    block = Block(ObservedMatrix.from_dense(X))
    block.tile_rows = tile_rows
    tiles = block.tiles()
    assert [first for first, _ in tiles] == list(range(0, 10, tile_rows))
    assert sum(rows for _, rows in tiles) == 10
    view = block.by_tile_column
    expected = regrouped(X, tile_rows)
    for got, wanted in zip(view, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert not got.flags.writeable  # one kind of array, one compilation of the kernels
