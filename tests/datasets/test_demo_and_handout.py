"""The built-in data and the handout's matrices."""

from __future__ import annotations

import numpy as np
import pytest

from mixmend.datasets import load_demo, load_handout
from mixmend.errors import FileFormatError, MixmendError


def test_the_demo_is_always_the_same_and_as_described():
    data, again = load_demo(), load_demo()
    X = data.ratings
    assert X.shape == (600, 300)
    assert X.n_observed == 30_000
    np.testing.assert_array_equal(X.by_row.values, again.ratings.by_row.values)
    np.testing.assert_array_equal(X.by_row.indices, again.ratings.by_row.indices)
    assert data.titles.tolist() == again.titles.tolist()
    assert len(set(data.titles)) == 300
    np.testing.assert_array_equal(X.column_labels, data.titles)
    assert X.row_labels[[0, 599]].tolist() == ["viewer 001", "viewer 600"]
    assert set(np.unique(X.by_row.values)) == {1, 2, 3, 4, 5}
    assert X.column_counts.min() >= 1
    assert all(1 <= len(genres) <= 2 for genres in data.genres)
    assert repr(data) == (
        "RatingsData('mixmend demo', ObservedMatrix(600 × 300, 30000 observed, 16.67%), "
        "from 'generated')"
    )


def test_the_demo_has_tastes_worth_finding():
    """Kinds of viewers differ by genre, and more than noise: a mixture has something to mend."""
    data = load_demo()
    rows, columns, values = data.ratings.entries()
    truth = data.truth
    kinds = truth.components[rows]
    horror = np.array(["Horror" in genres for genres in data.genres])[columns]
    liking = [values[horror & (kinds == k)].mean() for k in range(4)]
    assert max(liking) - min(liking) > 0.8
    best = np.sqrt(np.mean((values - truth.expected()[rows, columns]) ** 2))
    offsets = truth.mean + truth.row_effects[rows] + truth.column_effects[columns]
    assert best < 0.9 * np.sqrt(np.mean((values - np.clip(offsets, 1, 5)) ** 2))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "shape", "observed"),
    [
        ("toy_data", (250, 2), 500),
        ("test_incomplete", (20, 5), 81),
        ("test_complete", (20, 5), 100),
        ("netflix_incomplete", (1200, 1200), 1_111_768),
        ("netflix_complete", (1200, 1200), 1_437_571),
    ],
)
def test_the_handouts_matrices_are_read(shared_path, name, shape, observed):
    X = load_handout(name, shared_path("data/ratings/mitx686x"))
    assert X.shape == shape
    assert X.n_observed == observed
    raw = np.loadtxt(shared_path(f"data/ratings/mitx686x/{name}.txt"))
    zero_is_hole = name not in ("toy_data", "test_complete")
    np.testing.assert_array_equal(X.to_dense(0.0 if zero_is_hole else np.nan), raw)


def test_zeros_are_numbers_or_holes_by_matrix(tmp_path):
    for name in ("toy_data", "test_incomplete"):
        (tmp_path / f"{name}.txt").write_text("0 1.5\n2 0\n")
    assert load_handout("toy_data", tmp_path).is_complete
    assert load_handout("test_incomplete", tmp_path).n_observed == 2


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(MixmendError) as caught:
        load_handout("netflix", tmp_path)
    assert str(caught.value) == (
        "the handout has no matrix 'netflix'; there are toy_data, test_complete, "
        "test_incomplete, netflix_complete, netflix_incomplete."
    )
    with pytest.raises(MixmendError) as caught:
        load_handout("toy_data", tmp_path)
    assert str(caught.value) == (
        f"There is no file {tmp_path / 'toy_data.txt'}. The handout's matrices are course "
        "material and not shipped with mixmend: take them from MITx 6.86x and give the folder "
        "they are in."
    )
    (tmp_path / "toy_data.txt").write_text("0 1.5\n2 x\n")
    with pytest.raises(FileFormatError, match="line 2"):
        load_handout("toy_data", tmp_path)
