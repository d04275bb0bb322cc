from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmend.errors import DataError, MixmendError
from mixmend.imaging.patches import (
    average_patches,
    evening,
    extract_patches,
    patch_chunks,
    patch_grid,
    sum_patches,
)

GRIDS = st.tuples(
    st.integers(3, 17), st.integers(3, 17), st.integers(2, 3), st.integers(1, 2), st.integers(0, 4)
)


@given(GRIDS)
def test_every_pixel_is_in_as_many_patches_as_the_counts_say(case):
    height, width, size, stride, offset = case
    grid = patch_grid((height, width), size, stride, (offset, offset + 1))
    counts = np.zeros((height, width))
    for row in grid.rows:
        for column in grid.columns:
            counts[row : row + size, column : column + size] += 1
    assert (counts >= 1).all()
    np.testing.assert_array_equal(grid.counts, counts)


@given(GRIDS)
def test_patches_are_the_windows_of_the_picture(case):
    height, width, size, stride, offset = case
    image = np.arange(float(height * width)).reshape(height, width)
    grid = patch_grid((height, width), size, stride, (offset, offset))
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    expected = windows[np.ix_(grid.rows, grid.columns)].reshape(-1, size * size)
    np.testing.assert_array_equal(extract_patches(image, grid), expected)
    np.testing.assert_array_equal(np.concatenate(list(patch_chunks(image, grid, 5))), expected)
    np.testing.assert_allclose(average_patches(expected, grid), image, rtol=1e-14)


@given(GRIDS)
def test_borders_are_made_up_for_on_average_over_offsets(case):
    height, width, size, stride, _ = case
    shape = height, width
    grids = [patch_grid(shape, size, stride, (a, b)) for a in range(stride) for b in range(stride)]
    average = np.mean([grid.counts for grid in grids], axis=0)
    factors = evening(shape, size, stride)
    assert (factors >= 1).all()
    inside = size**2 / stride**2
    if stride == 1:
        np.testing.assert_allclose(factors * average, np.full(shape, inside), rtol=1e-12)
    if stride <= height - size and stride <= width - size:
        assert factors[0, 0] * average[0, 0] == pytest.approx(inside)


def test_summing_is_the_adjoint_of_extracting(rng):
    grid = patch_grid((9, 11), 4, 3, (1, 2))
    image, patches = rng.normal(size=(9, 11)), rng.normal(size=(grid.n_patches, 16))
    left = (extract_patches(image, grid) * patches).sum()
    assert left == pytest.approx((image * sum_patches(patches, grid)).sum())


def test_chunks_are_small():
    grid = patch_grid((60, 50), 8)
    chunks = list(patch_chunks(np.zeros((60, 50)), grid, 100))
    assert max(map(len, chunks)) <= 100
    assert sum(map(len, chunks)) == grid.n_patches


def test_offsets_move_the_patches_but_those_at_the_border():
    columns = patch_grid((4, 20), 4, 4, (0, 3)).columns
    np.testing.assert_array_equal(columns, [0, 3, 7, 11, 15, 16])


def test_a_picture_smaller_than_a_patch_is_refused():
    with pytest.raises(DataError) as caught:
        patch_grid((1, 1), 8)
    assert str(caught.value) == (
        "The picture has 1 × 1 pixels and the prior's patches 8 × 8. "
        "Give a larger picture, or a prior of smaller patches."
    )


def test_strides_that_leave_gaps_are_refused():
    with pytest.raises(DataError) as caught:
        patch_grid((20, 20), 4, stride=5)
    assert str(caught.value) == (
        "With a stride of 5 patches of 4 × 4 would leave gaps. Use a stride of at most 4."
    )
    with pytest.raises(MixmendError, match="stride must be a whole number of at least 1; got 0"):
        patch_grid((20, 20), 4, stride=0)
