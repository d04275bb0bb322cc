"""The choice of components, covariance type and rank: criteria, tables, what cannot be fitted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import MixmendError
from mixmend.mixtures.selection import select_components

D = 4


def two_groups(kind, n=500, seed=0):
    """Two components that differ in the way that only ``kind`` (or more) can say."""
    rng = np.random.default_rng(seed)
    group = rng.random(n) < 0.5
    noise = rng.normal(size=(n, D))
    columns = np.array([0.5, 1.0, 2.0, 4.0])
    if kind == "diag":
        noise *= np.where(group[:, None], columns, columns[::-1])
    elif kind == "tied":
        noise = noise @ np.array(
            [[1.0, 0.9, 0.0, 0], [0, 0.4, 0, 0.5], [0, 0, 2.0, 1], [0, 0, 0, 1]]
        )
    elif kind == "full":
        one, other = rng.normal(size=(2, D, D))
        noise = np.where(group[:, None], noise @ one, noise @ other)
    elif kind == "factor":
        one, other = rng.normal(size=(2, 1, D)) * 3.0
        z = rng.normal(size=(n, 1))
        noise = 0.5 * noise + np.where(group[:, None], z @ one, z @ other)
    X = noise + np.where(group[:, None], 3.0, -3.0)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


@pytest.mark.parametrize("kind", ["spherical", "diag", "tied", "full", "factor"])
def test_bic_finds_the_type_and_the_number_that_made_the_data(kind):
    types = ["spherical", "diag", "tied", "full", "factor"]
    found = select_components(
        two_groups(kind), [1, 2, 3], covariance_type=types, n_factors=1, n_init=2, random_state=0,
        tol=1e-5,
    )  # fmt: skip
    assert (found.covariance_type, found.n_components) == (kind, 2)
    assert found.best_estimator.covariance_type == kind
    assert found.n_factors == (1 if kind == "factor" else None)
    assert len(found.table) == 3 * len(types)
    bic = min(row["bic"] for row in found.table)
    assert found.best_estimator.bic(two_groups(kind)) == bic


def test_the_rank_is_chosen_with_the_rest():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(600, 2)) @ (2.0 * rng.normal(size=(2, 6))) + rng.normal(size=(600, 6))
    found = select_components(
        X, [1, 2], covariance_type=["factor"], n_factors=[1, 2, 3], n_init=1, random_state=0
    )
    assert (found.n_components, found.n_factors) == (1, 2)
    assert [row["n_factors"] for row in found.table] == [1, 1, 2, 2, 3, 3]


# ------------------------------------------------------------------ criteria


def test_icl_is_bic_and_twice_the_entropy_of_the_responsibilities(rng):
    X = two_groups("diag", 80)
    X[5] = np.nan
    weights = rng.integers(1, 4, len(X)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gm = mm.GaussianMixture(2, "diag", random_state=0).fit(X, sample_weight=weights)
    obs = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    post = gm.predict_proba(X)
    entropy = sum(
        -weights[u] * p * np.log(p)
        for u in range(len(X))
        if u != 5  # it observes nothing, and says nothing of components that overlap
        for p in post[u]
        if p > 0
    )
    assert gm.icl(obs) == pytest.approx(gm.bic(obs) + 2.0 * entropy, rel=1e-12)
    by_entries = gm.bic(obs, sample_size="entries") + 2.0 * entropy
    assert gm.icl(obs, sample_size="entries") == pytest.approx(by_entries, rel=1e-12)
    deviance = -2.0 * weights @ gm.score_samples(X)
    assert gm.bic(obs) == pytest.approx(deviance + (2 * 2 * D + 1) * np.log(weights.sum()))


def test_icl_of_one_component_is_bic():
    X = two_groups("spherical", 60)
    gm = mm.GaussianMixture(1, "full").fit(X)
    assert gm.icl(X) == gm.bic(X)


def test_icl_counts_groups_where_bic_counts_the_normals_of_a_density():
    """One group with heavy tails is two normals at one place to BIC, and one group to ICL."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(800, 2)) * np.where(rng.random((800, 1)) < 0.5, 1.0, 3.0)
    options = {"covariance_type": "full", "n_init": 2, "random_state": 0}
    assert select_components(X, [1, 2, 3], "bic", **options).n_components == 2
    by_icl = select_components(X, [1, 2, 3], "icl", **options)
    assert by_icl.n_components == 1
    assert all(row["icl"] >= row["bic"] for row in by_icl.table)


