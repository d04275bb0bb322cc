"""GaussianMixture(inference="variational"): pruning, rising bounds, files, options."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import mixmend as mm
from full_oracle import with_holes
from mixmend.errors import EmptyEntityWarning, LikelihoodDecreasedWarning, MixmendError
from mixmend.mixtures import pruning

pytestmark = pytest.mark.filterwarnings("error::mixmend.errors.LikelihoodDecreasedWarning")

TYPES = ("spherical", "diag", "tied", "full")
EACH_TYPE = pytest.mark.parametrize("kind", TYPES)
CORNERS = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [6.0, 6.0]])


def four_clusters(seed, n=400, holes=0.0, stretched=False):
    """Rows around the corners of a square; stretched, each with a covariance of its own."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(4, size=n)
    noise = rng.normal(size=(n, 2))
    if stretched:
        shapes = 0.8 * np.eye(2) + 0.3 * rng.normal(size=(4, 2, 2))
        noise = np.einsum("uij,uj->ui", shapes[owner], noise)
    return with_holes(rng, CORNERS[owner] + noise, holes), owner


def variational(n_components, kind="full", **options):
    return mm.GaussianMixture(
        n_components, kind, inference="variational", **{"random_state": 0, **options}
    )


# ------------------------------------------------------------------ pruning


@EACH_TYPE
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_twenty_offered_components_come_down_to_four(kind, holes):
    X, owner = four_clusters(1, holes=holes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyEntityWarning)
        model = variational(20, kind).fit(X)
    assert model.n_components_ == len(model.weights_) == len(model.means_) == 4
    np.testing.assert_allclose(
        np.sort(model.weights_), np.sort(np.bincount(owner) / 400), atol=0.04
    )
    nearest = np.linalg.norm(model.means_[:, None] - CORNERS, axis=2).argmin(axis=0)
    np.testing.assert_allclose(model.means_[nearest], CORNERS, atol=0.5)
    assert model.converged_
    assert (np.diff(model.history_) > -1e-9 * abs(model.objective_)).all()


@pytest.mark.slow
@EACH_TYPE
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_in_at_least_nineteen_of_twenty_seeds(kind, holes):
    found = []
    for seed in range(20):
        X, _ = four_clusters(seed, holes=holes, stretched=kind == "full")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EmptyEntityWarning)
            found.append(variational(20, kind, random_state=seed).fit(X).n_components_)
    assert sum(count == 4 for count in found) >= 19


def test_without_moves_clusters_stay_split(monkeypatch):
    """What the moves are for: steps alone keep more components than there are clusters."""
    X, _ = four_clusters(1)
    monkeypatch.setattr(pruning, "_MOST_MERGES", 0)
    monkeypatch.setattr(pruning, "_moves", lambda *_: iter(()))
    split = variational(20).fit(X)
    assert split.n_components_ == 20
    counts = split.weight_concentration_ - 1 / 20
    assert (counts > 1).sum() > 4
    monkeypatch.undo()
    assert variational(20).fit(X).objective_ > split.objective_ + 1


@EACH_TYPE
def test_a_single_cluster_keeps_one_component(kind):
    X = np.random.default_rng(3).normal(size=(150, 3))
    model = variational(8, kind, accelerate=True).fit(X)
    assert model.n_components_ == 1
    assert variational(1, kind).fit(X).n_components_ == 1


