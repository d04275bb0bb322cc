"""Where floating point is strained: far from 0, far apart, empty, tiny, collapsed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import oracles
from mixmend.em.engine import run
from mixmend.errors import DataError, LikelihoodDecreasedWarning
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.kmeans import KMeans
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import (
    Parameters,
    SphericalDensity,
    e_step,
    m_step,
    posterior,
    rounding_floor,
    with_prior,
)
from mixmend.observed.matrix import ObservedMatrix
from spherical_cases import block_of, with_holes

OFFSETS = [(np.float64, 1e8), (np.float64, -1e8), (np.float32, 1e4), (np.float32, -1e4)]


@pytest.fixture(autouse=True)
def _healthy():
    """A warning of falling likelihood on any of these data would be a false alarm."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        warnings.simplefilter("error", RuntimeWarning)
        yield


def finite(q: Parameters) -> bool:
    parts = [q.weights, q.means, q.variances, q.offset_variance]
    return all(np.isfinite(part).all() for part in parts) and (q.variances > 0).all()


def fitted(X, start, steps=30, **options):
    density = SphericalDensity(**options)
    start = with_prior(start, density.prior)
    return run(density, start, [block_of(X)], tol=0, max_iter=steps)


def spread_out(rng, K, d, centre=0.0):
    return Parameters(
        np.full(K, 1 / K),
        np.asfortranarray(centre + rng.normal(0, 2, (K, d))),
        np.full(K, 4.0),
    )


# ------------------------------------------------------------------ far from 0


@pytest.mark.parametrize(("dtype", "offset"), OFFSETS)
@pytest.mark.parametrize("row_offsets", [False, True])
def test_variances_far_from_zero_are_right(rng, row_offsets, dtype, offset):
    groups = rng.integers(0, 2, 150)
    X = rng.normal(0, np.where(groups, 1.0, 0.5)[:, None], (150, 6)) + 20.0 * groups[:, None]
    if row_offsets:
        X += rng.normal(0, 1.0, (150, 1))
    X[rng.random(X.shape) < 0.3] = np.nan
    far = (X + offset).astype(dtype)
    near = far.astype(float) - offset  # the same numbers, exactly
    start = Parameters(np.full(2, 0.5), np.array([[-3.0], [30.0]]) + np.zeros(6), np.full(2, 9.0))
    start = start._replace(offset_variance=1.0 * row_offsets)
    moved = start._replace(means=np.asfortranarray(start.means + offset))
    expected = start
    for _ in range(10):
        expected = oracles.spherical_m_step(near, expected, row_offsets=row_offsets)
    got = fitted(far, moved, 10, row_offsets=row_offsets).parameters
    np.testing.assert_allclose(got.variances, expected.variances, rtol=0.01)
    np.testing.assert_allclose(got.variances, [0.25, 1.0], rtol=0.2)
    ulp = float(np.spacing(dtype(abs(offset))))
    np.testing.assert_allclose(got.means - offset, expected.means, atol=2 * ulp)
    np.testing.assert_allclose(got.weights, expected.weights, rtol=1e-4)
    if row_offsets:
        assert got.offset_variance == pytest.approx(expected.offset_variance, rel=0.01)


# ------------------------------------------------------------------ far apart


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row_offsets", [False, True])
def test_points_a_thousand_standard_deviations_away(rng, row_offsets, dtype):
    X = np.concatenate([np.zeros((3, 4)), np.full((3, 4), 1e3), np.full((1, 4), -1e3)])
    X[1, 2] = np.nan
    X = (X + rng.normal(size=X.shape)).astype(dtype)
    q = Parameters(
        np.array([0.3, 0.7]),
        np.repeat([[0.0], [3.0]], 4, axis=1),
        np.ones(2),
        offset_variance=0.01 * row_offsets,
    )
    rows = oracles.spherical_rows(X, q)
    got = posterior(q, block_of(X))
    assert rows.log_densities().min() < -1e6
    np.testing.assert_allclose(got.log_densities(), rows.log_densities(), rtol=1e-6)
    np.testing.assert_allclose(got.responsibilities, rows.post, atol=1e-5)
    np.testing.assert_allclose(got.responsibilities.sum(axis=1), 1.0, rtol=1e-6)
    statistics = e_step(q, block_of(X))
    assert statistics.log_likelihood == pytest.approx(rows.log_densities().sum(), rel=1e-6)
    assert finite(fitted(X, q, row_offsets=row_offsets, min_variance=1e-3).parameters)


