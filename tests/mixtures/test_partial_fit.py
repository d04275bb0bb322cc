"""Mixtures learned from minibatches: as good as from all rows at once, whatever the batches."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone

import mixmend as mm
from mixmend.em.stepwise import Schedule, scaled
from mixmend.errors import (
    CollapsedComponentWarning,
    DataError,
    EmptyEntityWarning,
    MixmendError,
    ModelFileError,
)
from mixmend.mixtures.priors import DiagonalPrior, NormalInverseWishart, SphericalPrior

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::mixmend.errors.{name}")
    for name in ("EmptyEntityWarning", "IndependenceWarning")
]

TYPES = ["spherical", "diag", "tied", "full", "factor"]
D, K = 5, 3


def mixture(kind, n_components=K, **options):
    if kind == "factor":
        options |= {"n_factors": 2}
    return mm.GaussianMixture(n_components, kind, **({"random_state": 0} | options))


def rows(n, missing=0.0, seed=0, dtype=np.float64, offset=0.0):
    """Three groups, two of which overlap, with covariances of their own."""
    rng = np.random.default_rng(seed)
    group = rng.choice(K, n, p=[0.5, 0.3, 0.2])
    half = np.eye(D) + 0.2 * np.random.default_rng(7).normal(size=(K, D, D))
    centres = np.random.default_rng(8).normal(size=(K, D)) * 3.0
    X = centres[group] + np.einsum("ui,uij->uj", rng.normal(size=(n, D)), half[group]) + offset
    X[rng.random(X.shape) < missing] = np.nan
    return X.astype(dtype)


def batches(X, size, rng):
    order = rng.permutation(len(X))
    return [X[order[first : first + size]] for first in range(0, len(X), size)]


def streamed(model, X, size=400, passes=2, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(passes):
        for batch in batches(X, size, rng):
            model.partial_fit(batch)
    return model


CENTRES = rows(500).mean(axis=0) * np.arange(3.0)[:, None]


# ------------------------------------------------------------------ as good as a fit


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("kind", TYPES)
def test_shuffled_minibatches_end_within_half_a_percent_of_the_likelihood_of_a_fit(kind, missing):
    X = rows(4000, missing)
    whole = mixture(kind, n_init=5, tol=1e-5).fit(X).score(X)
    online = streamed(mixture(kind, n_init=5), X)
    gap = abs(online.score(X) - whole) / abs(whole)
    assert gap < 0.005
    assert gap > 1e-12  # another way to nearly the same place


def test_one_look_at_each_row_is_better_than_the_first_batch_alone():
    X, new = rows(6000, 0.2), rows(4000, 0.2, seed=5)
    first = mixture("full").fit(X[:300]).score(new)
    online = streamed(mixture("full"), X, size=300, passes=1).score(new)
    assert online > first + 0.02


@pytest.mark.parametrize(
    ("kind", "prior"),
    [
        ("spherical", SphericalPrior(mean_variance=None, variance_shape=400, variance_scale=90)),
        ("diag", DiagonalPrior(mean_strength=0, variance_shape=400, variance_scale=90)),
        ("tied", NormalInverseWishart(mean_strength=0, degrees=400, scale=90)),
        ("full", NormalInverseWishart(mean_strength=0, degrees=400, scale=90)),
    ],
)
def test_priors_count_as_they_do_beside_all_rows_so_far(kind, prior):
    """With decay 1 and no offset all rows weigh alike, as in a fit: so must the prior then."""
    X, options = rows(1500), {"learning_decay": 1.0, "learning_offset": 0.0}
    whole = mixture(kind, 1, prior=prior).fit(X)
    online = streamed(mixture(kind, 1, prior=prior, **options), X, size=300, passes=1)
    np.testing.assert_allclose(online.covariances_, whole.covariances_, rtol=1e-9)
    assert online.objective_ - online.log_likelihood_ == pytest.approx(
        whole.objective_ - whole.log_likelihood_, rel=1e-9
    )
    plain = mixture(kind, 1).fit(X).covariances_
    assert np.abs(plain - whole.covariances_).max() > 0.05 * np.abs(plain).max()


def test_row_offsets_and_the_learned_prior_of_means_are_learned_from_a_stream():
    rng = np.random.default_rng(0)
    X = rows(4000, 0.3) + rng.normal(scale=1.5, size=(4000, 1))
    whole = mixture("spherical", 1, center="rows", prior="default").fit(X)
    online = streamed(mixture("spherical", 1, center="rows", prior="default"), X, passes=4)
    assert online.offset_variance_ == pytest.approx(whole.offset_variance_, rel=0.02)
    assert online.prior_variance_ == pytest.approx(whole.prior_variance_, rel=0.05)
    # four passes are 16 000 rows to a stream, which is surer of the means then
    np.testing.assert_allclose(4 * online.mean_variances_, whole.mean_variances_, rtol=0.1)
    assert abs(online.score(X) - whole.score(X)) < 1e-3 * abs(whole.score(X))


# ------------------------------------------------------------------ numerics


@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 1e4), (np.float64, 1e8)])
@pytest.mark.parametrize("kind", TYPES)
def test_variances_far_from_zero_are_right_to_a_percent(kind, dtype, offset):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(20000, 4)) + offset).astype(dtype)
    X[rng.random(X.shape) < 0.2] = np.nan
    seen = np.nanvar(X.astype(np.float64), axis=0)
    model = mixture(kind, 1, learning_decay=1.0, learning_offset=0.0)
    if kind == "factor":
        model.set_params(n_factors=1)
    streamed(model, X, size=1000, passes=1)
    full = model.covariance()
    assert np.diag(full) == pytest.approx(np.full(4, seen.mean()) if kind == "spherical" else seen,
                                          rel=0.01)  # fmt: skip
    assert np.abs(full - np.diag(np.diag(full))).max() < 0.05


def test_the_average_of_all_rows_is_that_of_one_e_step():
    """One component, all rows alike: a stream of any cuts ends at the fit's mean and variance."""
    X = rows(1000, 0.3)
    whole = mixture("diag", 1).fit(X)
    cuts = [0, 100, 107, 350, 351, 1000]
    online = mixture("diag", 1, learning_decay=1.0, learning_offset=0.0)
    for first, last in pairwise(cuts):
        online.partial_fit(X[first:last])
    np.testing.assert_allclose(online.means_, whole.means_, rtol=1e-9)
    np.testing.assert_allclose(online.covariances_, whole.covariances_, rtol=1e-9)


