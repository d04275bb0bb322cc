"""Variational steps and bounds against definitions, exact evidence and scikit-learn."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.mixture import BayesianGaussianMixture

import mixmend as mm
from full_oracle import with_holes
from mixmend.em.engine import run
from mixmend.errors import LikelihoodDecreasedWarning
from mixmend.mixtures import (
    diagonal_e_step,
    full_e_step,
    spherical_e_step,
    tied,
    variational_diagonal,
)
from mixmend.mixtures.options import checked
from mixmend.mixtures.variational_family import VARIATIONAL
from mixmend.observed.matrix import ObservedMatrix
from variational_oracle import bound_by_sampling, log_evidence, log_labels

pytestmark = pytest.mark.filterwarnings("error::mixmend.errors.LikelihoodDecreasedWarning")

TYPES = ("spherical", "diag", "tied", "full")
EACH_TYPE = pytest.mark.parametrize("kind", TYPES)


def problem(kind, X, n_components, row_weights=None, **changes):
    """Family, block and density as the estimator makes them, and a start from random shares."""
    obs = ObservedMatrix.from_dense(X, row_weights=row_weights)
    options = checked(mm.GaussianMixture(n_components, kind, inference="variational", **changes))
    family = VARIATIONAL[kind]
    block = family.block(obs, n_components)
    density = family.density(options, obs)
    base = family.pooled(density, block)
    density = family.informed(density, base, options)
    shares = np.random.default_rng(5).dirichlet(np.full(n_components, 0.3), len(X))
    start = base
    if n_components > 1:
        start = family.from_responsibilities(shares, base, density, block)
    return block, density, family.continued(start, density, base), shares


def clusters(rng, n, d, n_components=2, gap=4.0):
    return rng.normal(size=(n, d)) + gap * rng.integers(n_components, size=(n, 1))


def prior_of(density):
    """The prior of full, tied or diagonal covariances under common names."""
    prior = density.prior
    if isinstance(density, variational_diagonal.VariationalDiagonal):
        return SimpleNamespace(
            concentration=density.weight_concentration,
            centre=prior.centre,
            strength=prior.prior.mean_strength,
            degrees=2 * prior.prior.variance_shape,
            scale=np.diag(2 * prior.scale),
        )
    return SimpleNamespace(
        concentration=prior.weight_concentration,
        centre=prior.centre,
        strength=prior.strength,
        degrees=prior.degrees,
        scale=prior.scale,
    )


def of_column(prior, i):
    """The prior of one column by itself."""
    return SimpleNamespace(
        centre=prior.centre[i],
        strength=prior.strength,
        degrees=prior.degrees,
        scale=prior.scale[i, i],
    )


# ------------------------------------------------------------------ the bound itself


@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_the_bound_is_what_its_definition_says(rng, holes):
    X = with_holes(rng, clusters(rng, 12, 2), holes)
    X[3] = np.nan  # says nothing, and costs nothing
    block, density, start, _ = problem("full", X, 2)
    fit = run(density, start, [block], tol=0, max_iter=3)
    sampled = bound_by_sampling(rng, X, fit.parameters, prior_of(density), 4000)
    error = sampled.std() / np.sqrt(len(sampled))
    assert error < 0.1
    assert abs(sampled.mean() - fit.objective) < 4 * error


@pytest.mark.parametrize("kind", ["diag", "tied", "full"])
def test_one_component_on_complete_rows_has_the_exact_evidence(rng, kind):
    X = clusters(rng, 9, 2)
    block, density, start, _ = problem(kind, X, 1)
    fit = run(density, start, [block], tol=0, max_iter=2)
    prior = prior_of(density)
    if kind == "diag":
        exact = sum(log_evidence(X[:, [i]], of_column(prior, i)) for i in range(2))
    else:
        exact = log_evidence(X, prior)
    assert fit.objective == pytest.approx(exact, rel=1e-9)


def test_holes_of_diagonal_mixtures_leave_the_evidence_exact(rng):
    X = with_holes(rng, clusters(rng, 12, 3), 0.5)
    block, density, start, _ = problem("diag", X, 1)
    fit = run(density, start, [block], tol=0, max_iter=2)
    prior = prior_of(density)
    exact = sum(log_evidence(X[~np.isnan(X[:, i])][:, [i]], of_column(prior, i)) for i in range(3))
    assert fit.objective == pytest.approx(exact, rel=1e-9)


def test_holes_of_full_covariances_loosen_the_bound(rng):
    """One column's holes say nothing: the exact evidence is that of what was seen."""
    X = clusters(rng, 10, 1)
    table = np.vstack([np.hstack([X, X + rng.normal(size=X.shape)]), [[0.5, np.nan]] * 3])
    block, density, start, _ = problem("full", table, 1)
    fit = run(density, start, [block], tol=0, max_iter=200)
    prior = prior_of(density)
    # rows that observe the first column only: their marginal is inverse Wishart as well
    seen = ~np.isnan(table[:, 1])
    first = SimpleNamespace(
        centre=prior.centre[:1], strength=prior.strength, degrees=prior.degrees - 1,
        scale=prior.scale[:1, :1],
    )  # fmt: skip
    both, one = log_evidence(table[seen], prior), log_evidence(table[seen][:, :1], first)
    exact = both - one + log_evidence(table[:, :1], first)
    assert exact - 1.0 < fit.objective < exact


