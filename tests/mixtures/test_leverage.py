"""Leverages of cells: among the rows that observe the cell's column."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from full_oracle import with_holes
from mixmend.completion import predictive
from mixmend.mixtures import leverage
from mixmend.mixtures.leverage import regressions
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.observed.matrix import ObservedMatrix

NEXT_TO_NOTHING = NormalInverseWishart(mean_strength=0.0, degrees=4.0, scale=1e-9)


def folded(mixture, rows):
    return mixture._fold_in(ObservedMatrix.from_dense(np.asarray(rows)))


def holed_and_mixture(rng, n_components=2, kind="full"):
    X = with_holes(rng, rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)), 0.3)
    return X, mm.GaussianMixture(n_components, kind, prior="default", random_state=0).fit(X)


def by_hand(mixture, X, weights, borrowed, shared):
    """Row by row, each distance by a system of equations of its own."""
    fold = folded(mixture, X)
    shares = fold.responsibilities * weights[:, None]
    filled = fold.expected(np.arange(len(X)))
    n_components, d = mixture.means_.shape
    covariances = mixture._family.full_covariances(mixture.parameters_)
    out = np.empty((len(X), d, n_components))
    for j in range(d):
        others = np.arange(d) != j
        seen = ~np.isnan(X[:, j])
        centres = [np.average(filled[k][seen], axis=0, weights=shares[seen, k]) for k in range(2)]
        scatters = [
            (filled[k][seen] - centres[k]).T
            @ (shares[seen, k, None] * (filled[k][seen] - centres[k]))
            for k in range(2)
        ]
        for k in range(n_components):
            scatter = sum(scatters) if shared else scatters[k]
            scatter = (scatter + borrowed * covariances[k])[np.ix_(others, others)]
            for u in range(len(X)):
                gap = (filled[k][u] - centres[k])[others]
                out[u, j, k] = gap @ np.linalg.solve(scatter, gap)
    return out


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_leverages_are_distances_from_the_rows_that_observe_the_column(rng, kind):
    X, mixture = holed_and_mixture(rng, kind=kind)
    weights = rng.integers(0, 3, size=len(X)).astype(float)
    fold = folded(mixture, X)
    learned = regressions(fold, weights, 1.5, shared=kind == "tied")
    rows, columns = np.nonzero(np.isnan(X))
    back = np.arange(len(rows))[::-1]  # in whatever order cells are asked for
    found = learned.leverages(fold, rows[back], columns[back])[back]
    expected = by_hand(mixture, X, weights, 1.5, kind == "tied")[rows, columns]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    counts = (~np.isnan(X)).T @ (fold.responsibilities * weights[:, None])
    if kind == "tied":
        counts = np.repeat(counts.sum(axis=1, keepdims=True), 2, axis=1)
    np.testing.assert_allclose(learned.counts, counts)


def test_what_all_rows_say_twice_is_grown_twofold(rng):
    X, mixture = holed_and_mixture(rng)
    twice = np.vstack([X, X])
    once, both = folded(mixture, X), folded(mixture, twice)
    grown = regressions(once, None, 1.5, shared=False).grown(np.full(4, 2.0))
    learned = regressions(both, None, 3.0, shared=False)
    np.testing.assert_allclose(grown.counts, learned.counts)
    rows, columns = np.nonzero(np.isnan(X))
    expected = learned.leverages(both, rows, columns)
    np.testing.assert_allclose(grown.leverages(once, rows, columns), expected, rtol=1e-9)
    only = regressions(once, None, 1.5, shared=False).grown(np.array([1.0, 3.0, 1.0, 1.0]))
    plain = regressions(once, None, 1.5, shared=False).leverages(once, rows, columns)
    shrunk = only.leverages(once, rows, columns)
    np.testing.assert_allclose(shrunk[columns == 1], plain[columns == 1] / 3.0)
    np.testing.assert_array_equal(shrunk[columns != 1], plain[columns != 1])


def test_where_one_column_has_holes_they_are_those_of_least_squares(rng):
    X = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3))
    X[X[:, 0] > 0.5, 2] = np.nan
    mixture = mm.GaussianMixture(1, "full", prior=NEXT_TO_NOTHING, tol=0.0, max_iter=50).fit(X)
    fold = folded(mixture, X)
    holes = np.flatnonzero(np.isnan(X[:, 2]))
    learned = regressions(fold, None, 1e-9, shared=False)
    found = learned.leverages(fold, holes, np.full(len(holes), 2))[:, 0]
    taught = np.column_stack([np.ones(50), X[:, :2]])[~np.isnan(X[:, 2])]
    points = np.column_stack([np.ones(50), X[:, :2]])[holes]
    expected = np.einsum("ij,ji->i", points, np.linalg.solve(taught.T @ taught, points.T))
    np.testing.assert_allclose(found, expected - 1.0 / len(taught), rtol=1e-6)


def test_many_rows_are_taken_in_parts(rng, monkeypatch):
    X, mixture = holed_and_mixture(rng)
    fold = folded(mixture, X)
    rows, columns = np.nonzero(np.isnan(X))
    whole = regressions(fold, None, 1.0, shared=False)
    at_once = whole.leverages(fold, rows, columns)
    monkeypatch.setattr(leverage, "_NUMBERS_AT_ONCE", 8 * 7)
    parts = regressions(fold, None, 1.0, shared=False)
    for one, other in zip(parts, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(whole.leverages(fold, rows, columns), at_once, rtol=1e-12)


def test_wide_and_long_tables_have_leverages_of_whole_rows(rng):
    wide = rng.normal(size=(30, leverage.MOST_COLUMNS + 1))
    long = rng.normal(size=(2 * leverage.ENOUGH_ROWS + 1, 2))
    for X in (wide, long):
        mixture = mm.GaussianMixture(1, "full", prior="default", max_iter=2, tol=0.0).fit(X)
        assert regressions(folded(mixture, X), None, 1.0, shared=False) is None
        X[0, 0] = np.nan
        imputer = mm.MixtureImputer(max_iter=5, tol=1e-3).fit(X)
        sure = mm.MixtureImputer(max_iter=5, tol=1e-3, parameter_uncertainty=False).fit(X)
        assert imputer.transform_std(X)[0, 0] > sure.transform_std(X)[0, 0]
    assert regressions(folded(mixture, long[:-1]), None, 1.0, shared=False) is not None


def test_where_rows_with_holes_lie_apart_intervals_hold_what_they_promise():
    """Sixty tables of 40 rows; two columns are hidden where a third is high."""
    held, by_rows = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, 4)) + rng.normal(size=(40, 1))
        holed = X.copy()
        holed[np.ix_(X[:, 0] > np.quantile(X[:, 0], 0.7), [2, 3])] = np.nan
        cells = np.nonzero(np.isnan(holed))
        imputer = mm.MixtureImputer().fit(holed)
        (learner,) = imputer.stack_.learners
        whole = learner._replace(known=learner.known._replace(regressions=None))
        for kept, one in ((held, learner), (by_rows, whole)):
            imputer.stack_ = imputer.stack_._replace(learners=(one,))
            low, high = predictive.interval(imputer.predictive(holed, *cells), 0.9)
            kept.append((low <= X[cells]) & (X[cells] <= high))
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)
    assert np.mean(by_rows) < np.mean(held) - 0.01
