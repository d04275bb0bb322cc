"""Recommendations against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mixmend.completion.topn import top_n
from mixmend.errors import MixmendError
from mixmend.observed.matrix import Compressed, ObservedMatrix


def sorted_oracle(scores: np.ndarray, n: int, exclude: np.ndarray) -> np.ndarray:
    out = np.full((len(scores), n), -1)
    for u, row in enumerate(scores):
        allowed = [i for i in range(len(row)) if not exclude[u, i] and not np.isnan(row[i])]
        best = sorted(allowed, key=lambda i, row=row: (-row[i], i))[:n]
        out[u, : len(best)] = best
    return out


def observed_from_mask(mask: np.ndarray) -> ObservedMatrix:
    pointers = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int64)
    indices = np.nonzero(mask)[1].astype(np.int32)
    return ObservedMatrix(mask.shape, by_row=Compressed(pointers, indices, np.ones(len(indices))))


@given(st.data())
def test_picks_what_a_full_sort_picks(data):
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12))
    few_levels = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf, np.nan])
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    scores = data.draw(hnp.arrays(dtype, shape, elements=few_levels))
    mask = data.draw(hnp.arrays(bool, shape))
    n = data.draw(st.integers(1, 15))
    picked = top_n(scores, n, mask)
    oracle = sorted_oracle(scores, n, mask)
    np.testing.assert_array_equal(picked.columns, oracle)
    rows = np.arange(shape[0])[:, None]
    expected = np.where(oracle >= 0, scores[rows, oracle], np.nan) if shape[1] else np.nan
    np.testing.assert_array_equal(picked.scores, np.broadcast_to(expected, oracle.shape))
    assert picked.scores.dtype == dtype
    from_matrix = top_n(scores, n, observed_from_mask(mask))
    np.testing.assert_array_equal(picked.columns, from_matrix.columns)


def test_many_columns_and_many_picks(rng):
    scores = rng.normal(size=(20, 5000)).astype(np.float32)
    mask = rng.random(scores.shape) < 0.1
    for n in (1, 10, 4900):
        np.testing.assert_array_equal(
            top_n(scores, n, mask).columns, sorted_oracle(scores, n, mask)
        )


def test_nothing_excluded_takes_all_columns_in_order_of_score():
    picked = top_n([[1, 3, 2]], 5)
    assert picked.columns.tolist() == [[1, 2, 0, -1, -1]]
    np.testing.assert_array_equal(picked.scores, [[3, 2, 1, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: top_n([[1.0]], 0),
            "the number of columns to pick must be a whole number >= 1; got 0.",
        ),
        (
            lambda: top_n([[1.0]], 2.5),
            "the number of columns to pick must be a whole number >= 1; got 2.5.",
        ),
        (lambda: top_n([1.0], 1), "scores must have two axes, (rows, columns); got shape (1,)."),
        (
            lambda: top_n([[1.0, 2.0]], 1, [[True]]),
            "exclude must have the shape of the scores, (1, 2); got (1, 1).",
        ),
        (
            lambda: top_n([[1.0, 2.0]], 1, [[0, 1]]),
            "exclude must be an ObservedMatrix or an array of True and False; "
            "got an array of int64.",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises(MixmendError) as caught:
        call()
    assert str(caught.value) == text
