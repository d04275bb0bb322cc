"""Components that keep their means and covariances while weights and the others are learned."""

from __future__ import annotations

import numpy as np
import pytest

import mixmend as mm
from mixmend.em.engine import run
from mixmend.errors import MixmendError
from mixmend.mixtures.fixed import FixedComponents, fixed_mask
from mixmend.mixtures.options import checked
from mixmend.mixtures.priors import DiagonalPrior, NormalInverseWishart, SphericalPrior

pytestmark = pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")

TYPES = ["spherical", "diag", "tied", "full", "factor"]
PRIORS = {
    "spherical": SphericalPrior(mean_variance=None, variance_shape=3.0, variance_scale=2.0),
    "diag": DiagonalPrior(mean_strength=5.0),
    "tied": NormalInverseWishart(mean_strength=5.0),
    "full": NormalInverseWishart(mean_strength=5.0),
}
D, K = 4, 3
MEANS = np.array([[0.0, 0, 0, 0], [3.0, 3, 0, 0], [0, 0, 4.0, -4.0]])
BY_COMPONENT = ("means", "variances", "covariances", "loadings", "noise")


def table(seed=0, n=600, missing=0.2):
    rng = np.random.default_rng(seed)
    X = MEANS[rng.choice(K, n, p=[0.5, 0.3, 0.2])] + rng.normal(size=(n, D)) @ (
        np.eye(D) + 0.3 * np.random.default_rng(1).normal(size=(D, D))
    )
    X[rng.random(X.shape) < missing] = np.nan
    return X


def spread(kind):
    """Start covariances of each type's shape."""
    shapes = {"spherical": np.full(K, 1.3), "diag": np.full((K, D), 1.3), "tied": 1.3 * np.eye(D)}
    return shapes.get(kind, np.repeat(1.3 * np.eye(D)[None], K, axis=0))


def mixture(kind, fixed=(1,), **options):
    if kind == "factor":
        options |= {"n_factors": 1}
    start = {"means_init": MEANS + 0.3, "covariances_init": spread(kind), "random_state": 0}
    start["fixed_components"] = list(fixed) or None
    return mm.GaussianMixture(K, kind, **(start | options))


def values(model, k):
    p = model.parameters_
    return {name: getattr(p, name)[k] for name in BY_COMPONENT if name in p._fields}


def same(model, other, k):
    for name, value in values(model, k).items():
        np.testing.assert_array_equal(value, values(other, k)[name])


# ------------------------------------------------------------------ what stays, what learns


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize(
    ("kind", "prior"), [(k, False) for k in TYPES] + [(k, True) for k in TYPES[:-1]]
)
def test_fixed_components_stay_to_the_bit_and_the_objective_rises(kind, prior, accelerate):
    options = {"prior": PRIORS[kind] if prior else None, "accelerate": accelerate}
    start = mixture(kind, tol=0, max_iter=1, **options).fit(table())
    model = mixture(kind, tol=1e-9, max_iter=300, **options).fit(table())
    same(model, start, 1)
    np.testing.assert_array_equal(model.means_[1], MEANS[1] + 0.3)
    if kind in ("spherical", "diag", "full"):
        np.testing.assert_array_equal(model.covariances_[1], spread(kind)[1])
    assert np.all(np.diff(model.history_) >= -1e-9 * abs(model.history_[-1]))
    assert np.abs(model.means_[[0, 2]] - MEANS[[0, 2]] - 0.3).min(axis=0).max() > 1e-3
    free = mixture(kind, (), tol=1e-9, max_iter=300, **options).fit(table())
    assert model.objective_ < free.objective_ - 1.0


@pytest.mark.parametrize("kind", TYPES)
def test_the_end_is_a_maximum_over_what_learns(kind):
    """No small step of weights, free means or covariances raises the objective."""
    X = table()
    model = mixture(kind, tol=1e-13, max_iter=3000, accelerate=True).fit(X)
    density, family = model._density, model._family
    block = family.block(mm.ObservedMatrix.from_dense(X), K)
    vector = density.pack(model.parameters_)
    best = density.objective(density.e_step(model.parameters_, block), model.parameters_)
    rng = np.random.default_rng(0)
    for _ in range(30):
        trial = density.unpack(vector + 1e-3 * rng.normal(size=vector.shape), model.parameters_)
        value = density.objective(density.e_step(trial, block), trial)
        assert value <= best + 1e-5


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_a_tied_covariance_is_learned_around_means_that_stay(missing):
    """All means fixed, complete data: the covariance is the posterior's scatter about them."""
    X = table(missing=missing)
    model = mixture("tied", (0, 1, 2), tol=1e-12, max_iter=2000).fit(X)
    np.testing.assert_array_equal(model.means_, MEANS + 0.3)
    if missing == 0.0:
        post = model.predict_proba(X)
        gaps = X[:, None, :] - model.means_
        scatter = np.einsum("uk,uki,ukj->ij", post, gaps, gaps) / len(X)
        np.testing.assert_allclose(model.covariances_, scatter, rtol=1e-4)
        np.testing.assert_allclose(model.weights_, post.mean(axis=0), rtol=1e-4)
    assert np.abs(model.covariances_ - 1.3 * np.eye(D)).max() > 0.05


@pytest.mark.parametrize("kind", TYPES)
def test_with_all_fixed_only_shares_are_learned(kind):
    model = mixture(kind, (0, 1, 2), tol=1e-12, max_iter=1000).fit(table())
    np.testing.assert_array_equal(model.means_, MEANS + 0.3)
    assert model.weights_ == pytest.approx([0.5, 0.3, 0.2], abs=0.06)
    assert not model.collapsed_


