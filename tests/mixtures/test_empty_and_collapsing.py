"""Components without rows, or on a single point: never NaN, always a word, and drawn anew."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixmend as mm
from mixmend.em.restarts import Restarts
from mixmend.errors import CollapsedComponentWarning, LikelihoodDecreasedWarning
from mixmend.mixtures import fitting

TYPES = ["spherical", "diag", "tied", "full", "factor"]
D = 4

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::mixmend.errors.{name}")
    for name in ("EmptyEntityWarning", "IndependenceWarning")
] + [pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]


def mixture(kind, n_components=3, **options):
    if kind == "factor":
        options |= {"n_factors": 2}
    return mm.GaussianMixture(n_components, kind, **({"random_state": 0} | options))


def holed(X, rng):
    return np.where(rng.random(X.shape) < 0.2, np.nan, X)


def fitted(model, X, **fit_options):
    """The model, finite throughout, and the texts of its warnings of collapse."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, **fit_options)
    fell = [w for w in caught if w.category is LikelihoodDecreasedWarning]
    # factors through points leave systems of rows with a condition of 1e8 and more, whose
    # rounding is not told from a fault (which would end at such points, too)
    assert not fell or (model.covariance_type == "factor" and model.collapsed_)
    for value in model.parameters_:
        if isinstance(value, np.ndarray):
            assert np.all(np.isfinite(value))
    assert np.isfinite(model.log_likelihood_)
    assert np.all(np.isfinite(model.complete(X)))
    assert np.all(np.isfinite(model.score_samples(X)))
    return [str(w.message) for w in caught if w.category is CollapsedComponentWarning]


