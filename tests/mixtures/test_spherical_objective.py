"""The objective is what its definition says, bounds the evidence, and is stationary at the end."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import integrate, stats

import oracles
from mixmend.em.engine import run
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical import SphericalDensity, e_step, m_step, with_prior
from spherical_cases import block_of, parameters, with_holes

EVERYTHING = SphericalPrior("learned", 1.5, 0.2, 2.5)


def objective(density, X, q, row_weights=None):
    return density.objective(e_step(q, block_of(X, row_weights=row_weights)), q)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize(
    "prior",
    [None, SphericalPrior(None, 2.0, 0.4, 3.0), SphericalPrior(0.7), EVERYTHING],
    ids=["none", "weights and variances", "means", "everything"],
)
def test_differences_agree_with_the_definition(rng, prior, row_offsets, weighted):
    mean_prior = prior is not None and prior.mean_variance is not None
    X = with_holes(rng, 20, 4, 0.4, empty_rows=(3,), empty_columns=(1,))
    weights = rng.gamma(2.0, 0.5, 20) if weighted else None
    centre = rng.normal(size=4)
    density = SphericalDensity(prior=prior, prior_means=centre, row_offsets=row_offsets)
    q, other = (
        parameters(rng, 3, 4, mean_prior, row_offsets)._replace(
            prior_variance=s if mean_prior else np.inf, variances=np.array([s, 1.0, 3 * s])
        )
        for s in (0.4, 1.3)
    )
    got = objective(density, X, q, weights) - objective(density, X, other, weights)
    expected = oracles.spherical_objective(X, q, prior, centre, weights)
    expected -= oracles.spherical_objective(X, other, prior, centre, weights)
    assert abs(expected) > 1
    assert got == pytest.approx(expected, rel=1e-9)


def test_without_priors_it_is_the_log_likelihood(rng):
    X = with_holes(rng, 20, 4, 0.4, empty_rows=(3,))
    q = parameters(rng, 3, 4, row_offsets=True)
    expected = oracles.spherical_objective(X, q)
    assert objective(SphericalDensity(row_offsets=True), X, q) == pytest.approx(expected, rel=1e-12)


def test_offsets_are_integrated_out_of_the_bound(rng):
    # definition: log of the integral over b of N(b; 0, tau) exp(E_mu log N(x; mu + b, v))
    q = parameters(rng, 1, 3, mean_prior=True, row_offsets=True)
    X = np.array([[1.5, np.nan, -0.3]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)  # exact for what is quadratic in mu
    weights = weights / weights.sum()
    v, tau = q.variances[0], q.offset_variance

    def integrand(b):
        log_density = 0.0
        for i in (0, 2):
            mu = q.means[0, i] + np.sqrt(q.mean_variances[0, i]) * nodes
            log_density += weights @ stats.norm.logpdf(X[0, i], mu + b, np.sqrt(v))
        return np.exp(log_density) * stats.norm.pdf(b, 0, np.sqrt(tau))

    value, _ = integrate.quad(integrand, -30, 30, epsabs=0, epsrel=1e-12, points=[0.0])
    assert e_step(q, block_of(X)).log_likelihood == pytest.approx(np.log(value), rel=1e-9)


def exact_evidence(X, q, centre):
    """Log evidence with the means integrated out: all assignments of rows to components."""
    rows, columns = np.nonzero(~np.isnan(X))
    x = X[rows, columns]
    terms = []
    for z in product(range(len(q.weights)), repeat=len(X)):
        z = np.array(z)
        of_cell = z[rows]
        same_mean = (of_cell[:, None] == of_cell) & (columns[:, None] == columns)
        covariance = np.diag(q.variances[of_cell]) + q.prior_variance * same_mean
        covariance += q.offset_variance * (rows[:, None] == rows)
        law = stats.multivariate_normal(centre[columns], covariance)
        terms.append(np.log(q.weights[z]).sum() + law.logpdf(x))
    return np.logaddexp.reduce(terms)


@pytest.mark.parametrize("row_offsets", [False, True])
def test_it_never_exceeds_the_exact_evidence(rng, row_offsets):
    X = with_holes(rng, 4, 2, 0.2)
    centre = np.array([0.5, -0.5])
    density = SphericalDensity(
        prior=SphericalPrior(0.7), prior_means=centre, row_offsets=row_offsets
    )
    for _ in range(20):
        q = parameters(rng, 2, 2, True, row_offsets)
        before = objective(density, X, q) - exact_evidence(X, q, centre)
        assert before < 0
        # the E-step's optimum over the means' posterior closes part of the gap
        new = m_step(e_step(q, block_of(X)), q, density)
        closer = q._replace(means=new.means, mean_variances=new.mean_variances)
        after = objective(density, X, closer) - exact_evidence(X, q, centre)
        assert before < after < 0


def test_for_one_component_it_reaches_the_exact_evidence(rng):
    X = with_holes(rng, 8, 3, 0.3, empty_rows=(2,))
    centre = np.array([0.5, -0.5, 2.0])
    density = SphericalDensity(prior=SphericalPrior(0.7), prior_means=centre)
    q = parameters(rng, 1, 3, mean_prior=True)
    new = m_step(e_step(q, block_of(X)), q, density)
    best = q._replace(means=new.means, mean_variances=new.mean_variances)
    assert objective(density, X, best) == pytest.approx(exact_evidence(X, q, centre), rel=1e-11)


# ------------------------------------------------------------------ stationary at the end


def gradient(density, X, q):
    """Central differences of the objective in packed (unconstrained) coordinates."""
    block, vector = block_of(X), density.pack(q)
    out = np.empty(len(vector))
    for j in range(len(vector)):
        step = np.zeros(len(vector))
        step[j] = 1e-4
        ends = [density.unpack(vector + side * step, q) for side in (1, -1)]
        plus, minus = (density.objective(e_step(end, block), end) for end in ends)
        out[j] = (plus - minus) / 2e-4
    return out


def blocks_of(q, vector, row_offsets):
    """The packed vector cut into its named blocks."""
    K, d = q.means.shape
    sizes = {"means": K * d, "weights": K, "variances": K}
    if q.mean_variances is not None:
        sizes |= {"mean variances": K * d, "prior variance": 1}
    if row_offsets:
        sizes |= {"offset variance": 1}
    assert sum(sizes.values()) == len(vector)
    parts = np.split(vector, np.cumsum(list(sizes.values()))[:-1])
    return dict(zip(sizes, parts, strict=True))


@pytest.mark.parametrize("row_offsets", [False, True])
@pytest.mark.parametrize(
    "prior", [None, SphericalPrior(), EVERYTHING], ids=["none", "means", "everything"]
)
def test_no_block_of_parameters_can_be_improved_at_the_end(rng, prior, row_offsets):
    # groups told apart by their profile, which no row offset can take the place of
    profiles = np.array([[2.0, -2.0, 1.0, -1.0], [-1.5, 1.0, -2.0, 2.0]])
    X = profiles[rng.integers(0, 2, 60)] + rng.normal(size=(60, 4))
    X[rng.random(X.shape) < 0.25] = np.nan
    if row_offsets:
        X += rng.normal(0, 0.8, (60, 1))
    mean_prior = prior is not None
    density = SphericalDensity(prior=prior, prior_means=np.zeros(4), row_offsets=row_offsets)
    start = with_prior(parameters(rng, 2, 4, False, row_offsets), prior)
    near = run(density, start, [block_of(X)], tol=0, max_iter=300, accelerate=True)
    fit = run(density, near.parameters, [block_of(X)], tol=1e-14, max_iter=5000)
    assert fit.converged
    q = fit.parameters
    assert min(q.variances.min(), q.weights.min()) > 0.05  # a proper optimum, inside
    assert (q.mean_variances is not None) == mean_prior
    before = blocks_of(start, gradient(density, X, start), row_offsets)
    after = blocks_of(q, gradient(density, X, q), row_offsets)
    for name in before:
        assert np.abs(before[name]).max() > 0.01, name
        assert np.abs(after[name]).max() < 2e-4, name