@pytest.mark.parametrize("kind", TYPES)
def test_fixed_components_stay_in_a_stream_too(kind):
    model, X = mixture(kind), table(n=2000)
    model.partial_fit(X[:200])
    first = values(model, 1)
    for begin in range(200, 2000, 200):
        model.partial_fit(X[begin : begin + 200])
    for name, value in values(model, 1).items():
        np.testing.assert_array_equal(value, first[name])
    np.testing.assert_array_equal(model.means_[1], MEANS[1] + 0.3)
    whole = mixture(kind, tol=1e-7).fit(X)
    assert abs(model.score(X) - whole.score(X)) < 0.005 * abs(whole.score(X))


@pytest.mark.parametrize("kind", TYPES)
def test_a_warm_start_fixes_what_an_earlier_fit_found(kind):
    model = mixture(kind, fixed_components=None, warm_start=True).fit(table())
    before = values(model, 0)
    model.set_params(fixed_components=[0], means_init=None, covariances_init=None)
    moved = model.fit(table(seed=9) + 0.5).means_[1]
    for name, value in values(model, 0).items():
        np.testing.assert_array_equal(value, before[name])
    assert not np.array_equal(moved, MEANS[1] + 0.3)


# ------------------------------------------------------------------ what is counted, and collapse


@pytest.mark.parametrize("kind", TYPES)
def test_bic_counts_only_what_was_learned(kind):
    X = table()
    fixed, free = mixture(kind).fit(X), mixture(kind, ()).fit(X)
    each = {"spherical": 1, "diag": D, "tied": 0, "full": D * (D + 1) // 2, "factor": 2 * D}[kind]
    assert free.n_parameters() - fixed.n_parameters() == D + each
    all_fixed = mixture(kind, (0, 1, 2)).fit(X)
    shared = D * (D + 1) // 2 if kind == "tied" else 0
    assert all_fixed.n_parameters() == K - 1 + shared
    deviance = -2 * fixed.score_samples(X).sum()
    assert fixed.bic(X) == pytest.approx(deviance + fixed.n_parameters() * np.log(len(X)))


def test_a_fixed_component_of_next_to_no_variance_has_not_collapsed():
    X = np.concatenate([table(missing=0.0), np.zeros((50, D))])
    tiny = np.array([1.0, 1.0, 1.0])
    tiny[0] = 1e-7
    means = np.array([[0.0] * D, *MEANS[1:]])
    options = {"means_init": means, "covariances_init": tiny, "random_state": 0}
    held = mm.GaussianMixture(K, "spherical", fixed_components=[0], **options).fit(X)
    assert not held.collapsed_
    assert held.weights_[0] == pytest.approx(50 / 650, rel=1e-6)
    with pytest.warns(UserWarning, match="collapsed onto single points"):
        assert mm.GaussianMixture(K, "spherical", **options).fit(X).collapsed_


def test_the_engine_sees_one_density_whatever_is_inside():
    model = mixture("full").fit(table())
    assert isinstance(model._density, FixedComponents)
    block = model._family.block(mm.ObservedMatrix.from_dense(table()), K)
    fit = run(model._density, model.parameters_, [block], tol=0.0, max_iter=3)
    np.testing.assert_array_equal(fit.parameters.covariances[1], model.covariances_[1])
    precise = model._density.rounding(fit.statistics, fit.parameters, 1e-16)
    assert precise == model._density.inner.rounding(fit.statistics, fit.parameters, 1e-16)


# ------------------------------------------------------------------ options


def test_positions_and_masks_say_the_same():
    np.testing.assert_array_equal(fixed_mask([0, -1], 3), [True, False, True])
    np.testing.assert_array_equal(fixed_mask(np.array([True, False, True]), 3), [1, 0, 1])
    assert fixed_mask([], 3) is None
    assert fixed_mask([False, False], 2) is None
    assert fixed_mask(None, 3) is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([3], "fixed_components names component 3, but there are 3 (0 to 2)."),
        ([True, False], "fixed_components as a mask must have shape (3,); got (2,)."),
        ([0.5], "fixed_components must be positions of components or a mask; got [0.5]."),
        ([[0], [1]], "fixed_components must be positions of components or a mask; got [[0], [1]]."),
    ],
)
def test_what_names_no_component_is_refused(given, complaint):
    with pytest.raises(MixmendError) as caught:
        checked(mm.GaussianMixture(3, "diag", fixed_components=given))
    assert str(caught.value) == complaint


def test_a_start_must_say_what_stays():
    with pytest.raises(MixmendError) as caught:
        mm.GaussianMixture(3, "diag", fixed_components=[0]).fit(table())
    assert str(caught.value) == (
        "fixed_components keep the values that they start with: give means_init (and "
        "covariances_init), or fit once and go on with warm_start=True."
    )


def test_a_prior_that_makes_means_uncertain_is_refused():
    with pytest.raises(MixmendError) as caught:
        mixture("spherical", prior="default").fit(table())
    assert str(caught.value) == (
        "fixed_components have means that are known, but this prior learns how sure all means "
        "are. Set prior=None, or SphericalPrior(mean_variance=None)."
    )


def test_a_saved_model_remembers_what_was_fixed(tmp_path):
    model = mixture("diag", fixed_components=np.array([False, True, False])).fit(table())
    mm.save(model, tmp_path / "m.mixmend")
    loaded = mm.load(tmp_path / "m.mixmend")
    assert loaded.n_parameters() == model.n_parameters()
    assert loaded.fixed_components == [False, True, False]
