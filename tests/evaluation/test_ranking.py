"""Measures of order against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import errors_by_count, ranking


@pytest.mark.parametrize("k", [1, 3, 10, 50])
@pytest.mark.parametrize("levels", [None, 4])
def test_gain_is_scikit_learns_row_by_row(rng, k, levels):
    """With ties among predictions, too."""
    rows = rng.integers(0, 12, 150)
    truth = rng.integers(1, 6, 150).astype(float)
    estimate = truth + rng.normal(0, 1.5, 150)
    if levels:
        estimate = np.round(estimate / levels)
    expected = []
    for row in np.unique(rows):
        mine = rows == row
        if mine.sum() > 1:
            gains = truth[mine] - 1.0
            expected.append(
                ndcg_score(gains[None], estimate[mine][None], k=k) if gains.any() else 1.0
            )
    found = ranking(rows, truth, estimate, k=k)
    assert found.ndcg == pytest.approx(np.mean(expected), rel=1e-12)
    assert found.n_rows == len(expected)


def test_recall_counts_what_is_relevant_among_the_first():
    rows = [7, 7, 7, 7, 2, 2, 5]
    truth = [5, 4, 2, 1, 3, 1, 5]
    estimate = [1, 4, 3, 2, 9, 8, 1]
    found = ranking(rows, truth, estimate, k=2, threshold=4)
    # of row 7 one of two; row 2 has nothing relevant; row 5 has nothing to order
    assert found.recall == 0.5
    assert (found.n_rows, found.n_rows_with_relevant) == (2, 1)
    everything = ranking(rows, truth, estimate, k=2)  # above the mean, 3: the same
    assert everything.recall == found.recall


def test_equal_predictions_share_their_places():
    found = ranking([0] * 4, [5, 1, 1, 1], [2, 2, 2, 2], k=1, threshold=5)
    assert found.recall == 0.25
    assert found.ndcg == 0.25


def test_rows_with_single_entries_say_nothing():
    found = ranking([0, 1], [5, 1], [2, 2])
    assert np.isnan(found.ndcg)
    assert np.isnan(found.recall)


def test_errors_are_grouped_by_what_was_known(rng):
    X = rng.normal(size=(30, 20))
    train, test = mm.split_entries(mm.ObservedMatrix.from_dense(X), 0.6, 0)
    rows, columns, values = test.entries()
    estimate = rng.normal(size=len(values))
    for axis, which, counts in (
        ("row", rows, train.row_counts),
        ("column", columns, train.column_counts),
    ):
        groups = errors_by_count(train, test, estimate, axis, edges=(0, 7, 9, 400))
        assert sum(group.n for group in groups) == len(values)
        mine = (counts[which] >= 7) & (counts[which] <= 8)
        assert (groups[1].least, groups[1].most, groups[1].n) == (7, 8, mine.sum())
        error = (values - estimate)[mine]
        assert groups[1].rmse == pytest.approx(np.sqrt(np.mean(error**2)))
        assert groups[1].mae == pytest.approx(np.abs(error).mean())
        assert groups[3].most is None
        assert np.isnan(groups[3].rmse)


def test_what_cannot_be_ordered_or_grouped():
    with pytest.raises(DataError) as failure:
        ranking([0, 1], [1.0], [1.0])
    assert str(failure.value) == (
        "rows, truth and estimate must be of one length; got shapes (2,), (1,) and (1,)."
    )
    with pytest.raises(MixmendError, match=r"^k must be a whole number of at least 1; got 0\.$"):
        ranking([0], [1.0], [1.0], k=0)
    with pytest.raises(DataError, match=r"^there are no values to compare; hold out at least one"):
        ranking([], [], [])
    obs = mm.ObservedMatrix.from_dense([[1.0, 2.0]])
    with pytest.raises(MixmendError, match=r"^axis must be 'row' or 'column'; got 'rows'\.$"):
        errors_by_count(obs, obs, [1, 2], "rows")
    with pytest.raises(MixmendError, match=r"^edges must be increasing numbers; got \[2, 1\]\.$"):
        errors_by_count(obs, obs, [1, 2], edges=(2, 1))
    with pytest.raises(DataError, match=r"^estimate must hold one value per test entry \(2\)"):
        errors_by_count(obs, obs, [1.0])
    with pytest.raises(DataError, match=r"^train and test must have the same shape; got \(1, 2\)"):
        errors_by_count(obs, obs.select_columns([0]), [1.0])
