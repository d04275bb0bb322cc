"""Predictions widened for doubt about the parameters: against the exact posterior predictive."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from full_oracle import with_holes
from mixmend.completion import predictive
from mixmend.mixtures.doubt import evidence, mahalanobis, parameter_doubt
from mixmend.mixtures.leverage import regressions
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.observed.matrix import ObservedMatrix


def folded(mixture, rows):
    return mixture._fold_in(ObservedMatrix.from_dense(rows))


def test_distances_are_those_of_the_observed_cells(rng):
    X = with_holes(rng, rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)), 0.4)
    X[3] = np.nan
    mixture = mm.GaussianMixture(2, "full", prior="default", random_state=0).fit(X)
    found = mahalanobis(folded(mixture, X))
    for u, row in enumerate(X):
        seen = ~np.isnan(row)
        for k in range(2):
            gap = row[seen] - mixture.means_[k, seen]
            inner = mixture.covariances_[k][np.ix_(seen, seen)]
            expected = gap @ np.linalg.solve(inner, gap) if seen.any() else 0.0
            assert found[u, k] == pytest.approx(expected, abs=1e-8)


def test_components_without_weight_ask_for_no_widening(rng):
    X = with_holes(rng, rng.normal(size=(60, 3)), 0.3)
    mixture = mm.GaussianMixture(2, "full", prior="default", random_state=0).fit(X)
    mixture.parameters_ = mixture.parameters_._replace(weights=np.array([1.0, 0.0]))
    found = mahalanobis(folded(mixture, X))
    assert (found[:, 1] == 0.0).all()
    assert found[:, 0].max() > 1.0


def test_the_factor_is_that_of_a_regression_with_its_coefficients_estimated(rng):
    """Complete rows, one component, next to no prior: the textbook's prediction variance."""
    n, d = 40, 4
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    prior = NormalInverseWishart(mean_strength=0.0, degrees=3.5, scale=1e-9)
    mixture = mm.GaussianMixture(1, "full", prior=prior, tol=0.0, max_iter=3).fit(X)
    new = np.array([[4.0, np.nan, -3.0, np.nan], [0.0, 1.0, 2.0, np.nan]])
    known = evidence(np.ones(1), np.ones(X.shape, bool), prior)
    assert (known.rows.tolist(), known.divisor) == ([40.0], 8.5)
    fold = folded(mixture, new)
    cells = np.array([0, 1]), np.array([1, 3])
    variance = predictive.variance(fold.cells(*cells))
    found = variance * parameter_doubt(fold, known)(fold, *cells)[:, 0]
    own = regressions(folded(mixture, X), None, 1e-9, shared=False)
    by_column = parameter_doubt(fold, known._replace(regressions=own))
    np.testing.assert_allclose(variance * by_column(fold, *cells)[:, 0], found, rtol=1e-6)
    for at, (row, hole) in enumerate(((0, 1), (1, 3))):
        seen = ~np.isnan(new[row])
        design = np.column_stack([np.ones(n), X[:, seen]])
        residual = X[:, hole] - design @ np.linalg.lstsq(design, X[:, hole], rcond=None)[0]
        point = np.concatenate([[1.0], new[row, seen]])
        leverage = point @ np.linalg.solve(design.T @ design, point)
        expected = residual @ residual / (n - seen.sum() - 1) * (1 + leverage)
        assert found[at] == pytest.approx(expected, rel=1e-6)


def test_what_a_covariance_rests_on():
    seen = np.array([[True, True, False, False], [True] * 4])  # 1/4 of the pairs, and all
    weights = np.array([0.5, 0.5])
    pooled = evidence(weights, seen, NormalInverseWishart(degrees=9.0, scale="pooled"))
    assert pooled.rows.tolist() == [0.625, 0.625]
    assert (pooled.borrowed, pooled.divisor) == (15.0, 15.0)
    columns = evidence(weights, seen, NormalInverseWishart(), np.array([4.0, 1.0]))
    assert columns.rows.tolist() == [1.0, 1.0]
    assert columns.borrowed == pytest.approx(2 ** (-0.5))
    # one component has nothing to borrow from: its prior is the weak one
    lone = evidence(np.ones(1), seen, NormalInverseWishart(degrees=99.0, scale="pooled"))
    assert (lone.borrowed, lone.divisor) == (1.0, 12.0)


def test_short_tables_are_covered_with_the_doubt_and_not_without():
    """Forty tables of 25 rows and six columns, a third of the cells hidden."""
    held = {True: [], False: []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(25, 6)) + 1.5 * rng.normal(size=(25, 1))
        holed = with_holes(rng, X, 0.33)
        rows, columns = np.nonzero(np.isnan(holed))
        for doubt in held:
            fitted = mm.MixtureImputer(parameter_uncertainty=doubt).fit(holed)
            cells = fitted.predictive(holed, rows, columns)
            lower, upper = predictive.interval(cells, 0.9)
            held[doubt].append((lower <= X[rows, columns]) & (X[rows, columns] <= upper))
    covered = {doubt: np.concatenate(inside).mean() for doubt, inside in held.items()}
    assert covered[True] == pytest.approx(0.9, abs=0.03)
    assert covered[False] < 0.86


def test_long_tables_need_no_widening_and_distant_rows_do(rng):
    X = rng.normal(size=(4000, 3))
    mixture = mm.GaussianMixture(1, "full", prior="default").fit(X)
    known = evidence(np.ones(1), np.ones(X.shape, bool), NormalInverseWishart())
    rows = folded(mixture, [[0.0, 0.0, np.nan], [50.0, 50.0, np.nan]])
    near, far = parameter_doubt(rows, known)(rows, np.arange(2), np.array([2, 2]))[:, 0]
    assert near == pytest.approx(1.0, abs=0.01)
    assert far > 2.0


def test_draws_and_deviations_are_widened_alike(rng):
    X = with_holes(rng, rng.normal(size=(20, 3)) + rng.normal(size=(20, 1)), 0.3)
    holes = np.isnan(X)
    sure = mm.MixtureImputer(parameter_uncertainty=False, random_state=0).fit(X)
    unsure = mm.MixtureImputer(random_state=0).fit(X)
    np.testing.assert_array_equal(sure.transform(X), unsure.transform(X))
    ratio = unsure.transform_std(X)[holes] / sure.transform_std(X)[holes]
    assert np.all(ratio > 1.1)
    middle = sure.transform(X)
    drawn, narrow = (one.impute_samples(X, 1)[0] - middle for one in (unsure, sure))
    # the same normal numbers, each cell stretched by its own factor
    np.testing.assert_allclose(drawn[holes] / narrow[holes], ratio, rtol=1e-6)


def test_types_without_covariances_are_left_alone(rng):
    X = with_holes(rng, rng.normal(size=(20, 3)), 0.3)
    for kind in ("diag", "spherical"):
        one, other = (
            mm.MixtureImputer(2, kind, random_state=0, parameter_uncertainty=doubt).fit(X)
            for doubt in (True, False)
        )
        np.testing.assert_array_equal(one.transform_std(X), other.transform_std(X))
    tied = [
        mm.MixtureImputer(2, "tied", random_state=0, parameter_uncertainty=doubt).fit(X)
        for doubt in (True, False)
    ]
    assert (tied[0].transform_std(X) > tied[1].transform_std(X))[np.isnan(X)].all()
