"""Masks: exact shares, the dependence that each mechanism promises, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from scipy import stats

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import MASKS, mask_mar, mask_mcar, mask_mnar
from mixmend.evaluation.drawing import calibrated, drawn, highest, without_empty_lines


def correlated(n, d=3, correlation=0.6, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=(n, d))


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("rate", [0.1, 0.37, 0.6])
def test_shares_are_exact_and_the_rest_is_untouched(name, rate):
    X = correlated(400, 6)
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    before = X.copy()
    values, mask = MASKS[name](X, rate, random_state=3)
    np.testing.assert_array_equal(X, before)
    seen = ~np.isnan(X)
    losing = mask.any(axis=0)
    assert int(mask.sum()) == round(rate * int(seen[:, losing].sum()))
    assert losing.sum() == (4 if name.startswith("mar") else 6)
    assert not (mask & ~seen).any()
    assert np.isnan(values[mask]).all()
    np.testing.assert_array_equal(values[~mask], X[~mask])
    # every column has its share too, up to what drawing leaves to chance
    share = mask[:, losing].sum(axis=0) / seen[:, losing].sum(axis=0)
    np.testing.assert_allclose(share, rate, atol=0.09)


@pytest.mark.parametrize("name", MASKS)
def test_the_seed_decides(name):
    X = correlated(50, 6)
    first, again, other = (MASKS[name](X, 0.4, random_state=seed).mask for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_completely_at_random_knows_no_value():
    X = correlated(6000)
    mask = mask_mcar(X, 0.3, random_state=0).mask
    for i in range(3):
        for j in range(3):
            assert stats.ttest_ind(X[mask[:, i], j], X[~mask[:, i], j]).pvalue > 0.001


@pytest.mark.parametrize("mechanism", ["logistic", "threshold"])
def test_at_random_depends_on_the_driver_and_given_it_on_nothing(mechanism):
    n = 40_000
    X = correlated(n, 3)
    X[:, 0] = np.clip(np.round(X[:, 0]), -2, 2)  # few levels: condition by comparing within each
    weights = np.array([[1.0, -1.0]])
    values, mask = mask_mar(X, 0.3, drivers=[0], mechanism=mechanism, weights=weights)
    assert not mask[:, 0].any()
    assert X[mask[:, 1], 0].mean() > X[~mask[:, 1], 0].mean() + 0.5
    assert X[mask[:, 2], 0].mean() < X[~mask[:, 2], 0].mean() - 0.5
    # unconditionally the hidden values differ from those that are left ...
    assert stats.ttest_ind(X[mask[:, 1], 1], X[~mask[:, 1], 1]).pvalue < 1e-30
    assert np.nanmean(values[:, 1]) < -0.1
    # ... but not among rows with the same driver
    for column in (1, 2):
        for level in np.unique(X[:, 0]):
            hidden, left = (
                X[(X[:, 0] == level) & m, column] for m in (mask[:, column], ~mask[:, column])
            )
            if min(len(hidden), len(left)) > 20:
                assert stats.ttest_ind(hidden, left).pvalue > 0.001


@pytest.mark.parametrize("strength", [2.0, -2.0])
def test_self_masking_depends_on_the_value_given_all_the_others(strength):
    X = correlated(20_000, 3)
    mask = mask_mnar(X, 0.3, strength=strength).mask
    others = np.column_stack([np.ones(len(X)), X[:, 1:]])
    left_over = X[:, 0] - others @ np.linalg.lstsq(others, X[:, 0], rcond=None)[0]
    gap = left_over[mask[:, 0]].mean() - left_over[~mask[:, 0]].mean()
    assert np.sign(gap) == np.sign(strength)
    assert abs(gap) > 0.3


def test_logistic_not_at_random_hides_what_decided():
    X = correlated(20_000, 3, correlation=0.0)
    mask = mask_mnar(X, 0.3, mechanism="logistic", random_state=1).mask
    gaps = np.array([[X[m, j].mean() - X[~m, j].mean() for j in range(3)] for m in mask.T])
    (driver,) = np.flatnonzero((np.abs(gaps) > 0.3).any(axis=0))
    assert abs(gaps[driver, driver]) < 0.05  # itself lost at random
    assert mask[:, driver].mean() == pytest.approx(0.3, abs=0.02)
    others = [j for j in range(3) if j != driver]
    assert (np.abs(gaps[others, driver]) > 0.3).all()
    # more is hidden of the others where the driver's own high or low values are not seen either
    hidden_driver = X[mask[:, driver] & mask[:, others[0]], driver]
    assert stats.ttest_1samp(hidden_driver, 0.0).pvalue < 1e-10


def test_strength_zero_is_completely_at_random():
    X = correlated(5000)
    for values, mask in (
        mask_mnar(X, 0.3, strength=0.0),
        mask_mar(X, 0.3, drivers=[0], strength=0.0),
    ):
        assert stats.ttest_ind(X[mask[:, 1], 1], X[~mask[:, 1], 1]).pvalue > 0.001
        assert np.isnan(values).sum() == mask.sum()


def test_the_test_of_the_correlated_pair():
    """x2 is removed where x1 is high: what is left of it has a mean far below 0."""
    rng = np.random.default_rng(0)
    x1 = rng.normal(size=20_000)
    x2 = 0.8 * x1 + 0.6 * rng.normal(size=20_000)
    rate = float((x1 > 0.3).mean())
    values, mask = mask_mar(
        np.column_stack([x1, x2]), rate, drivers=[0], weights=1.0, mechanism="threshold"
    )
    np.testing.assert_array_equal(mask[:, 1], x1 > 0.3)
    assert np.nanmean(values[:, 1]) == pytest.approx(-0.485, abs=0.02)


def test_missing_drivers_count_as_average():
    X = correlated(2000, 2)
    X[:500, 0] = np.nan
    X[:500, 1] += 50  # were the unseen decided by, or the value itself, these would stand out
    mask = mask_mar(X, 0.5, drivers=[0], weights=1.0, allow_empty=True).mask
    assert mask[:500, 1].mean() == pytest.approx(0.5, abs=0.08)


@given(
    n=st.integers(2, 12),
    d=st.integers(2, 6),
    rate=st.floats(0.05, 0.75),
    name=st.sampled_from(sorted(MASKS)),
    seed=st.integers(0, 1000),
)
def test_no_line_is_left_empty_and_the_share_stays(n, d, rate, name, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[rng.random(X.shape) < 0.2] = np.nan
    assume(np.isfinite(X).any())
    seen = ~np.isnan(X)
    try:
        free = MASKS[name](X, rate, random_state=seed, allow_empty=True).mask
    except DataError as error:
        # the columns with the most holes lose cells: they may have none
        counts = np.sort(seen.sum(axis=0))
        if "nothing is observed in the" in str(error) and counts[0] == 0:
            reject()
        raise
    try:
        values, mask = MASKS[name](X, rate, random_state=seed)
    except DataError as error:
        # a cell for each line is enough: what leaves that many can always be hidden
        hopeless = free.sum() > seen[:, free.any(axis=0)].sum() - (n + d)
        if "without leaving a row or a column empty" in str(error) and hopeless:
            reject()
        raise
    left = ~np.isnan(values)
    np.testing.assert_array_equal(left.any(axis=1), seen.any(axis=1))
    np.testing.assert_array_equal(left.any(axis=0), seen.any(axis=0))
    assert mask.sum() == free.sum()


def test_lines_may_be_emptied_on_request():
    X = np.ones((40, 2))
    assert np.isnan(mask_mcar(X, 0.5, allow_empty=True).values).all(axis=1).any()
    assert not np.isnan(mask_mcar(X, 0.5).values).all(axis=1).any()


def test_giving_back_prefers_what_was_unlikely_to_be_hidden():
    chance = np.tile([0.95, 0.05], (4000, 1))
    seen = np.ones((4000, 2), bool)
    mask = np.zeros((4000, 2), bool)
    mask[:1000] = True
    kept = ~without_empty_lines(mask, seen, seen, chance, np.random.default_rng(0))[:1000]
    assert kept[:, 1].mean() > 0.9
    assert kept.any(axis=1).all()


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_intercepts_are_calibrated(scores, rate):
    chances = calibrated(np.array(scores), rate)
    assert chances.mean() == pytest.approx(rate, abs=1e-9)
    assert (np.diff(chances[np.argsort(scores)]) >= 0).all()


def test_drawing_keeps_every_chance_and_the_count():
    chance = np.array([[0.1, 0.9, 0.5], [1.0, 0.0, 0.5]])
    rng = np.random.default_rng(0)
    draws = np.array([drawn(chance, rng) for _ in range(20_000)])
    assert set(draws.sum(axis=(1, 2))) == {3}
    np.testing.assert_allclose(draws.mean(axis=0), chance, atol=0.015)


def test_cells_are_drawn_all_but_independently():
    rng = np.random.default_rng(0)
    draws = np.array([drawn(np.full((1, 50), 0.3), rng)[0] for _ in range(20_000)])
    pairs = np.corrcoef(draws.T)[np.triu_indices(50, 1)]
    np.testing.assert_allclose(pairs, -1 / 49, atol=0.04)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 100))
def test_drawing_rounds_the_sum(chances, seed):
    chance = np.array([chances])
    assume(chance.sum() > 0)
    mask = drawn(chance, np.random.default_rng(seed))
    assert mask.sum() == max(1, round(float(chance.sum())))
    assert not mask[chance == 0].any()


def test_highest_breaks_ties_by_chance():
    scores, seen = np.zeros((10, 1)), np.ones((10, 1), bool)
    chosen = np.mean(
        [highest(scores, seen, 0.3, np.random.default_rng(s))[:, 0] for s in range(2000)], axis=0
    )
    np.testing.assert_allclose(chosen, 0.3, atol=0.05)


def test_tables_with_labels():
    pandas = pytest.importorskip("pandas")
    X = correlated(60)
    frame = pandas.DataFrame(X, columns=["age", "income", "debt"])
    by_label = mask_mar(frame, 0.3, drivers="age", columns=["debt"])
    by_place = mask_mar(X, 0.3, drivers=[0], columns=[2])
    np.testing.assert_array_equal(by_label.mask, by_place.mask)
    assert by_label.mask[:, 2].sum() == 18 == by_label.mask.sum()
    obs = mm.ObservedMatrix.from_dense(X, column_labels=["age", "income", "debt"])
    np.testing.assert_array_equal(
        mask_mnar(obs, 0.5, columns=["income"]).mask.any(axis=0), [0, 1, 0]
    )


def test_drivers_are_those_with_the_fewest_holes():
    X = correlated(200, 6)
    X[:50, [0, 2, 3, 5]] = np.nan
    assert set(np.flatnonzero(~mask_mar(X, 0.3).mask.any(axis=0))) == {1, 4}


X = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mask_mcar(X, 0.0), MixmendError, "rate must lie between 0 and 1; got 0.0."),
        (lambda: mask_mcar(X, 1), MixmendError, "rate must lie between 0 and 1; got 1."),
        (lambda: mask_mcar(X, True), MixmendError, "rate must lie between 0 and 1; got True."),
        (
            lambda: mask_mcar(np.full((2, 2), np.nan), 0.5),
            DataError,
            "nothing is observed in the 2 × 2 table, so nothing can be hidden.",
        ),
        (
            lambda: mask_mcar(X, 0.9),
            DataError,
            "11 of 12 cells cannot be hidden without leaving a row or a column empty; "
            "8 can. Give a lower rate or allow_empty=True.",
        ),
        (
            lambda: mask_mnar(np.column_stack([X, np.full(4, np.nan)]), 0.5, columns=[3]),
            DataError,
            "nothing is observed in the 1 of 4 columns that are to lose cells; "
            "name others (columns=).",
        ),
        (
            lambda: mask_mar(X, 0.5, mechanism="self"),
            MixmendError,
            'mechanism must be "logistic" or "threshold"; got \'self\'.',
        ),
        (
            lambda: mask_mnar(X, 0.5, mechanism="threshold"),
            MixmendError,
            'mechanism must be "self" or "logistic"; got \'threshold\'.',
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[3]),
            DataError,
            "drivers names column 3, but the table has 3 columns, 0 to 2.",
        ),
        (
            lambda: mask_mar(X, 0.5, columns=["age"]),
            DataError,
            "columns must be positions of columns, since the table has no labels; got 'age'.",
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[]),
            DataError,
            "drivers names no column; give at least one, or leave it out.",
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[0, 1], columns=[1]),
            DataError,
            "column 1 is both a driver, which stays observed, and to lose cells.",
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[0, 1, 2]),
            DataError,
            "every column is a driver, so none is left to lose cells.",
        ),
        (
            lambda: mask_mar(X[:, :1], 0.5),
            DataError,
            "missingness that depends on other columns needs a column that stays observed; "
            "the table has 1 and all of them are to lose cells.",
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[0], weights=np.ones((2, 2))),
            DataError,
            "weights must fit 1 drivers × 2 columns; got shape (2, 2).",
        ),
        (
            lambda: mask_mar(X, 0.5, drivers=[0], weights=np.inf),
            DataError,
            "weights must be finite numbers.",
        ),
        (
            lambda: mask_mnar(X, 0.5, strength=np.nan),
            MixmendError,
            "strength must be a finite number; got nan.",
        ),
    ],
)
def test_what_is_refused(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == words
