"""A BLAS cuts its sums by its threads; fits and predictions must not."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import mixmend as mm
from contracts.completers import made_up
from mixmend.kernels.threads import fixed_order
from mixture_cases import options_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def bits(n, d, n_components, covariance_type, n_factors):
    X = made_up(n, d)[1]
    gm = mm.GaussianMixture(
        n_components, **options_of(covariance_type, n_factors), max_iter=2, random_state=3
    ).fit(X)
    chunk = next(gm.iter_complete(X[:40], interval=0.9))
    arrays = {
        "means": gm.means_,
        "covariances": gm.covariances_,
        "history": np.array(gm.history_),
        **dict(zip(("completed", "std"), gm.complete(X, return_std=True), strict=True)),
        "lower": chunk.lower,
        "cells": gm.predictive(X, np.arange(n), np.arange(n) % d).variances,
        "scores": gm.recommend(X, 2).scores,
        "densities": gm.score_samples(X),
        "draws": gm.impute_samples(X[:300], 1),
        "samples": gm.sample(500)[0],
        "streamed": gm.partial_fit(X[:500]).means_,
    }
    return {name: array.tobytes() for name, array in arrays.items()}


@pytest.mark.parametrize(
    ("n", "d", "n_components", "covariance_type", "n_factors"),
    [
        (1500, 60, 12, "spherical", 1),
        (1500, 60, 9, "diag", 1),
        (700, 33, 2, "factor", 5),
        (1500, 60, 1, "factor", 3),
        pytest.param(3001, 100, 3, "full", 1, marks=pytest.mark.slow),
        pytest.param(3001, 100, 2, "tied", 1, marks=pytest.mark.slow),
    ],
)
def test_the_threads_of_the_blas_do_not_change_a_bit(
    n, d, n_components, covariance_type, n_factors
):
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(bits(n, d, n_components, covariance_type, n_factors))
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []


def test_threads_are_given_back_whatever_happens():
    from threadpoolctl import threadpool_info

    def threads():
        return [entry["num_threads"] for entry in threadpool_info() if entry["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        with fixed_order():
            assert set(threads()) == {1}
        with pytest.raises(KeyboardInterrupt), fixed_order():
            raise KeyboardInterrupt
        assert set(threads()) == {2}
