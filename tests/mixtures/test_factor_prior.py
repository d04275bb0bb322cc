"""Maximum a posteriori fits of mixtures of factor analysers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mixmend as mm
from full_oracle import with_holes
from mixmend.em.block import Block
from mixmend.em.engine import run
from mixmend.errors import LikelihoodDecreasedWarning, MixmendError
from mixmend.mixtures import factor as fa
from mixmend.mixtures.factor_family import factor_family
from mixmend.mixtures.options import checked
from mixmend.observed.matrix import ObservedMatrix

pytestmark = pytest.mark.filterwarnings("error::mixmend.errors.LikelihoodDecreasedWarning")


def problem(X, n_components, rank, prior, isotropic=False):
    """Block, density and a start, as the estimator makes them."""
    obs = ObservedMatrix.from_dense(X)
    options = checked(mm.GaussianMixture(n_components, "factor", n_factors=rank, prior=prior))
    family, block = factor_family(rank, isotropic), Block(obs)
    density = family.density(options, obs)
    base = family.pooled(density, block)
    shares = np.random.default_rng(1).dirichlet(np.ones(n_components), len(X))
    return block, density, family.from_responsibilities(shares, base, density, block)


def rows(rng, n, d, rank=2):
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + 0.5 * rng.normal(size=(n, d))


def log_prior(q, X, prior, n_components):
    """The prior's log density by SciPy, constants included; complete columns."""
    c, s = X.mean(axis=0), X.var(axis=0)
    d, a = X.shape[1], prior.noise_shape
    b = a * s / (3 * n_components ** (2 / d))
    total = stats.dirichlet.logpdf(q.weights, np.full(n_components, prior.weight_concentration))
    for k in range(n_components):
        total += stats.norm.logpdf(q.means[k], c, np.sqrt(s / prior.mean_strength)).sum()
        spread = np.sqrt(prior.loading_variance * s)[:, None]
        total += stats.norm.logpdf(q.loadings[k], 0.0, spread).sum()
        total += stats.invgamma.logpdf(q.noise[k], a, scale=b).sum()
    return total


def test_the_log_prior_is_that_of_its_distributions(rng):
    X = rows(rng, 40, 4)
    prior = mm.FactorPrior(0.3, 0.7, 2.0, "columns", 1.8)
    _, density, start = problem(X, 2, 2, prior)
    other = start._replace(
        weights=np.array([0.3, 0.7]),
        means=start.means + 0.4,
        loadings=1.5 * start.loadings,
        noise=0.6 * start.noise,
    )
    ours = fa.log_prior(other, density) - fa.log_prior(start, density)
    assert ours == pytest.approx(log_prior(other, X, prior, 2) - log_prior(start, X, prior, 2))


@pytest.mark.parametrize("isotropic", [False, True])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_what_em_ends_in_is_a_mode(rng, missing, isotropic):
    X = with_holes(rng, rows(rng, 50, 4, 1), missing)
    block, density, start = problem(X, 1, 1, mm.FactorPrior(0.5, 0.5), isotropic)
    fit = run(density, start, [block], tol=0, max_iter=1500, accelerate=True)

    def objective(q):
        return density.objective(density.e_step(q, block), q)

    step = 1e-4
    for name in ("means", "loadings"):
        for place in np.ndindex(getattr(fit.parameters, name).shape):
            change = np.zeros(getattr(fit.parameters, name).shape)
            change[place] = step
            up, down = (
                objective(fit.parameters._replace(**{name: getattr(fit.parameters, name) + move}))
                for move in (change, -change)
            )
            assert abs(up - down) / (2 * step) < 1e-2
            assert max(up, down) <= fit.objective + 1e-9
    for i in range(1 if isotropic else 4):
        change = np.zeros((1, 4))
        change[:, slice(None) if isotropic else i] = step
        up, down = (
            objective(fit.parameters._replace(noise=fit.parameters.noise * np.exp(move)))
            for move in (change, -change)
        )
        assert abs(up - down) / (2 * step) < 1e-2


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    st.sampled_from([np.float32, np.float64]),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([0.3, None, 2.0]),
)
def test_the_penalised_likelihood_never_falls(seed, missing, dtype, K, isotropic, concentration):
    rng = np.random.default_rng(seed)
    X = with_holes(rng, rows(rng, 25, 5).astype(dtype) * 10.0 ** rng.integers(-2, 3), missing)
    X[0, 0] = 0.5
    prior = mm.FactorPrior(
        float(rng.choice([1e-3, 1.0])),
        float(rng.choice([0.01, 1.0])),
        float(rng.choice([0.0, 1.5])),
        weight_concentration=concentration,
    )
    block, density, start = problem(X, K, int(rng.integers(1, 4)), prior, isotropic)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        fit = run(density, start, [block], tol=0, max_iter=12)
        run(density, start, [block], tol=0, max_iter=5, accelerate=True)
    assert all(np.isfinite(part).all() for part in fit.parameters)


def test_factors_do_not_pass_through_a_few_rows(rng):
    X = np.vstack([rows(rng, 80, 6), 30.0 + 0.1 * rng.normal(size=(4, 6))])
    options = {"n_factors": 3, "means_init": [X[:80].mean(axis=0), X[80:].mean(axis=0)]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = mm.GaussianMixture(2, "factor", max_iter=300, **options).fit(X)
    held = mm.GaussianMixture(2, "factor", max_iter=300, prior="default", **options).fit(X)
    assert not held.collapsed_
    assert held.noise_.min() > 100 * free.noise_.min()


def test_more_rows_than_the_prior_is_worth_outvote_it(rng):
    X = rows(rng, 4000, 5)
    plain, prior = (
        mm.GaussianMixture(1, "factor", n_factors=2, prior=p, tol=1e-7).fit(X)
        for p in (None, "default")
    )
    np.testing.assert_allclose(prior.covariances_, plain.covariances_, rtol=0.02, atol=0.02)


def test_the_prior_follows_the_units(rng):
    X = with_holes(rng, rows(rng, 60, 4), 0.2)
    scale = np.array([1.0, 1e3, 1e-3, 10.0])
    found = [
        mm.GaussianMixture(1, "factor", n_factors=1, prior="default", tol=1e-10, max_iter=2000).fit(
            t
        )
        for t in (X, X * scale)
    ]
    np.testing.assert_allclose(found[0].means_ * scale, found[1].means_, rtol=1e-3)
    np.testing.assert_allclose(found[0].noise_ * scale**2, found[1].noise_, rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_strength": 0.0}, "mean_strength must be positive and finite; got 0.0."),
        ({"loading_variance": -1}, "loading_variance must be positive and finite; got -1."),
        ({"noise_shape": -0.5}, "noise_shape must be finite and not negative; got -0.5."),
        (
            {"noise_scale": "rows"},
            "noise_scale must be 'columns' or a positive number; got 'rows'.",
        ),
        ({"weight_concentration": 0}, "weight_concentration must be positive; got 0."),
    ],
)
def test_a_bad_prior_is_refused(changes, message):
    with pytest.raises(MixmendError) as error:
        mm.FactorPrior(**changes)
    assert str(error.value) == message


def test_the_prior_is_saved_with_the_model(rng, tmp_path):
    prior = mm.FactorPrior(loading_variance=0.5)
    model = mm.GaussianMixture(1, "factor", n_factors=1, prior=prior).fit(rows(rng, 30, 3))
    mm.save(model, tmp_path / "model.mixmend")
    assert mm.load(tmp_path / "model.mixmend").prior == prior
