"""Variational mixtures by their definitions: loops, SciPy's densities, and sampling."""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import gammaln

from full_oracle import conditional


def bound_by_sampling(rng, X, q, prior, draws):
    """Draws of ``E_q[log p(X, c, holes, theta) - log q(c, holes, theta) | theta]``, (draws,).

    ``q`` is the posterior of a mixture with full covariances. A row's holes are distributed
    as the means and C = scale / degrees have it, its component as the sampled expectations.
    """
    weights = stats.dirichlet.rvs(q.weight_concentration, draws, random_state=rng)
    K, d = q.means.shape
    kept = np.maximum(weights, 1e-300).T
    total = stats.dirichlet.logpdf(kept, np.full(K, prior.concentration))
    total -= stats.dirichlet.logpdf(kept, q.weight_concentration)
    precisions, means = np.empty((draws, K, d, d)), np.empty((draws, K, d))
    for k in range(K):
        nu, beta, inverse = q.degrees_of_freedom[k], q.mean_precision[k], np.linalg.inv(q.scales[k])
        L = stats.wishart.rvs(nu, inverse, draws, random_state=rng)
        roots = np.linalg.cholesky(np.linalg.inv(L))
        steps = np.einsum("sij,sj->si", roots, rng.normal(size=(draws, d)))
        precisions[:, k], means[:, k] = L, q.means[k] + steps / np.sqrt(beta)
        stacked = np.moveaxis(L, 0, -1)
        total += stats.wishart.logpdf(stacked, prior.degrees, np.linalg.inv(prior.scale))
        total -= stats.wishart.logpdf(stacked, nu, inverse)
        for sign, centre, strength in ((1, prior.centre, prior.strength), (-1, q.means[k], beta)):
            gaps = means[:, k] - centre
            squares = strength * np.einsum("si,sij,sj->s", gaps, L, gaps)
            log_det = d * np.log(strength / (2 * np.pi)) + np.linalg.slogdet(L)[1]
            total += sign * 0.5 * (log_det - squares)
    log_dets = np.linalg.slogdet(precisions)[1]
    for x in X:
        if np.isnan(x).all():
            continue
        holes = np.isnan(x)
        terms, entropies = np.empty((draws, K)), np.zeros(K)
        for k in range(K):
            filled, spread = conditional(x, q.means[k], q.scales[k] / q.degrees_of_freedom[k])
            if holes.any():
                within = spread[np.ix_(holes, holes)]
                entropies[k] = stats.multivariate_normal(cov=within).entropy()
            gaps = filled - means[:, k]
            quadratic = np.einsum("si,sij,sj->s", gaps, precisions[:, k], gaps)
            quadratic += np.einsum("sij,ji->s", precisions[:, k], spread)
            terms[:, k] = np.log(weights[:, k]) + 0.5 * (log_dets[:, k] - quadratic)
            terms[:, k] -= 0.5 * d * np.log(2 * np.pi)
        scores = terms.mean(axis=0) + entropies
        r = np.exp(scores - np.logaddexp.reduce(scores))
        total += (terms + entropies) @ r - r @ np.log(np.maximum(r, 1e-300))
    return total


def log_evidence(X, prior):
    """Log marginal probability of complete rows under one component: row after row, Student's t."""
    m, beta, nu, V = prior.centre, prior.strength, prior.degrees, prior.scale
    total, d = 0.0, X.shape[1]
    for x in X:
        freedom = nu - d + 1
        shape = V * (1 + 1 / beta) / freedom
        total += stats.multivariate_t.logpdf(x, m, np.atleast_2d(shape), freedom)
        V = V + beta / (beta + 1) * np.outer(x - m, x - m)
        m = (beta * m + x) / (beta + 1)
        beta, nu = beta + 1, nu + 1
    return total


def log_labels(labels, concentration, K):
    """Log probability of components' labels, the weights integrated out."""
    counts = np.bincount(labels, minlength=K)
    total = gammaln(K * concentration) - gammaln(K * concentration + len(labels))
    return total + (gammaln(concentration + counts) - gammaln(concentration)).sum()
