"""Linear autoencoders: principal components, closed forms, and hidden cells."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA, TruncatedSVD

import mixmend as mm
from mixmend.errors import DataError, EmptyEntityWarning, MixmendError
from mixmend.factors import subspace
from mixmend.factors.subspace import Subspace, hidden_codes


def table(seed=0, n=70, d=15, share=0.0, noise=0.3, rank=3):
    rng = np.random.default_rng(seed)
    X = (
        2
        + rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
        + noise * rng.normal(size=(n, d))
    )
    X[rng.random((n, d)) < share] = np.nan
    return X


@pytest.mark.parametrize("cells", [0, 10**6])
def test_without_holes_it_is_principal_component_analysis(cells, monkeypatch):
    monkeypatch.setattr(subspace, "_DENSE_CELLS", cells)
    X = table()
    model, peer = mm.LinearAutoencoder(4).fit(X), PCA(4, svd_solver="full").fit(X)
    assert model.n_iter_ == 1
    projection = model.components_.T @ model.components_
    assert np.abs(projection - peer.components_.T @ peer.components_).max() < 1e-8
    output = model.transform(X) @ model.components_ + model.mean_
    assert np.abs(output - peer.inverse_transform(peer.transform(X))).max() < 1e-8
    assert (
        np.abs(output - (X - model.mean_) @ model.encoder_ @ model.components_ - model.mean_).max()
        < 1e-8
    )
    assert np.allclose(model.singular_values_, peer.singular_values_, rtol=1e-10)
    assert model.history_[0]["objective"] == pytest.approx(((X - output) ** 2).sum(), rel=1e-9)


def test_uncentred_it_is_the_truncated_decomposition():
    X = table(1)
    model = mm.LinearAutoencoder(3, center="none").fit(X)
    peer = TruncatedSVD(3, algorithm="arpack", random_state=0).fit(X)
    output = model.transform(X) @ model.components_
    assert np.abs(output - peer.inverse_transform(peer.transform(X))).max() < 1e-8
    assert not model.mean_.any()


def test_regularised_it_is_reduced_rank_ridge_regression_of_the_data_on_themselves():
    X, strength = table(2), 40.0
    model = mm.LinearAutoencoder(4, regularization=strength).fit(X)
    Y = X - X.mean(axis=0)
    # least squares on rows beneath which sqrt(lambda) I stands, cut to rank 4
    full = np.linalg.solve(Y.T @ Y + strength * np.eye(15), Y.T @ Y)
    stacked = np.vstack([Y, np.sqrt(strength) * np.eye(15)]) @ full
    V = np.linalg.svd(stacked)[2][:4].T
    assert np.abs(model.encoder_ @ model.components_ - full @ V @ V.T).max() < 1e-8
    B = full @ V @ V.T
    objective = ((Y - Y @ B) ** 2).sum() + strength * (B**2).sum()
    assert model.history_[0]["objective"] == pytest.approx(objective, rel=1e-9)
    assert np.abs(model.transform(X) - Y @ model.encoder_).max() < 1e-8


def objective(X, filled, model, strength):
    Y = filled - model.mean_
    B = model.encoder_ @ model.components_
    return ((Y - Y @ B) ** 2).sum() + strength * (B**2).sum()


@pytest.mark.parametrize("strength", [0.0, 5.0])
def test_hidden_cells_are_the_best_for_the_encoder_and_decoder(strength):
    X = table(3, share=0.4)
    model = mm.LinearAutoencoder(2, regularization=strength, tol=1e-10, max_iter=3000).fit(X)
    obs = mm.ObservedMatrix.from_dense(X)
    z = hidden_codes(obs, model._subspace)
    filled = np.where(np.isnan(X), model.mean_ + z @ model.components_, X)
    least = objective(X, filled, model, strength)
    assert least == pytest.approx(model.history_[-1]["objective"], rel=1e-6)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-2):
        moved = np.where(np.isnan(X), filled + size * rng.normal(size=X.shape), X)
        assert objective(X, moved, model, strength) > least
    codes = (filled - model.mean_) @ model.encoder_
    assert np.allclose(model.transform(X), codes, rtol=0, atol=1e-8)
    rows, columns = np.nonzero(np.isnan(X))
    outputs = (model.mean_ + codes @ model.components_)[rows, columns]
    assert np.allclose(model.predict_entries(X, rows, columns), outputs, rtol=0, atol=1e-8)
    if strength == 0.0:
        assert least == pytest.approx(np.nansum((X - model.mean_ - z @ model.components_) ** 2))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share=st.floats(0.0, 0.8),
    rank=st.integers(1, 4),
    strength=st.sampled_from([0.0, 0.1, 10.0]),
    weighted=st.booleans(),
    center=st.sampled_from(["columns", "none"]),
)
def test_the_objective_never_rises(seed, share, rank, strength, weighted, center):
    X = table(seed, n=14, d=9, share=share)
    X[0, 0] = 1.0
    weights = np.random.default_rng(seed).uniform(0.2, 3, 14) if weighted else None
    model = mm.LinearAutoencoder(
        rank, regularization=strength, center=center, max_iter=15, tol=0, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyEntityWarning)
        model.fit(X, sample_weight=weights)
    objectives = np.array([row["objective"] for row in model.history_])
    scale = np.nansum((weights[:, None] if weighted else 1.0) * X**2)
    assert np.all(np.diff(objectives) <= 1e-8 * (scale + 1))


def test_weights_count_as_repeated_rows():
    X, counts = table(4, n=20, share=0.2), np.random.default_rng(0).integers(1, 4, 20)
    options = {"regularization": 3.0, "max_iter": 30, "tol": 0}
    a = mm.LinearAutoencoder(2, **options).fit(X, sample_weight=counts)
    b = mm.LinearAutoencoder(2, **options).fit(np.repeat(X, counts, axis=0))
    assert np.allclose(a.encoder_ @ a.components_, b.encoder_ @ b.components_, atol=1e-8)
    assert np.allclose(a.mean_, b.mean_, atol=1e-8)
    assert a.noise_variance_ == pytest.approx(b.noise_variance_, rel=1e-6)


def test_holes_of_a_low_rank_matrix_are_found_again():
    truth = table(5, noise=0.0)
    X = truth.copy()
    X[np.random.default_rng(1).random(X.shape) < 0.3] = np.nan
    model = mm.LinearAutoencoder(3, max_iter=3000, tol=1e-12).fit(X)
    assert np.abs(model.complete(X) - truth).max() < 1e-3
    assert model.converged_


def test_large_and_small_decompositions_agree(monkeypatch):
    X = table(6, share=0.3)
    options = {"regularization": 5.0, "max_iter": 20, "tol": 0}
    small = mm.LinearAutoencoder(3, **options).fit(X)
    monkeypatch.setattr(subspace, "_DENSE_CELLS", 0)
    large = mm.LinearAutoencoder(3, random_state=0, **options).fit(X)
    assert np.allclose(small.encoder_, large.encoder_, rtol=0, atol=1e-7)


def test_the_noise_is_about_that_of_the_cells():
    X = table(7, n=500, d=30, share=0.3, noise=0.5)
    model = mm.LinearAutoencoder(3, max_iter=500).fit(X)
    assert model.noise_variance_ == pytest.approx(0.25, rel=0.1)


def test_a_direction_without_gain_codes_nothing():
    empty = Subspace(np.eye(4)[:, :2], np.array([2.0, 0.0]), np.zeros(4), 1.0)
    assert empty.gains.tolist() == [0.8, 0.0]
    codes = empty.codes(hidden_codes(mm.ObservedMatrix.from_dense(np.ones((1, 4))), empty))
    assert codes[0] == pytest.approx([0.8, 0.0], abs=1e-9)


def test_steps_that_run_out_are_said():
    with pytest.warns(
        match=r"^The fit did not converge in 2 steps\. Raise max_iter, tol or regularization\.$"
    ):
        mm.LinearAutoencoder(2, max_iter=2, tol=1e-12).fit(table(8, share=0.5))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_components": 0}, "n_components must be a whole number of at least 1; got 0."),
        ({"center": "row"}, "center must be one of 'columns', 'none'; got 'row'."),
        (
            {"regularization": -1.0},
            "regularization must be a finite number that is not negative; got -1.0.",
        ),
        ({"max_iter": 0}, "max_iter must be a whole number of at least 1; got 0."),
        (
            {"n_components": 16},
            "n_components=16 is more than the 70 × 15 matrix can tell apart. Ask for at most 15.",
        ),
    ],
)
def test_bad_options_are_named(options, text):
    with pytest.raises(MixmendError) as failure:
        mm.LinearAutoencoder(**({"n_components": 2} | options)).fit(table())
    assert str(failure.value) == text


def test_data_that_cannot_be_fitted():
    model = mm.LinearAutoencoder(2)
    with pytest.raises(DataError, match=r"^X has no observed cell: there is nothing to fit\.$"):
        model.fit(np.full((4, 3), np.nan))
    with pytest.raises(DataError, match=r"^All row weights are zero where a cell is observed: n"):
        model.fit(np.ones((4, 3)), sample_weight=np.zeros(4))