def test_threads_change_no_bit():
    import numba

    X, before, found = rows(1200, 0.3), numba.get_num_threads(), []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            found.append(streamed(mixture("full"), X, passes=1).covariances_)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)


# ------------------------------------------------------------------ options


def test_step_sizes_follow_decay_and_offset_in_units_of_the_batch():
    assert Schedule(0.6, 2.0).size(50.0, 400.0) == pytest.approx(10.0**-0.6)
    assert Schedule(1.0, 0.0).size(30.0, 90.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("option", [{"learning_decay": 0.9}, {"learning_offset": 30.0}])
def test_larger_decays_and_offsets_forget_later(option):
    old, new = rows(1200), rows(600, offset=5.0)
    usual = streamed(mixture("diag", 1), old, passes=1)
    other = streamed(mixture("diag", 1, **option), old, passes=1)
    for model in (usual, other):
        model.partial_fit(new)
    moved = [np.abs(m.mean() - new.mean(axis=0)).max() for m in (usual, other)]
    assert moved[1] > moved[0] + 0.5  # further from where the new rows are


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ({"learning_decay": 0.5}, "learning_decay must be greater than 0.5 and at most 1; got 0.5"),
        ({"learning_decay": 1.5}, "learning_decay must be greater than 0.5 and at most 1; got 1.5"),
        (
            {"learning_offset": -1},
            "learning_offset must be a finite number that is not negative; got -1",
        ),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(option, complaint):
    with pytest.raises(MixmendError) as caught:
        mixture("diag", **option).partial_fit(rows(50))
    assert str(caught.value) == complaint + "."


# ------------------------------------------------------------------ what is told


def test_the_history_holds_what_each_batch_scored_before_it_was_learned_from():
    X = rows(1500, 0.2)
    model = streamed(mixture("diag"), X[:1000], size=500, passes=1)
    before = model.score(X[1000:])
    history = list(model.history_)
    model.partial_fit(X[1000:])
    assert model.history_[:-1] == history
    assert model.history_[-1] == pytest.approx(before, rel=1e-9)
    assert model.n_iter_ == len(model.history_) == 3
    assert model.n_samples_seen_ == 1500
    assert model.log_likelihood_ == pytest.approx(1500 * np.mean(model.history_), rel=0.05)


def test_a_stream_that_says_nothing_new_has_converged():
    X = rows(500)
    model = mixture("diag", tol=1e-6)
    assert not model.partial_fit(X).converged_
    for _ in range(400):
        if model.partial_fit(X).converged_:
            break
    assert model.converged_
    assert not model.partial_fit(rows(500, offset=2.0)).converged_


# ------------------------------------------------------------------ odd batches


def test_rows_and_batches_without_a_cell_are_counted_and_teach_nothing():
    X = rows(600, 0.2)
    model = mixture("full").partial_fit(X[:300])
    same = pickle.loads(pickle.dumps(model))
    model.partial_fit(np.full((7, D), np.nan))
    assert model.n_samples_seen_ == 307
    np.testing.assert_array_equal(model.means_, same.means_)
    same.partial_fit(X[300:])
    model.partial_fit(np.concatenate([X[300:], np.full((5, D), np.nan)]))
    np.testing.assert_allclose(model.covariances_, same.covariances_, rtol=1e-12)
    assert model.n_samples_seen_ == 612
    assert same.n_samples_seen_ == 600


@pytest.mark.parametrize("kind", TYPES)
def test_batches_may_be_smaller_than_the_number_of_components(kind):
    X = rows(403, 0.2)
    model = mixture(kind).partial_fit(X[:400])
    before = model.means_.copy()
    model.partial_fit(X[400:402]).partial_fit(X[402:])
    assert np.all(np.isfinite(model.means_))
    assert not np.array_equal(model.means_, before)


def test_the_first_batch_must_have_a_row_for_each_component():
    X = rows(5)
    X[3:] = np.nan
    with pytest.raises(DataError) as caught:
        mixture("diag", 4).partial_fit(X)
    assert str(caught.value) == (
        "The first minibatch has 3 rows that observe anything, but starts of 4 components are "
        "drawn from it (n_samples=3). Give partial_fit more rows at first, better some hundred, "
        "or ask for fewer components."
    )


def test_few_rows_are_gathered_until_there_are_enough_for_covariances():
    X = rows(400)
    model = mixture("full").partial_fit(X[:20])
    start = model.covariances_.copy()
    model.partial_fit(X[20:40])
    np.testing.assert_array_equal(model.covariances_, start)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapsedComponentWarning)
        for first in range(40, 400, 20):
            model.partial_fit(X[first : first + 20])
    assert not np.array_equal(model.covariances_, start)
    assert np.linalg.eigvalsh(model.covariances_).min() > 1e-3


