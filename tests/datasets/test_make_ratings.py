"""Synthetic ratings: exact counts, the intended distributions, and the truth they came from."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixmend.datasets import synthetic
from mixmend.datasets.synthetic import make_ratings
from mixmend.errors import MixmendError
from peak_memory import PEAK, told_by_the_system


def assert_same(a, b):
    for mine, theirs in zip(a.by_row, b.by_row, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(st.integers(1, 40), st.integers(1, 150), st.floats(0, 1), st.integers(0, 2**32), st.data())
def test_every_size_gives_exactly_what_was_asked(n, d, share, seed, data):
    total = int(share * n * d)
    popularity = data.draw(st.sampled_from(["movielens", "zipf", "uniform", 2.5]))
    X, truth = make_ratings(
        n, d, total, popularity=popularity, random_state=seed, return_truth=True
    )
    assert X.shape == (n, d)
    assert X.n_observed == total
    pointers, indices, values = X.by_row
    assert (pointers.dtype, indices.dtype, values.dtype) == (np.int64, np.int32, np.float32)
    for u in range(n):
        assert np.all(np.diff(indices[pointers[u] : pointers[u + 1]]) > 0)
    assert total == 0 or (indices.min() >= 0 and indices.max() < d)
    assert set(np.unique(values)) <= {1, 2, 3, 4, 5}
    assert truth.popularity.sum() == pytest.approx(1)
    if total >= n:
        assert X.row_counts.min() >= 1


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    first = make_ratings(700, 500, 40_000, random_state=7)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert_same(first, make_ratings(700, 500, 40_000, random_state=7))
    finally:
        numba.set_num_threads(before)
    assert_same(first, make_ratings(700, 500, 40_000, random_state=np.random.default_rng(7)))
    other = make_ratings(700, 500, 40_000, random_state=8)
    assert not np.array_equal(first.by_row.indices, other.by_row.indices)


@pytest.mark.parametrize("per_row", [1, 3, 7])
def test_columns_are_drawn_as_by_drawing_one_after_the_other(rng, per_row):
    """Seven of eight columns need the exponential clocks, one and three do not."""
    shares = np.array([0.5, 0.2, 0.1, 0.08, 0.06, 0.03, 0.02, 0.01])
    rows = 40_000
    truth = synthetic.RatingsTruth(
        components=np.zeros(rows, np.int64),
        weights=np.ones(1),
        component_means=np.zeros((1, 8)),
        row_effects=np.zeros(rows),
        column_effects=np.zeros(8),
        popularity=shares,
        mean=0.0,
        noise=1.0,
        levels=None,
    )
    X = synthetic.draw_ratings(truth, np.full(rows, per_row), rng)
    got = X.column_counts / rows
    oracle = np.random.default_rng(1)
    wanted = np.zeros(8)
    for _ in range(rows):
        wanted[oracle.choice(8, per_row, replace=False, p=shares)] += 1
    wanted /= rows
    spread = np.sqrt(2 * wanted * (1 - wanted) / rows) + 1e-4
    assert np.all(np.abs(got - wanted) < 5 * spread), (got, wanted)


def test_the_clocks_take_over_where_the_tail_is_far_away(rng):
    """One column holds nearly all the popularity: repeats would go on for ever."""
    shares = np.array([1 - 1e-9] + [1e-9 / 99] * 99)
    truth = synthetic.RatingsTruth(
        components=np.zeros(2000, np.int64),
        weights=np.ones(1),
        component_means=np.zeros((1, 100)),
        row_effects=np.zeros(2000),
        column_effects=np.zeros(100),
        popularity=shares,
        mean=0.0,
        noise=1.0,
        levels=None,
    )
    counts = synthetic.draw_ratings(truth, np.full(2000, 50), rng).column_counts
    assert counts[0] == 2000
    assert stats.chisquare(counts[1:]).pvalue > 1e-4


def test_rows_differ_in_what_they_draw():
    X = make_ratings(3000, 40, 3000, activity=0.0, popularity="uniform")
    assert stats.chisquare(X.column_counts).pvalue > 1e-4
    neighbours = X.by_row.indices[:-1] == X.by_row.indices[1:]
    assert abs(neighbours.mean() - 1 / 40) < 5 * np.sqrt(1 / 40 / 3000)


def test_without_noise_and_levels_the_values_are_the_truth():
    X, truth = make_ratings(60, 50, 900, noise=0.0, levels=None, return_truth=True)
    rows, columns, values = X.entries()
    means = truth.latent_means()
    np.testing.assert_allclose(values, means[rows, columns], rtol=1e-6)
    np.testing.assert_array_equal(truth.expected(slice(5, 9)), means[5:9])
    np.testing.assert_array_equal(truth.latent_means([3, 1]), means[[3, 1]])
    by_hand = (
        truth.mean
        + truth.row_effects[3]
        + truth.column_effects[7]
        + truth.component_means[truth.components[3], 7]
    )
    assert means[3, 7] == pytest.approx(by_hand)


def test_the_noise_is_normal_and_independent():
    X, truth = make_ratings(2000, 300, 200_000, levels=None, noise=0.7, return_truth=True)
    rows, columns, values = X.entries()
    score = (values - truth.latent_means()[rows, columns]) / 0.7
    assert stats.kstest(score, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(score[:-1], score[1:])[0, 1]) < 5 / np.sqrt(len(score))
    assert abs(np.corrcoef(score[:-1] ** 2, score[1:] ** 2)[0, 1]) < 5 / np.sqrt(len(score))


@pytest.mark.parametrize("levels", [(1, 2, 3, 4, 5), (0.5, 1, 3, 3.5, 9), (2.0,)])
def test_expected_ratings_account_for_rounding(levels):
    X, truth = make_ratings(2000, 300, 200_000, levels=levels, return_truth=True)
    rows, columns, values = X.entries()
    assert set(np.unique(values)) == set(levels)
    expected = truth.expected()[rows, columns]
    error = values - expected
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(len(error)) + 1e-12
    for part in np.array_split(np.argsort(expected), 8):  # also where clipping bites
        assert abs(error[part].mean()) < 5 * error[part].std() / np.sqrt(len(part)) + 1e-12


def test_levels_without_noise_are_the_nearest_ones():
    X, truth = make_ratings(100, 80, 2000, noise=0.0, return_truth=True)
    rows, columns, values = X.entries()
    means = truth.latent_means()[rows, columns]
    np.testing.assert_array_equal(values, np.clip(np.ceil(means - 0.5), 1, 5))
    np.testing.assert_array_equal(values, truth.expected()[rows, columns])


def test_defaults_look_like_movielens():
    X = make_ratings(6040, 3706, 1_000_209)
    values = X.by_row.values
    histogram = np.bincount(values.astype(int), minlength=6)[1:] / X.n_observed
    assert np.abs(histogram - [0.056, 0.108, 0.261, 0.349, 0.226]).max() < 0.06
    assert values.mean() == pytest.approx(3.6, abs=0.1)
    assert values.std() == pytest.approx(1.1, abs=0.05)
    # MovieLens 1M's own quartiles are 33, 124, 350 for films and 44, 96, 208 for people
    assert np.quantile(X.column_counts, [0.25, 0.5, 0.75]) == pytest.approx([33, 124, 350], rel=0.3)
    assert np.quantile(X.row_counts, [0.25, 0.5, 0.75]) == pytest.approx([44, 96, 208], rel=0.3)
    busy = X.column_counts > 20
    means = np.array([X.column(i)[1].mean() for i in np.flatnonzero(busy)])
    assert 0.2 < np.corrcoef(np.log(X.column_counts[busy]), means)[0, 1] < 0.55


def test_options_change_what_they_say():
    def spread_of(**options):
        X, truth = make_ratings(3000, 400, 30_000, return_truth=True, **options)
        return X, truth

    zipf = spread_of(popularity="zipf")[1].popularity
    np.testing.assert_allclose(np.sort(zipf)[::-1] / zipf.max(), 1 / np.arange(1, 401))
    steep = spread_of(popularity=2)[1].popularity
    np.testing.assert_allclose(np.sort(steep)[::-1] / steep.max(), 1.0 / np.arange(1, 401) ** 2)
    assert np.ptp(spread_of(popularity="uniform")[1].popularity) == 0
    even = spread_of(activity=0.0)[0].row_counts
    assert set(even) == {10}
    assert spread_of(activity=2.0)[0].row_counts.std() > 2 * spread_of()[0].row_counts.std()
    assert spread_of(row_effect=2.0)[1].row_effects.std() == pytest.approx(2, rel=0.1)
    assert spread_of(column_effect=2.0)[1].column_effects.std() == pytest.approx(2, rel=0.2)
    many = spread_of(n_components=7, component_effect=3.0)[1]
    assert many.component_means.shape == (7, 400)
    assert many.component_means.std() == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(np.bincount(many.components) / 3000, many.weights, atol=0.05)
    assert spread_of(mean=-20.0, levels=None)[0].by_row.values.mean() == pytest.approx(-20, abs=0.2)
    assert make_ratings(50, 20, density=0.5).n_observed == 500
    assert make_ratings(50, 20).n_observed == 50
    assert make_ratings(50, 20, density=1.0).is_complete


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=30), st.integers(1, 20), st.floats(0, 1))
def test_allotted_counts_follow_the_wishes(logs, most, share):
    wishes = np.exp(logs)
    total = int(share * most * len(wishes))
    counts = synthetic.allotted(wishes, total, most)
    assert counts.sum() == total
    assert counts.max() <= most
    assert counts.min() >= (1 if total >= len(wishes) else 0)
    order = np.argsort(wishes)
    assert np.all(np.diff(counts[order]) >= -1)  # who wishes more gets no less, up to rounding


def test_the_alias_table_holds_the_popularity(rng):
    shares = rng.dirichlet(np.full(500, 0.1))
    thresholds, aliases = synthetic._alias_table(shares)
    kept = thresholds.astype(float) / 2**32
    total = kept + np.bincount(aliases, 1 - kept, minlength=500)
    np.testing.assert_allclose(total / 500, shares, atol=1e-9)


@pytest.mark.slow
@told_by_the_system
def test_a_hundred_million_ratings_fit_into_little_memory():
    import os
    import subprocess
    import sys

    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = PEAK + (
        "from mixmend.datasets.synthetic import make_ratings;"
        "X = make_ratings(480_189, 17_770, 100_480_507);"
        "print(X.n_observed, peak_kilobytes())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env=paths,
    )
    observed, peak = (int(part) for part in out.stdout.split())
    assert observed == 100_480_507
    assert peak < 2_000_000  # KiB; the matrix itself takes 804 MB


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_rows": 0}, "n_rows must be at least 1; got 0."),
        (
            {"n_ratings": 201},
            "n_ratings must lie between 0 and the number of cells, 200; got 201.",
        ),
        ({"density": 1.5}, "density must lie between 0 and 1; got 1.5."),
        ({"n_ratings": 3, "density": 0.5}, "give n_ratings or density, not both."),
        ({"n_components": 0}, "n_components must be at least 1; got 0."),
        ({"noise": -1.0}, "noise must be finite and not negative; got -1.0."),
        ({"activity": 11}, "activity must be at most 10 (a spread of e^10); got 11."),
        ({"levels": [2, 1]}, "levels must be one or more increasing numbers; got [2, 1]."),
        (
            {"popularity": "fame"},
            "popularity must be 'movielens', 'zipf', 'uniform' or an exponent >= 0; got 'fame'.",
        ),
    ],
)
def test_errors_say_what_is_wrong(options, text):
    with pytest.raises(MixmendError) as caught:
        make_ratings(**({"n_rows": 20, "n_columns": 10} | options))
    assert str(caught.value) == text
