"""Rows grouped by what they observe, against a dictionary of sets."""

from __future__ import annotations

import numpy as np
import pytest

from mixmend.observed import compressed
from mixmend.observed.matrix import ObservedMatrix
from mixmend.observed.patterns import group_patterns


def stored_by_row(obs):
    return ObservedMatrix(obs.shape, by_row=obs.by_row)


def check(obs):
    seen = ~np.isnan(obs.dense)
    numbers: dict[bytes, int] = {}
    want = [numbers.setdefault(row.tobytes(), len(numbers)) for row in seen]
    patterns = group_patterns(obs)
    np.testing.assert_array_equal(patterns.of_row, want)
    np.testing.assert_array_equal(patterns.mask[patterns.of_row], seen)
    np.testing.assert_array_equal(patterns.first_rows, np.unique(want, return_index=True)[1])
    np.testing.assert_array_equal(patterns.counts, np.bincount(want))
    for j in range(len(numbers)):
        np.testing.assert_array_equal(patterns.rows(j), np.flatnonzero(np.array(want) == j))
    np.testing.assert_array_equal(np.sort(patterns.order), np.arange(obs.shape[0]))
    return patterns


@pytest.mark.parametrize("store", [lambda obs: obs, stored_by_row], ids=["dense", "by row"])
@pytest.mark.parametrize(("d", "share"), [(1, 0.5), (3, 0.5), (8, 0.1), (64, 0.02), (65, 0.5)])
def test_groups_agree_with_a_dictionary(rng, d, share, store):
    X = np.where(rng.random((300, d)) < share, np.nan, 0.0)  # zeros are observed
    X[17] = np.nan
    check(store(ObservedMatrix.from_dense(X)))


def test_nearly_every_row_of_its_own(rng):
    X = np.where(rng.random((2000, 40)) < 0.5, np.nan, 1.0)
    X[1999] = X[0]
    patterns = check(ObservedMatrix.from_dense(X))
    assert len(patterns.counts) == 1999


def test_complete_rows_are_one_pattern():
    patterns = check(ObservedMatrix.from_dense(np.ones((5, 3))))
    assert patterns.counts.tolist() == [5]


def test_masks_packed_in_many_blocks(rng, monkeypatch):
    X = np.where(rng.random((50, 9)) < 0.3, np.nan, 1.0)
    monkeypatch.setattr(compressed, "BLOCK_CELLS", 20)
    check(ObservedMatrix.from_dense(X))


def test_no_rows_no_patterns():
    obs = ObservedMatrix.from_triplets([], [], [], (0, 3))
    assert group_patterns(obs).mask.shape == (0, 3)
    assert group_patterns(ObservedMatrix.from_dense(np.ones((1, 3)))[[]]).mask.shape == (0, 3)


def test_patterns_are_read_only():
    patterns = group_patterns(ObservedMatrix.from_dense([[1.0, None]]))
    for part in patterns:
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