# ------------------------------------------------------------------ components without rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("prior", [None, SphericalPrior(0.5), SphericalPrior("learned")])
def test_a_component_that_loses_its_rows_keeps_finite_values(rng, prior, dtype):
    X = with_holes(rng, 30, 4, 0.3, dtype)
    start = spread_out(rng, 3, 4)
    start.means[2] = 1e6
    centre = np.array([1.0, 2.0, 3.0, 4.0])
    density = SphericalDensity(prior=prior, prior_means=centre)
    start = with_prior(start, prior)
    statistics = e_step(start, block_of(X))
    got = m_step(statistics, start, density)
    assert statistics.rows[2] == got.weights[2] == 0.0
    assert got.variances[2] == start.variances[2]
    if prior is None:
        np.testing.assert_array_equal(got.means[2], start.means[2])
    else:  # nothing observed: the posterior is the prior
        np.testing.assert_allclose(got.means[2], centre, rtol=1e-9)
        np.testing.assert_allclose(got.mean_variances[2], start.prior_variance, rtol=1e-12)
    assert finite(fitted(X, start, prior=prior, prior_means=centre, min_variance=0.01).parameters)


# ------------------------------------------------------------------ little or nothing observed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize("prior", [None, SphericalPrior("learned", 1.0, 0.1)])
def test_empty_rows_and_columns(rng, prior, row_offsets, dtype):
    X = with_holes(rng, 20, 5, 0.5, dtype, empty_rows=(0, 7), empty_columns=(1, 4))
    start = spread_out(rng, 3, 5)._replace(offset_variance=0.5 * row_offsets)
    centre = np.arange(5.0)
    got = fitted(
        X, start, prior=prior, prior_means=centre, row_offsets=row_offsets, min_variance=0.05
    )
    q = got.parameters
    assert finite(q)
    if prior is None:
        np.testing.assert_array_equal(q.means[:, [1, 4]], start.means[:, [1, 4]])
    else:
        np.testing.assert_allclose(q.means[:, [1, 4]], [[1.0, 4.0]] * 3, rtol=1e-9)
    rows = posterior(q, block_of(X))
    np.testing.assert_allclose(rows.responsibilities[[0, 7]], [q.weights] * 2, rtol=1e-6)
    # rows and columns without a cell change nothing else but the weights' denominator
    kept = np.delete(np.delete(np.arange(20), [0, 7]), [])
    part = X[kept][:, [0, 2, 3]]
    if prior is None and not row_offsets:
        start = start._replace(means=np.asfortranarray(start.means[:, [0, 2, 3]]))
        alone = fitted(part, start, min_variance=0.05, steps=1).parameters
        with_empty = fitted(
            X, start._replace(means=np.asfortranarray(_spread(start.means))), 1, min_variance=0.05
        ).parameters
        np.testing.assert_allclose(with_empty.means[:, [0, 2, 3]], alone.means, rtol=1e-6)
        np.testing.assert_allclose(with_empty.variances, alone.variances, rtol=1e-6)
        np.testing.assert_allclose(
            with_empty.weights, (18 * alone.weights + 2 * start.weights) / 20, rtol=1e-6
        )


def _spread(means):
    out = np.zeros((len(means), 5))
    out[:, [0, 2, 3]] = means
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (12, 1), (3, 2)])
@pytest.mark.parametrize("row_offsets", [False, True])
def test_tiny_matrices_with_more_components_than_distinct_rows(rng, shape, row_offsets, dtype):
    X = with_holes(rng, *shape, missing=0.0, dtype=dtype)
    X[-1] = X[0]
    start = spread_out(rng, 5, shape[1])._replace(offset_variance=0.5 * row_offsets)
    got = fitted(X, start, 100, row_offsets=row_offsets, min_variance=1e-4)
    assert finite(got.parameters)
    assert np.isfinite(got.history).all()
    assert got.parameters.weights.sum() == pytest.approx(1.0, rel=1e-12)


def test_all_values_equal(rng):
    X = np.full((10, 3), 0.1)
    X[0, 0] = X[5, 2] = np.nan
    got = fitted(X, spread_out(rng, 2, 3), 100, min_variance=1e-6)
    np.testing.assert_allclose(got.parameters.variances, 1e-6)
    np.testing.assert_allclose(got.parameters.means, 0.1, atol=1e-9)