def test_a_column_that_the_first_batch_lacks_is_learned_later():
    X = rows(2000, 0.2)
    early = X[:500].copy()
    early[:, 2] = np.nan
    with pytest.warns(EmptyEntityWarning, match="1 column has nothing observed"):
        model = mixture("diag").partial_fit(early)
    for first in range(500, 2000, 500):
        model.partial_fit(X[first : first + 500])
    assert model.mean()[2] == pytest.approx(np.nanmean(X[500:, 2]), abs=0.3)


def test_other_columns_are_refused():
    model = mixture("diag").partial_fit(rows(100))
    with pytest.raises(DataError, match="X has 4 features, but GaussianMixture is expecting 5"):
        model.partial_fit(rows(100)[:, :4])


def test_a_row_of_weight_two_counts_as_two_rows():
    X = rows(600, 0.2)
    twice = np.concatenate([X[300:], X[300:400]])
    weights = np.where(np.arange(300) < 100, 2.0, 1.0)
    one = mixture("full").partial_fit(X[:300]).partial_fit(X[300:], sample_weight=weights)
    other = mixture("full").partial_fit(X[:300]).partial_fit(twice)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-9)
    np.testing.assert_allclose(one.history_, other.history_, rtol=1e-9)


# ------------------------------------------------------------------ with fit


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_goes_on_from_a_fit_with_its_rows_counted(kind):
    X = rows(1500, 0.2)
    model = mixture(kind, n_init=4, tol=1e-5).fit(X[:1000])
    fitted = model.covariances_.copy()
    score = model.score(X[1000:])
    model.set_params(learning_decay=1.0, learning_offset=0.0).partial_fit(X[1000:])
    assert model.history_ == [pytest.approx(score)]
    assert model.n_samples_seen_ == 1500
    # a third of all rows moves them by a third of what a fit to these alone would, or so
    assert 0 < np.abs(model.covariances_ - fitted).max() < 0.5 * np.abs(fitted).max()
    together = mixture(kind, n_init=4, tol=1e-5).fit(X).score(X)
    assert abs(model.score(X) - together) < 0.005 * abs(together)


def test_a_fit_begins_anew():
    X = rows(900, 0.2)
    model = streamed(mixture("diag"), X[:600], passes=1).fit(X[600:])
    fresh = mixture("diag").fit(X[600:])
    np.testing.assert_array_equal(model.means_, fresh.means_)
    assert model.n_samples_seen_ == 300
    assert model.history_ == fresh.history_
    assert not hasattr(clone(model), "n_samples_seen_")