def test_spherical_bounds_are_below_the_evidence_and_near(rng):
    X = rng.normal(1.0, 2.0, (8, 1))
    prior = mm.SphericalPrior(mean_variance=4.0, variance_shape=2.0, variance_scale=3.0)
    block, density, start, _ = problem("spherical", X, 1, prior=prior)
    fit = run(density, start, [block], tol=0, max_iter=60)
    centre = float(X.mean())

    mean = np.linspace(centre - 10, centre + 10, 801)[:, None]
    log_variance = np.linspace(-5, 8, 801)
    v = np.exp(log_variance)
    joint = stats.norm.logpdf(X[:, None], mean, np.sqrt(v)).sum(axis=0)
    joint += stats.norm.logpdf(mean, centre, 2.0)
    joint += stats.invgamma.logpdf(v, 2.0, scale=3.0) + log_variance
    inner = integrate.trapezoid(np.exp(joint), log_variance, axis=1)
    evidence = integrate.trapezoid(inner, mean[:, 0])
    assert np.log(evidence) - 0.3 < fit.objective < np.log(evidence)


def test_two_components_bound_the_evidence_summed_over_all_labels(rng):
    X = clusters(rng, 7, 1, gap=5.0)
    block, density, start, _ = problem("full", X, 2)
    fit = run(density, start, [block], tol=0, max_iter=200)
    prior = prior_of(density)
    alike = []
    for labels in itertools.product([0, 1], repeat=len(X)):
        labels = np.array(labels)
        parts = sum(log_evidence(X[labels == k], prior) for k in (0, 1))
        alike.append(parts + log_labels(labels, prior.concentration, 2))
    exact = np.logaddexp.reduce(alike)
    # the bound knows one of the two ways to number the components
    assert exact - np.log(2) - 1.0 < fit.objective < exact


@EACH_TYPE
@pytest.mark.parametrize("holes", [0.0, 0.5])
def test_no_posterior_nearby_has_a_higher_bound(rng, kind, holes):
    """What the steps end in is a stationary point of the bound, in every direction."""
    X = with_holes(rng, clusters(rng, 30, 3), holes)
    block, density, start, _ = problem(kind, X, 2)
    fit = run(density, start, [block], tol=0, max_iter=400, accelerate=True)
    best = density.pack(fit.parameters)

    def bound(vector):
        p = density.unpack(vector, fit.parameters)
        return density.objective(density.e_step(p, block), p)

    step = 1e-4
    for i in range(len(best)):
        change = np.zeros(len(best))
        change[i] = step
        up, down = bound(best + change), bound(best - change)
        if kind == "spherical" and i == len(best) - 1:
            assert up == down  # an offset variance that is none
            continue
        assert max(up, down) <= fit.objective + 1e-8
        assert abs(up - down) / (2 * step) < 1e-3


@EACH_TYPE
def test_packing_is_undone_by_unpacking(rng, kind):
    _, density, start, _ = problem(kind, clusters(rng, 20, 3), 2)
    again = density.unpack(density.pack(start), start)
    for name, value in start._asdict().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------ scikit-learn


def test_full_covariances_take_scikit_learns_steps(rng):
    X = clusters(rng, 300, 4, 3)
    peer = BayesianGaussianMixture(
        n_components=3,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1 / 3,
        mean_precision_prior=0.5,
        mean_prior=X.mean(axis=0),
        degrees_of_freedom_prior=7.0,
        covariance_prior=2.0 * np.eye(4),
        reg_covar=0.0,
    )
    prior = mm.NormalInverseWishart(mean_strength=0.5, degrees=7.0, scale=2.0)
    block, density, _, shares = problem("full", X, 3, prior=prior)
    peer._check_parameters(X)
    peer._initialize(X, shares)
    base = VARIATIONAL["full"].pooled(density, block)
    first = VARIATIONAL["full"].point.from_responsibilities(shares, base, density.point, block)
    copies = density.lifted(first)
    mine = density.m_step(full_e_step.statistics_of(shares, first, block), copies)
    for _ in range(40):
        for name in ("weight_concentration", "means", "mean_precision", "degrees_of_freedom"):
            np.testing.assert_allclose(getattr(mine, name), getattr(peer, f"{name}_"), rtol=1e-6)
        np.testing.assert_allclose(mine.covariances, peer.covariances_, rtol=1e-6, atol=1e-9)
        log_shares = peer._e_step(X)[1]
        peer._m_step(X, log_shares)
        mine = density.m_step(density.e_step(mine, block), mine)