def planted_units(rng, n=400):
    """Column 0 is large and unpredictable; the small ones hang together by rank one."""
    z = rng.normal(size=(n, 1))
    small = z @ np.array([[1.0, -1.0, 1.0]]) + 0.1 * rng.normal(size=(n, 3))
    X = np.concatenate([1e4 * rng.normal(size=(n, 1)), 1e-3 * small], axis=1)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def test_held_out_errors_of_tables_are_taken_in_the_units_of_the_columns(rng):
    X = planted_units(rng)
    found = select_components(
        X, [1], "heldout", covariance_type=["diag", "full"], n_init=1, random_state=0
    )
    assert found.covariance_type == "full"
    of = {row["covariance_type"]: row for row in found.table}
    assert of["full"]["scaled_rmse"] < 0.9 * of["diag"]["scaled_rmse"]
    # the raw error sees the large column only
    assert of["full"]["rmse"] == pytest.approx(of["diag"]["rmse"], rel=0.02)


@pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning")
def test_one_unit_for_all_columns_is_judged_by_the_plain_error(rng):
    X = planted_units(rng)
    found = select_components(X, [1, 2, 3], "heldout", n_init=1, random_state=0)
    rmse = [row["rmse"] for row in found.table]
    assert rmse[found.n_components - 1] == min(rmse)


# ------------------------------------------------------------------ collapse, order, interruption


@pytest.mark.filterwarnings("ignore")
def test_a_collapsed_candidate_wins_only_where_all_have_collapsed():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(40, 2)), np.full((4, 2), 9.0)])
    found = select_components(X, [1, 2], covariance_type="full", n_init=1, random_state=0)
    collapsed = {row["n_components"]: row["collapsed"] for row in found.table}
    assert collapsed == {1: False, 2: True}
    assert found.table[1]["bic"] < found.table[0]["bic"]
    assert found.n_components == 1
    only = select_components(X, [2], covariance_type="full", n_init=1, random_state=0)
    assert only.n_components == 2
    assert only.table[0]["collapsed"]


def test_of_equals_the_first_tried_is_taken():
    """With one column, a tied and a full component are one model."""
    X = np.random.default_rng(0).normal(size=(50, 1))
    options = {"n_init": 1, "random_state": 0}
    first = select_components(X, [1], covariance_type=["tied", "full"], **options)
    assert first.table[0]["bic"] == first.table[1]["bic"]
    assert first.covariance_type == "tied"
    other = select_components(X, [1], covariance_type=["full", "tied"], **options)
    assert other.covariance_type == "full"


def test_an_interrupted_search_takes_the_best_so_far():
    X = two_groups("full", 200)

    def stop(row):
        if row["covariance_type"] == "full" and row["n_components"] == 2:
            raise KeyboardInterrupt

    found = select_components(
        X, [1, 2], covariance_type=["diag", "full", "tied"], n_init=1, random_state=0,
        on_progress=stop,
    )  # fmt: skip
    assert found.interrupted
    assert len(found.table) == 4
    assert (found.covariance_type, found.n_components) == ("full", 2)
    assert found.best_estimator.means_.shape == (2, D)


# ------------------------------------------------------------------ what cannot be fitted


def refusal(**options):
    tried = []
    with pytest.raises(MixmendError) as caught:
        select_components(
            two_groups("full", 50), [1, 2], n_init=1, on_progress=tried.append, **options
        )
    assert tried == []
    return str(caught.value)


def test_candidates_that_cannot_be_fitted_are_refused_before_any_fit():
    assert refusal(covariance_type=["full", "factor"], n_factors=[1, 4]) == (
        "n_factors=4 must be less than the 4 columns of X (n_features=4); with as many, use "
        "covariance_type='full'."
    )
    assert refusal(covariance_type=["full", "factor"]).startswith(
        "covariance_type='factor' needs n_factors"
    )
    assert refusal(covariance_type=["diag", "full"], n_factors=2) == (
        "n_factors=2 needs 'factor' among the covariance types."
    )
    assert refusal(covariance_type="factor", n_factors=[]) == (
        "n_factors is empty: give at least one rank to try."
    )
    assert refusal(covariance_type=[]) == (
        "covariance_type is empty: give at least one type to try."
    )
    assert refusal(covariance_type=["full", "round"]) == (
        "covariance_type must be one of 'spherical', 'diag', 'tied', 'full', 'factor'; got 'round'."
    )
    assert refusal(criterion="aic") == (
        "criterion must be one of 'bic', 'icl', 'heldout'; got 'aic'."
    )
    assert refusal(covariance_type=["spherical", "full"], centers=["none", "rows"]).startswith(
        "center='rows' needs covariance_type='spherical'"
    )
    assert refusal(covariance_type=["diag", "full"], prior=mm.DiagonalPrior()).startswith(
        "prior must be None, 'default' or a NormalInverseWishart with covariance_type='full'"
    )