def test_another_kind_of_mixture_is_no_continuation():
    model = mixture("diag").partial_fit(rows(100))
    with pytest.raises(MixmendError) as caught:
        model.set_params(n_components=2).partial_fit(rows(100))
    assert str(caught.value) == (
        "partial_fit goes on from a 'diag' mixture of 3 components, but covariance_type is 'diag' "
        "and n_components is 2. Fit a new estimator to begin anew."
    )


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("spherical", {"center": "biases", "prior": "default"}),
        ("diag", {"prior": "default"}),
        ("tied", {}),
        ("full", {"prior": "default"}),
        ("factor", {"min_support": 1.0}),
        (
            "full",
            {"fixed_components": [1], "means_init": CENTRES},
        ),
    ],
)
def test_a_saved_stream_goes_on_as_if_nothing_had_happened(kind, options, tmp_path):
    X = rows(900, 0.2)
    model = streamed(mixture(kind, **options), X[:600], size=300, passes=1)
    mm.save(model, tmp_path / "stream.mixmend")
    loaded = mm.load(tmp_path / "stream.mixmend")
    assert loaded.n_samples_seen_ == 600
    assert loaded.n_iter_ == 2
    for one in (model, loaded):
        one.partial_fit(X[600:])
    np.testing.assert_array_equal(loaded.covariances_, model.covariances_)
    np.testing.assert_array_equal(loaded.means_, model.means_)
    assert loaded.history_ == model.history_


def test_a_model_saved_after_fit_keeps_no_statistics_and_says_so(tmp_path):
    mm.save(mixture("diag").fit(rows(100)), tmp_path / "fit.mixmend")
    with pytest.raises(MixmendError) as caught:
        mm.load(tmp_path / "fit.mixmend").partial_fit(rows(100))
    assert str(caught.value) == (
        "This mixture has no statistics to go on from: a model that is saved after fit keeps "
        "parameters only. Call partial_fit once before saving, or go on with fit and "
        "warm_start=True."
    )


@pytest.mark.parametrize("damage", ["shape", "nan", "missing", "seen"])
def test_statistics_that_do_not_fit_the_parameters_are_refused(damage):
    header, arrays = mixture("full").partial_fit(rows(100))._to_saved()
    name = "stream.statistics.second"
    if damage == "shape":
        arrays[name] = arrays[name][:, :2, :2]
    elif damage == "nan":
        arrays[name] = arrays[name] * np.nan
    elif damage == "missing":
        del arrays[name]
    else:
        header["stream"]["seen"] = -1.0
    with pytest.raises(ModelFileError) as caught:
        mm.GaussianMixture._from_saved(header, arrays)
    assert str(caught.value) == (
        "The model file's running statistics do not fit its parameters. Save the model again."
    )


def test_values_of_an_unknown_kind_are_refused():
    header, arrays = mixture("full").partial_fit(rows(100))._to_saved()
    header["stream"]["density"]["kind"] = "os.system"
    with pytest.raises(ModelFileError) as caught:
        mm.GaussianMixture._from_saved(header, arrays)
    assert str(caught.value) == (
        "The model file has running statistics of kind 'os.system', which this version does not "
        "know. Upgrade mixmend."
    )


def test_scaled_statistics_are_those_of_as_many_rows_that_say_the_same():
    X = rows(200, 0.2)
    model = mixture("full").partial_fit(X)
    block = model._family.block(mm.ObservedMatrix.from_dense(X), K)
    # by four, whose root is a power of two: first moments nearly cancel, and would show rounding
    often = mm.ObservedMatrix.from_dense(X, row_weights=np.full(200, 4.0))
    one = scaled(model._density.e_step(model.parameters_, block), 4.0)
    other = model._density.e_step(model.parameters_, model._family.block(often, K))
    for name in ("log_likelihood", "rows", "first", "second"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)


@pytest.mark.parametrize("kind", TYPES)
def test_a_stream_holds_one_chunk_at_a_time(kind):
    """Memory stays where it was after the first chunks, however many follow."""
    model = mixture(kind)
    chunk_bytes = 2000 * D * 8
    for seed in range(2):  # whatever is compiled or cached at first use
        model.partial_fit(rows(2000, 0.2, seed=seed))
    gc.collect()
    tracemalloc.start()
    try:
        model.partial_fit(rows(2000, 0.2, seed=2))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for seed in range(3, 23):
            model.partial_fit(rows(2000, 0.2, seed=seed))
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - held < 0.5 * chunk_bytes
    assert peak - held < 16 * chunk_bytes  # the making of one; twenty were met
