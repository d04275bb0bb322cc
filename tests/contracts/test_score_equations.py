"""Where EM ends, the likelihood of the observed cells is flat: finite differences say so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import mixmend as mm
from mixture_cases import TYPES, known, options_of, with_holes


def log_likelihood(X, weights, means, covariances):
    """Written down by patterns of observed columns, with nothing of the library's."""
    patterns, which = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    total = 0.0
    for p, seen in enumerate(patterns):
        rows = X[which.ravel() == p][:, seen]
        joint = [
            np.log(w)
            + multivariate_normal.logpdf(rows, m[seen], c[np.ix_(seen, seen)]).reshape(len(rows))
            for w, m, c in zip(weights, means, covariances, strict=True)
        ]
        total += logsumexp(joint, axis=0).sum()
    return total


def unfolded(gm):
    """Free parameters as one vector, and the way back to weights, means and matrices."""
    K, d = gm.means_.shape
    logits = np.log(gm.weights_[1:] / gm.weights_[0])
    parts = [logits, gm.means_.ravel()]
    kind = gm.covariance_type
    if kind == "factor":
        parts += [gm.loadings_.ravel(), np.log(gm.noise_).ravel()]
    elif kind in ("spherical", "diag"):
        parts += [np.log(gm.covariances_).ravel()]
    else:
        lower = np.tril_indices(d)
        parts += [np.stack(np.atleast_3d(gm.covariances_.reshape(-1, d, d)))[:, *lower].ravel()]
    cuts = np.cumsum([len(p) for p in parts])[:-1]

    def folded(vector):
        logit, means, *rest = np.split(vector, cuts)
        weights = np.exp(np.r_[0.0, logit] - logsumexp(np.r_[0.0, logit]))
        if kind == "factor":
            w, noise = rest[0].reshape(K, d, -1), np.exp(rest[1]).reshape(K, d)
            matrices = w @ np.swapaxes(w, 1, 2) + noise[:, :, None] * np.eye(d)
        elif kind in ("spherical", "diag"):
            matrices = np.exp(rest[0]).reshape(K, -1)[:, :, None] * np.eye(d)
        else:
            found = rest[0].reshape(-1, d * (d + 1) // 2)
            matrices = np.zeros((len(found), d, d))
            matrices[:, *lower] = found
            matrices = matrices + np.swapaxes(np.tril(matrices, -1), 1, 2)
            matrices = np.broadcast_to(matrices, (K, d, d))
        return weights, means.reshape(K, d), matrices

    return np.concatenate(parts), folded


def slopes(gm, X):
    at, folded = unfolded(gm)
    step = 1e-4

    def value(j, by):
        return log_likelihood(X, *folded(at + by * step * np.eye(len(at))[j]))

    # fourth order, so that what is left is rounding
    return np.array(
        [
            (8 * (value(j, 1) - value(j, -1)) - (value(j, 2) - value(j, -2))) / (12 * step)
            for j in range(len(at))
        ]
    )


def fitted(covariance_type, n_components, missing):
    # three columns make any one factor fit, some with a noise of 0: no inner optimum
    n, d = (300, 5) if covariance_type == "factor" else (120, 3)
    X = with_holes(known(covariance_type, n_components, d, 3.0, 5).sample(n)[0], missing)
    gm = mm.GaussianMixture(
        n_components, **options_of(covariance_type), tol=1e-16, max_iter=600, accelerate=True,
        random_state=0,
    )  # fmt: skip
    return gm.fit(X), X


@pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("n_components", [1, 2])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_likelihood_is_flat_in_every_parameter(covariance_type, n_components, missing):
    gm, X = fitted(covariance_type, n_components, missing)
    at, folded = unfolded(gm)
    assert log_likelihood(X, *folded(at)) == pytest.approx(gm.log_likelihood_, rel=1e-11)
    assert np.abs(slopes(gm, X)).max() < 1e-5 * len(X)
    assert not gm.collapsed_


def test_a_parameter_out_of_place_is_seen():
    gm, X = fitted("full", 1, 0.3)
    for j in range(9):
        moved = mm.GaussianMixture(
            1, "full", means_init=gm.means_ + 1e-3 * np.eye(3)[j % 3], max_iter=0,
            covariances_init=gm.covariances_ + (j > 2) * 1e-3 * np.eye(3),
        ).fit(X)  # fmt: skip
        assert np.abs(slopes(moved, X)).max() > 1e-2