@pytest.mark.parametrize("concentration", [1e-3, 1.0])
def test_the_concentration_decides_what_small_components_cost(concentration):
    """A cluster of five rows: as cheap as the prior of the weights makes it."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (300, 2)), rng.normal(4.2, 0.8, (4, 2))])
    prior = mm.NormalInverseWishart(mean_strength=0.5, weight_concentration=concentration)
    model = variational(3, prior=prior).fit(X)
    assert model.weight_concentration_.sum() == pytest.approx(
        304 + model.n_components_ * concentration
    )


def test_moves_are_bounded_by_max_iter():
    X, _ = four_clusters(2)
    for most in (0, 1, 7, 23, 60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = variational(12, max_iter=most, tol=0).fit(X)
        assert model.n_iter_ == most
        assert len(model.history_) == most + 1


def test_every_run_of_several_starts_is_pruned_and_the_best_kept():
    X, _ = four_clusters(4)
    model = variational(10, n_init=3, screen=5).fit(X)
    assert len(model.histories_) == 3
    assert model.objective_ == max(history[-1] for history in model.histories_)
    assert model.n_components_ == 4


# ------------------------------------------------------------------ bounds that rise


@settings(max_examples=20)
@given(
    st.sampled_from(TYPES),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    st.sampled_from([np.float64, np.float32]),
    st.booleans(),
)
def test_no_step_and_no_move_lowers_the_bound(kind, seed, missing, dtype, accelerate):
    rng = np.random.default_rng(seed)
    shape = rng.integers(6, 30), rng.choice([1, 4])  # few shapes: each compiles its kernels
    X = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4) + rng.choice([0.0, 1e3])
    X[: shape[0] // 2] *= rng.choice([1.0, 3.0])
    X = with_holes(rng, X.astype(dtype), missing)
    X[0, 0] = 1.0
    weights = rng.gamma(1.0, 1.0, len(X)) if rng.random() < 0.3 else None
    center = rng.choice(["none", "rows", "biases"]) if kind == "spherical" else "none"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", LikelihoodDecreasedWarning)
        model = variational(
            int(rng.integers(1, 5)), kind, center=str(center), accelerate=accelerate,
            max_iter=40, tol=0, init_params=str(rng.choice(["random", "k-means++"])),
        ).fit(X, sample_weight=weights)  # fmt: skip
    history = np.array(model.history_)
    assert np.isfinite(history).all()
    assert np.isfinite(model.complete(X)).all()
    assert 1 <= model.n_components_ <= 4


@EACH_TYPE
def test_weights_count_as_repeated_rows(kind):
    X, _ = four_clusters(5, n=60, holes=0.2)
    X[np.isnan(X).all(axis=1), 0] = 0.0
    weights = np.random.default_rng(1).integers(0, 4, 60)
    options = {"means_init": CORNERS, "tol": 0, "max_iter": 15}
    one = variational(4, kind, **options).fit(X, sample_weight=weights)
    two = variational(4, kind, **options).fit(np.repeat(X, weights, axis=0))
    assert one.n_components_ == two.n_components_
    np.testing.assert_allclose(one.history_, two.history_, rtol=1e-7)
    np.testing.assert_allclose(one.means_, two.means_, rtol=1e-6, atol=1e-8)


@EACH_TYPE
def test_rows_without_any_cell_teach_nothing(kind):
    X, _ = four_clusters(6, n=80, holes=0.1)
    X[np.isnan(X).all(axis=1), 0] = 0.0
    padded = np.vstack([X, np.full((30, 2), np.nan)])
    options = {"means_init": CORNERS, "tol": 0, "max_iter": 12}
    plain = variational(4, kind, **options).fit(X)
    with pytest.warns(EmptyEntityWarning, match="^30 rows have nothing observed"):
        more = variational(4, kind, **options).fit(padded)
    np.testing.assert_allclose(plain.history_, more.history_, rtol=1e-8)
    np.testing.assert_allclose(plain.weight_concentration_, more.weight_concentration_, rtol=1e-6)


# ------------------------------------------------------------------ what is predicted


def test_predictions_have_the_moments_of_students_t():
    X = np.random.default_rng(0).normal(size=(12, 2))
    model = variational(1).fit(X)
    nu, beta = model.degrees_of_freedom_[0], model.mean_precision_[0]
    scale = model.covariances_[0] * nu
    expected = scale * (1 + 1 / beta) / (nu - 3)
    np.testing.assert_allclose(model.distribution().covariances[0], expected, rtol=1e-12)
    _, std = model.complete([[np.nan, np.nan]], return_std=True)
    np.testing.assert_allclose(std[0], np.sqrt(np.diag(expected)), rtol=1e-12)
    assert (expected.diagonal() > model.covariances_[0].diagonal()).all()


@EACH_TYPE
def test_intervals_of_small_tables_cover_what_they_say(kind):
    """Deviations that knew nothing of the doubt about the parameters would be too small."""
    covered = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(9, 2))
        model = variational(1, kind).fit(rows[:8])
        mean, std = model.complete([[np.nan, np.nan]], return_std=True)
        covered.append(np.abs(rows[8] - mean[0]) < 1.645 * std[0])
    assert 0.85 < np.mean(covered) < 0.97


# ------------------------------------------------------------------ starts, files, options


@EACH_TYPE
def test_a_warm_start_goes_on_from_the_components_that_are_left(kind):
    X, _ = four_clusters(7)
    model = variational(12, kind, warm_start=True).fit(X)
    before = model.objective_
    model.fit(X)
    assert model.n_components_ == 4
    assert model.history_[0] == pytest.approx(before, rel=1e-9)
    assert model.n_iter_ <= 3
    # and EM goes on from what was predicted, if it is asked for as many
    model.set_params(inference="em", prior=None, n_components=4).fit(X)
    assert not hasattr(model.parameters_, "weight_concentration")
    model.set_params(inference="variational").fit(X)
    anew = variational(4, kind, means_init=CORNERS).fit(X)
    assert model.objective_ == pytest.approx(anew.objective_, rel=1e-4)


@EACH_TYPE
def test_saved_models_come_back_to_the_bit(kind, tmp_path):
    X, _ = four_clusters(8, holes=0.2, n=120)
    X[np.isnan(X).all(axis=1), 0] = 0.0
    model = variational(6, kind).fit(X)
    mm.save(model, tmp_path / "model.mixmend")
    again = mm.load(tmp_path / "model.mixmend")
    assert again.inference == "variational"
    for name, value in model.parameters_._asdict().items():
        np.testing.assert_array_equal(getattr(again.parameters_, name), value)
    assert again.objective_ == model.objective_
    assert again.n_components_ == model.n_components_
    np.testing.assert_array_equal(again.complete(X), model.complete(X))
    np.testing.assert_array_equal(again.covariances_, model.covariances_)


def test_fewer_components_than_offered_may_be_given_as_a_start_only_by_warm_start():
    X, _ = four_clusters(9)
    model = variational(4, means_init=CORNERS, warm_start=True).fit(X)
    with pytest.raises(MixmendError) as error:
        model.set_params(n_components=3).fit(X)
    assert str(error.value) == (
        "warm_start goes on from the 4 components of the last fit, but n_components is 3. Set "
        "warm_start=False to begin anew."
    )


@EACH_TYPE
def test_no_prior_is_the_default_one(kind):
    X, _ = four_clusters(10, n=100)
    models = [clone(variational(5, kind, prior=prior)).fit(X) for prior in (None, "default")]
    assert models[0].history_ == models[1].history_


@EACH_TYPE
def test_spherical_types_and_others_agree_on_the_names_of_what_they_show(kind):
    model = variational(3, kind).fit(four_clusters(11, n=60)[0])
    shown = {"weight_concentration_", "degrees_of_freedom_"}
    shown |= {"mean_variances_"} if kind == "spherical" else {"mean_precision_"}
    for name in shown:
        assert np.shape(getattr(model, name)) is not None
    assert (
        model.covariances_.shape
        == {
            "spherical": (model.n_components_,),
            "diag": (model.n_components_, 2),
            "tied": (2, 2),
            "full": (model.n_components_, 2, 2),
        }[kind]
    )


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (
            "full",
            {"inference": "bayes"},
            "inference must be one of 'em', 'variational'; got 'bayes'.",
        ),
        (
            "factor",
            {"n_factors": 1},
            "inference='variational' knows the covariance types 'spherical', 'diag', 'tied' and "
            "'full', not 'factor'. Choose one of them, or inference='em' with a prior.",
        ),
        (
            "diag",
            {"min_variance": 0.1},
            "min_variance=0.1 has no meaning where inference='variational': priors hold what it "
            "would. Set it to 0.",
        ),
        (
            "spherical",
            {"min_support": 2.0},
            "min_support=2.0 has no meaning where inference='variational': priors hold what it "
            "would. Set it to 0.",
        ),
        (
            "full",
            {"fixed_components": [0], "means_init": [[0.0, 0.0]]},
            "fixed_components are values, but inference='variational' finds distributions. "
            "Leave one of them out.",
        ),
        (
            "full",
            {"prior": mm.NormalInverseWishart(mean_strength=0.0)},
            "inference='variational' needs a NormalInverseWishart that is a distribution: "
            "mean_strength must be positive; got 0.0.",
        ),
        (
            "diag",
            {"prior": mm.DiagonalPrior(variance_shape=0.0)},
            "inference='variational' needs a DiagonalPrior that is a distribution: "
            "variance_shape must be positive; got 0.0.",
        ),
        (
            "spherical",
            {"prior": mm.SphericalPrior()},
            "inference='variational' needs a SphericalPrior that is a distribution: "
            "variance_shape must be positive; got 0.0.",
        ),
        (
            "spherical",
            {"prior": mm.SphericalPrior(None, 1.0, "columns")},
            "inference='variational' needs a SphericalPrior that is a distribution: "
            "mean_variance must be positive; got None.",
        ),
        (
            "spherical",
            {"prior": mm.DiagonalPrior()},
            "prior must be None, 'default' or a SphericalPrior; got DiagonalPrior("
            "mean_strength=0.01, variance_shape=1.5, variance_scale='columns', "
            "weight_concentration=None).",
        ),
    ],
)
def test_options_that_do_not_go_together(kind, options, text):
    X, _ = four_clusters(0, n=30)
    model = mm.GaussianMixture(1, kind, **{"inference": "variational", **options})
    with pytest.raises(MixmendError) as error:
        model.fit(X)
    assert str(error.value) == text


def test_minibatches_are_refused():
    X, _ = four_clusters(0, n=60)
    text = (
        "partial_fit is stepwise EM: it takes inference='em', and goes on from nothing else. "
        "Fit variationally to all rows at once."
    )
    model = variational(2)
    with pytest.raises(MixmendError) as error:
        model.partial_fit(X)
    assert str(error.value) == text
    model.fit(X).set_params(inference="em", n_components=model.n_components_)
    with pytest.raises(MixmendError) as error:
        model.partial_fit(X)
    assert str(error.value) == text