# ------------------------------------------------------------------ collapse onto points


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rounding_floor_follows_the_data(rng, dtype):
    X = with_holes(rng, 200, 5, 0.3, dtype)
    eps = float(np.finfo(dtype).eps)
    largest = np.nanmax(np.abs(X)).astype(float)

    def floor(values, row_offsets=False):
        return rounding_floor(ObservedMatrix.from_dense(values), row_offsets)

    np.testing.assert_allclose(floor(X), (16 * eps * largest) ** 2, rtol=1e-6)
    np.testing.assert_allclose(floor(4 * X), 16 * floor(X), rtol=1e-6)
    np.testing.assert_allclose(floor(X, True) - floor(X), 64 * eps * _median_square(X), rtol=1e-4)
    wild = X.copy()
    wild[np.isnan(wild).argmin(axis=0)[0], 0] = 1e6
    assert floor(wild, True) - floor(wild) < 1.1 * (floor(X, True) - floor(X))
    mostly_equal = np.array([[3.0] * 9 + [5.0]], dtype)
    assert floor(mostly_equal, True) > 10 * eps  # a median of 0 says nothing
    assert floor(np.full((2, 2), np.nan), True) > 0


def _median_square(X):
    x = X[~np.isnan(X)].astype(float)
    return np.median((x - np.median(x)) ** 2)


@pytest.mark.parametrize("center", ["none", "rows"])
@pytest.mark.parametrize("seed", [48, 284, 285, 286])
def test_components_that_collapse_onto_points_raise_no_false_alarm(seed, center):
    rng = np.random.default_rng(seed)
    X = rng.integers(1, 6, (12, 4)).astype([np.float32, np.float64][seed % 2])
    X[rng.random(X.shape) < 0.4] = np.nan
    X[0, 0] = 3
    model = GaussianMixture(4, center=center, random_state=seed, n_init=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of collapse, empty rows, slowness
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        model.fit(X)
    assert model.collapsed_ == (model.covariances_.min() < 1e-4)
    assert np.isfinite(model.history_).all()
    assert min(np.diff(model.history_)) >= -1e-2 * abs(model.history_[-1])


# ------------------------------------------------------------------ beyond the range


@pytest.mark.parametrize("make", [GaussianMixture, KMeans])
@pytest.mark.parametrize(
    ("scale", "dtype", "fault", "cure"),
    [
        (1e200, np.float64, "large (the largest is 3e+200)", "divided by 1e+200"),
        (1e-180, np.float64, "small (the largest is 3e-180)", "multiplied by 1e+180"),
        (1e25, np.float32, "large (the largest is 3e+25)", "divided by 1e+25, or as float64"),
        (1e-20, np.float32, "small (the largest is 3e-20)", "multiplied by 1e+20, or as float64"),
    ],
)
def test_values_whose_squares_leave_the_range_are_refused(make, scale, dtype, fault, cure):
    X = (np.array([[1.0, 2.0], [-3.0, 0.5], [2.5, np.nan]]) * scale).astype(dtype)
    with pytest.raises(DataError) as caught:
        make(2).fit(X)
    assert str(caught.value) == (
        f"The values are too {fault}: their squares leave the range of {np.dtype(dtype)}. "
        f"Give them in another unit, for example {cure}."
    )


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(2e147, np.float64), (1e-144, np.float64), (3e16, np.float32), (1e-15, np.float32)],
)
def test_values_just_within_the_range_are_fitted_like_any_others(rng, scale, dtype):
    X = rng.choice([-1.0, 1.0], (60, 1)) + rng.normal(0, 0.3, (60, 4))
    X[:, 1:][rng.random((60, 3)) < 0.3] = np.nan
    unit = GaussianMixture(2, random_state=0, n_init=2).fit(X)
    scaled = GaussianMixture(2, random_state=0, n_init=2).fit((X * scale).astype(dtype))
    relative = 1e-6 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(scaled.weights_, unit.weights_, rtol=relative)
    np.testing.assert_allclose(scaled.covariances_ / scale**2, unit.covariances_, rtol=relative)
    assert scaled.converged_


def test_all_zeros_have_squares(rng):
    assert GaussianMixture(1).fit(np.zeros((5, 2))).means_.tolist() == [[0.0, 0.0]]