# ------------------------------------------------------------------ noticed and reported


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("n_distinct", [1, 3])
@pytest.mark.parametrize("kind", TYPES)
def test_more_components_than_distinct_rows(kind, n_distinct, accelerate, rng):
    X = np.repeat(rng.normal(size=(n_distinct, D)), 10, axis=0)
    model = mixture(kind, 5, accelerate=accelerate)
    messages = fitted(model, X)
    assert any("has lost its rows" in m or "collapsed onto single points" in m for m in messages)
    assert model.weights_.sum() == pytest.approx(1.0)
    if n_distinct == 3:
        assert model.collapsed_
        assert sum(weight > 0.01 for weight in model.weights_) >= 3


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_rows_that_are_there_many_times(kind, holes, rng):
    X = np.concatenate([rng.normal(size=(60, D)), np.full((20, D), 3.0)])
    X = holed(X, rng) if holes else X
    model = mixture(kind)
    messages = fitted(model, X)
    if kind == "tied":  # the covariance that all share cannot fall onto one component's points
        assert not model.collapsed_
        assert messages == []
    else:
        assert model.collapsed_
        assert messages == [
            "A component has collapsed onto single points (its variance is next to nothing). "
            "Set min_variance, give a prior, or ask for fewer components."
        ]


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("start", ["far", "no weight"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_start_that_gives_a_component_no_row(kind, start, holes, rng):
    X = rng.normal(size=(80, D))
    X = holed(X, rng) if holes else X
    means = np.eye(3, D)
    weights = np.array([0.5, 0.5, 0.0]) if start == "no weight" else None
    if start == "far":
        means[2] = 1e4
    model = mixture(kind, means_init=means, weights_init=weights)
    messages = fitted(model, X)
    assert len(messages) == 1
    assert messages[0].startswith("Component 2 has lost its rows (weight ")
    assert messages[0].endswith("Ask for fewer components, or try other starts (n_init).")
    np.testing.assert_array_equal(model.means_[2], means[2])


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_reports_a_component_without_rows(kind, rng):
    means = np.eye(3, D)
    means[2] = 1e4
    model = mixture(kind, means_init=means)
    with pytest.warns(CollapsedComponentWarning, match="Component 2 has lost its rows"):
        model.partial_fit(rng.normal(size=(200, D)))
    with pytest.warns(CollapsedComponentWarning, match="Component 2 has lost its rows"):
        model.partial_fit(holed(rng.normal(size=(200, D)), rng))
    assert np.all(np.isfinite(model.covariances_))


# ------------------------------------------------------------------ drawn anew


def test_a_single_start_that_collapses_is_drawn_anew(monkeypatch):
    """Few rows: some draws end with four of them in a plane, others do not."""
    X = np.random.default_rng(4).normal(size=(60, 3))
    mended = kept = 0
    for seed in range(12):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            redrawn = mm.GaussianMixture(4, "full", random_state=seed).fit(X)
            with monkeypatch.context() as patch:
                patch.setattr(fitting, "_REDRAWS", 0)
                plain = mm.GaussianMixture(4, "full", random_state=seed).fit(X)
        assert len(plain.histories_) == 1
        if plain.collapsed_:
            assert len(redrawn.histories_) in (2, 3)
            mended += not redrawn.collapsed_
        else:
            assert len(redrawn.histories_) == 1
            np.testing.assert_array_equal(redrawn.means_, plain.means_)
            kept += 1
    assert mended > 0
    assert kept > 0


@pytest.mark.filterwarnings("ignore::mixmend.errors.CollapsedComponentWarning")
def test_starts_are_drawn_anew_twice_at_most_and_never_where_more_were_asked_for():
    X = np.repeat(np.random.default_rng(0).normal(size=(3, D)), 10, axis=0)
    assert len(mixture("full", 3).fit(X).histories_) == 3
    assert len(mixture("full", 3, n_init=2).fit(X).histories_) == 2
    assert len(mixture("full", 3, means_init=X[[0, 10, 20]]).fit(X).histories_) == 1


@pytest.mark.filterwarnings("ignore::mixmend.errors.CollapsedComponentWarning")
def test_ctrl_c_ends_the_drawing(monkeypatch):
    X = np.repeat(np.random.default_rng(0).normal(size=(3, D)), 10, axis=0)
    whole = fitting.run_restarts

    def interrupted(*given, **named):
        found = whole(*given, **named)
        return Restarts(found.best, found.runs, interrupted=True)

    monkeypatch.setattr(fitting, "run_restarts", interrupted)
    model = mixture("full", 3).fit(X)
    assert model.interrupted_
    assert len(model.histories_) == 1


# ------------------------------------------------------------------ weights of rows, warm starts


def table(rng, n=150):
    X = rng.normal(size=(n, D)) @ (np.eye(D) + 0.3 * rng.normal(size=(D, D)))
    X[: n // 2] += 3.0
    return holed(X, rng)


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_of_weight_two_counts_as_two_rows(kind, rng):
    X = table(rng)
    weights = np.where(np.arange(len(X)) % 3 == 0, 2.0, 1.0)
    weights[::7] = 0.0
    repeated = np.repeat(X, weights.astype(int), axis=0)
    options = {"means_init": np.stack([np.full(D, 3.0), np.zeros(D)]), "tol": 1e-10}
    options["covariances_init"] = {
        "spherical": np.ones(2), "diag": np.ones((2, D)), "tied": np.eye(D)
    }.get(kind, np.repeat(np.eye(D)[None], 2, axis=0))  # fmt: skip
    one = mixture(kind, 2, max_iter=60, **options).fit(X, sample_weight=weights)
    two = mixture(kind, 2, max_iter=60, **options).fit(repeated)
    np.testing.assert_allclose(one.history_, two.history_, rtol=1e-9)
    np.testing.assert_allclose(one.covariances_, two.covariances_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(one.means_, two.means_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", TYPES)
def test_a_warm_start_goes_on_to_the_same_optimum(kind, rng):
    X = table(rng)
    options = {"tol": 1e-9, "max_iter": 1500}
    straight = mixture(kind, 2, **options).fit(X)
    broken = mixture(kind, 2, tol=0, max_iter=7, warm_start=True).fit(X)
    seven = list(broken.history_)
    broken.set_params(**options).fit(X)
    assert broken.history_[0] == pytest.approx(seven[-1], rel=1e-12)
    np.testing.assert_array_equal(straight.history_[:8], seven)
    assert broken.log_likelihood_ == pytest.approx(straight.log_likelihood_, rel=1e-6)
    np.testing.assert_allclose(broken.covariances_, straight.covariances_, rtol=0.02, atol=0.02)