# ------------------------------------------------------------------ moves


@pytest.mark.parametrize("kind", ["diag", "tied", "full"])
def test_merged_components_are_those_of_the_rows_of_both(rng, kind):
    X = clusters(rng, 40, 3)
    if kind == "diag":
        X = with_holes(rng, X, 0.4)
    block, density, start, shares = problem(kind, X, 3)
    together = np.column_stack([shares[:, 1], shares[:, 0] + shares[:, 2]])
    module = {
        "diag": diagonal_e_step,
        "tied": full_e_step,
        "full": full_e_step,
    }[kind]
    found = []
    for given in (shares, together):
        like = start.taken(np.arange(given.shape[1]))
        point = like.predictive()
        if kind == "tied":
            point = tied.as_full(point)
        sums = module.statistics_of(given, point, block)
        if kind == "tied":
            sums = full_e_step.Statistics(
                sums.log_likelihood, sums.rows, sums.first, sums.second.sum(axis=0)
            )
        found.append(density.m_step(sums, like))
    merged = density.merged(found[0], 0, 2)
    for name, value in found[1]._asdict().items():
        np.testing.assert_allclose(getattr(merged, name), value, rtol=1e-9, atol=1e-9)


def test_merged_spherical_components_are_nearly_those_of_the_rows_of_both(rng):
    X = np.vstack([rng.normal(0, 1, (60, 4)), rng.normal(6, 1, (30, 4))])
    block, density, start, _ = problem("spherical", X, 3)
    shares = np.zeros((90, 3))
    shares[:30, 0] = shares[30:60, 1] = shares[60:, 2] = 1.0
    together = np.column_stack([shares[:, 2], shares[:, 0] + shares[:, 1]])
    found = []
    for given in (shares, together):
        p = start.taken(np.arange(given.shape[1]))
        for _ in range(40):
            point = p.expected()
            p = density.m_step(spherical_e_step.statistics_of(given, point, block), p)
        found.append(p)
    merged = density.merged(found[0], 0, 1)
    for name in ("means", "scales", "degrees_of_freedom", "mean_variances"):
        np.testing.assert_allclose(
            getattr(merged, name), getattr(found[1], name), rtol=0.03, atol=0.03, err_msg=name
        )
    gains = density.merge_gains(found[0])
    assert gains[0, 1] > 0 > max(gains[0, 2], gains[1, 2])


@pytest.mark.parametrize("kind", ["diag", "full"])
def test_gains_of_merging_are_those_of_the_evidence_under_sure_labels(rng, kind):
    X = clusters(rng, 24, 2)
    block, density, start, _ = problem(kind, X, 3)
    labels = np.arange(24) % 3
    shares = np.eye(3)[labels]
    module = full_e_step if kind == "full" else diagonal_e_step
    sums = module.statistics_of(shares, start.predictive(), block)
    q = density.m_step(sums, start)
    prior = prior_of(density)

    def evidence(rows):
        if kind == "full":
            return log_evidence(rows, prior)
        return sum(log_evidence(rows[:, [i]], of_column(prior, i)) for i in range(2))

    def joint(labels):
        # over as many components before and after: an emptied one adds nothing
        return log_labels(labels, prior.concentration, 3) + sum(
            evidence(X[labels == k]) for k in range(3)
        )

    gains = density.merge_gains(q)
    for j, k in ((0, 1), (0, 2), (1, 2)):
        merged = np.where(labels == k, j, labels)
        assert gains[j, k] == pytest.approx(joint(merged) - joint(labels), rel=1e-9)
    assert np.isneginf(gains[np.tril_indices(3)]).all()


# ------------------------------------------------------------------ faults are noticed


def test_a_wrong_step_is_noticed(rng, monkeypatch):
    X = clusters(rng, 60, 3)
    block, density, start, _ = problem("diag", X, 2)
    right = variational_diagonal.VariationalDiagonal.m_step

    def wrong(self, statistics, parameters):
        out = right(self, statistics, parameters)
        return out._replace(scales=0.8 * out.scales)

    monkeypatch.setattr(variational_diagonal.VariationalDiagonal, "m_step", wrong)
    with pytest.raises(LikelihoodDecreasedWarning):  # an error in this module
        run(density, start, [block], tol=0, max_iter=40)


def test_log_weights_of_minus_thousands_do_no_harm(rng):
    """In many columns every component's constant may underflow: only differences matter."""
    X = rng.normal(size=(50, 160))
    prior = mm.NormalInverseWishart(mean_strength=1e-3)
    block, density, start, _ = problem("full", X, 2, prior=prior)
    nobody = start._replace(mean_precision=np.full(2, 1e-3))
    statistics = density.e_step(nobody, block)
    assert statistics.rows.sum() == pytest.approx(50.0)
    assert np.isfinite(density.objective(statistics, nobody))
