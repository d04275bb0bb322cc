"""The prior makes more components help, on entries that the fits have not seen."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from contracts.completers import made_up
from mixmend.completion import predictive
from mixmend.datasets import make_ratings

pytestmark = [
    pytest.mark.filterwarnings("ignore::mixmend.errors.CollapsedComponentWarning"),
    pytest.mark.filterwarnings("error::mixmend.errors.LikelihoodDecreasedWarning"),
]


@pytest.fixture(scope="module")
def planted():
    """Four kinds of people, few of each kind behind any film."""
    options = {"density": 0.15, "n_components": 4, "component_effect": 0.6, "levels": None}
    return make_ratings(300, 500, random_state=3, return_truth=True, **options)


@pytest.fixture(scope="module")
def thin(planted):
    """Training and held-out entries; single precision."""
    return mm.split_entries(
        planted[0], 0.2, random_state=0, min_train_per_row=1, min_train_per_column=1
    )


def error(model, train, test):
    rows, columns, values = test.entries()
    return float(np.sqrt(np.mean((model.predict_entries(train, rows, columns) - values) ** 2)))


@pytest.fixture(scope="module")
def fitted(thin):
    """Fits to the training entries, each made once."""
    fits = {}

    def fit(K, **options):
        key = (K, *sorted(options.items()))
        if key not in fits:
            options = {"n_init": 2, "random_state": 0, "max_iter": 100, "tol": 1e-5} | options
            fits[key] = mm.GaussianMixture(K, **options).fit(thin[0])
        return fits[key]

    return fit


@pytest.mark.parametrize("center", ["none", "columns", "rows", "biases"])
@pytest.mark.parametrize("K", [2, 4, 8])
def test_the_prior_lowers_the_error(thin, fitted, K, center):
    plain, prior = (error(fitted(K, center=center, prior=p), *thin) for p in (None, "default"))
    assert prior < plain - 0.002


def test_more_components_help(thin, fitted):
    one, two, four, eight = (
        error(fitted(K, center="biases", prior="default"), *thin) for K in (1, 2, 4, 8)
    )
    assert four < two < one
    # more than were planted do little harm
    assert four < one - 0.05
    assert eight < four + 0.01


def test_plain_maximum_likelihood_pays_for_too_many_components(thin, fitted):
    four, sixteen = (error(fitted(K, center="biases"), *thin) for K in (4, 16))
    assert sixteen > four + 0.02


def test_effects_of_rows_help(thin, fitted):
    none, columns, rows, biases = (
        error(fitted(4, center=center, prior="default"), *thin)
        for center in ("none", "columns", "rows", "biases")
    )
    assert max(rows, biases) < min(none, columns) - 0.03
    assert biases <= rows


@pytest.mark.parametrize("K", [1, 4])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_what_they_say(thin, fitted, K, level):
    train, test = thin
    rows, columns, values = test.entries()
    model = fitted(K, center="biases", prior="default")
    lower, upper = predictive.interval(model.predictive(train, rows, columns), level)
    covered = float(np.mean((lower <= values) & (values <= upper)))
    assert abs(covered - level) < (0.02 if level == 0.9 else 0.03)


def test_spread_of_thin_columns_is_larger(thin, fitted):
    """What is known of a mean is part of the spread: few observations, wide intervals."""
    train, _ = thin
    model = fitted(4, center="biases", prior="default")
    _, std = model.complete(train, return_std=True)
    counts = train.column_counts
    holes = np.where(std > 0, std, np.nan)
    thin_half = np.nanmean(holes[:, counts <= np.quantile(counts, 0.1)])
    thick_half = np.nanmean(holes[:, counts >= np.quantile(counts, 0.9)])
    assert thin_half > 1.02 * thick_half


@pytest.mark.parametrize("center", ["rows", "biases"])
@pytest.mark.parametrize("seed", range(5))
def test_random_starts_are_not_held_together_by_a_prior_learned_too_early(center, seed):
    truth, X = made_up()
    model = mm.GaussianMixture(
        3, prior="default", center=center, init_params="random", random_state=seed
    ).fit(X)
    holes = np.isnan(X)
    assert np.sqrt(np.mean((model.complete(X) - truth)[holes] ** 2)) < 0.7
    assert model.prior_variance_ > 0.5


def test_the_strength_of_the_prior_is_learned():
    learned = {}
    for effect in (0.0, 0.6):
        options = {"n_components": 4, "component_effect": effect, "levels": None}
        obs, truth = make_ratings(
            400, 200, density=0.4, random_state=3, return_truth=True, **options
        )
        model = mm.GaussianMixture(4, center="biases", prior="default", n_init=2, random_state=0)
        learned[effect] = model.fit(obs).prior_variance_
    deviations = truth.component_means - truth.weights @ truth.component_means
    assert learned[0.6] == pytest.approx(deviations.var(), rel=0.15)
    assert learned[0.0] < 0.01


def test_a_given_strength_is_kept(fitted):
    for given in (0.01, 5.0):
        prior = mm.SphericalPrior(mean_variance=given)
        assert fitted(4, center="biases", prior=prior).prior_variance_ == given


@pytest.mark.parametrize(
    ("center", "varied"), [("none", False), ("columns", True), ("biases", True)]
)
def test_a_strong_prior_leaves_only_the_effects(thin, center, varied):
    train, _ = thin
    rigid = mm.SphericalPrior(mean_variance=1e-6)
    model = mm.GaussianMixture(3, prior=rigid, center=center, random_state=0).fit(train)
    np.testing.assert_allclose(model.means_ - model.means_.mean(axis=0), 0, atol=1e-3)
    assert (model.means_.mean(axis=0).std() > 0.3) == varied


def test_prior_of_variances_keeps_them_from_collapsing():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (30, 3)), np.full((6, 3), 9.0)])
    for prior, collapsed in (
        (mm.SphericalPrior(mean_variance=None), True),
        (mm.SphericalPrior(mean_variance=None, variance_shape=2.0, variance_scale=1.0), False),
    ):
        model = mm.GaussianMixture(2, prior=prior, n_init=3, random_state=0).fit(X)
        assert model.collapsed_ == collapsed
        assert (model.covariances_.min() < 1e-6) == collapsed
    # mode of the inverse gamma's posterior: (scale + squares / 2) / (shape + cells / 2 + 1)
    tight = int(model.covariances_.argmin())
    assert model.covariances_[tight] == pytest.approx(1.0 / (2.0 + 9.0 + 1.0), rel=1e-6)


def test_concentration_empties_or_evens_out_components():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (200, 3)) + np.repeat([0.0, 8.0], [150, 50])[:, None]
    weights = {}
    for concentration in (1.0, 101.0):
        prior = mm.SphericalPrior(mean_variance=None, weight_concentration=concentration)
        weights[concentration] = mm.GaussianMixture(2, prior=prior, random_state=0).fit(X).weights_
    np.testing.assert_allclose(np.sort(weights[1.0]), [0.25, 0.75], rtol=1e-6)
    np.testing.assert_allclose(np.sort(weights[101.0]), [150 / 400, 250 / 400], rtol=1e-6)


# ------------------------------------------------------------------ real ratings


@pytest.mark.shared
def test_the_first_fold_of_movielens(shared_path):
    def fold(name):
        table = np.loadtxt(shared_path(f"data/ratings/movielens_100k/{name}"), dtype=np.int64)
        rows, columns, ratings = table.T[:3]
        return mm.ObservedMatrix.from_triplets(
            rows - 1, columns - 1, ratings.astype(float), shape=(943, 1682)
        )

    train, test = fold("u1.base"), fold("u1.test")
    options = {
        "center": "biases",
        "init_params": "random",
        "n_init": 2,
        "random_state": 0,
    }
    with pytest.warns(mm.errors.EmptyEntityWarning, match="^32 columns have nothing observed"):
        model = mm.GaussianMixture(6, prior="default", **options).fit(train)
    assert error(model, train, test) < 0.947
    rows, columns, values = test.entries()
    lower, upper = predictive.interval(model.predictive(train, rows, columns), 0.9)
    assert 0.88 < np.mean((lower <= values) & (values <= upper)) < 0.92
    with pytest.warns(mm.errors.EmptyEntityWarning):
        plain = mm.GaussianMixture(6, **options).fit(train)
    assert error(plain, train, test) > 0.97
