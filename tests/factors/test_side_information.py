"""Fits with features: what they lower, what they learn, rows and columns without any entry."""

import numba
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.factors import regressions
from mixmend.factors.description import describe
from mixmend.factors.implicit import fit_implicit
from mixmend.factors.problem import Problem, checked, pose
from mixmend.factors.regressions import learn, ridge_regression
from mixmend.factors.starts import begin
from mixmend.factors.steps import ridge_step, variational_step
from mixmend.factors.sweeps import Side


def described_ratings(seed=0, n=150, d=80, share=0.6, cold=12, noise=0.3):
    """Ratings whose factors and effects follow features; some rows and columns have no entry."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(n, 3)), rng.normal(size=(d, 3))
    rows = U @ rng.normal(size=(3, 3)) + 0.4 * rng.normal(size=(n, 3))
    columns = 0.5 * V @ rng.normal(size=(3, 3)) + 0.2 * rng.normal(size=(d, 3))
    truth = 3 + rows[:, :2] @ columns[:, :2].T + rows[:, 2:] + columns[:, 2]
    X = truth + noise * rng.normal(size=truth.shape)
    X[rng.random(X.shape) < share] = np.nan
    X[:cold], X[:, :cold] = np.nan, np.nan
    labels = [f"r{u}" for u in range(n)], [f"c{i}" for i in range(d)]
    obs = mm.ObservedMatrix.from_dense(X, row_labels=labels[0], column_labels=labels[1])
    tables = [
        {"name": names} | {f"f{j}": F[:, j] for j in range(3)}
        for names, F in zip(labels, (U, V), strict=True)
    ]
    return obs, truth, *tables


def posed(obs, options, U=None, V=None):
    found = checked(mm.MatrixFactorization(**options))
    rng = np.random.default_rng(0)
    described = describe(obs, U, V, "error", found.implicit, rng)
    base = pose(obs, found)
    return Problem(
        obs, found, base.mean, base.row_means, described.row_design, described.column_design
    )


FORMS = st.fixed_dictionaries(
    {
        "center": st.sampled_from(["none", "row", "biases"]),
        "inference": st.sampled_from(["ridge", "variational"]),
        "n_factors": st.integers(1, 3),
        "implicit": st.integers(0, 3),
        "feature_regularization": st.floats(0.01, 100),
    }
)


@settings(max_examples=30, deadline=None)
@given(form=FORMS, seed=st.integers(0, 10**6), share=st.floats(0.0, 0.9), weighted=st.booleans())
def test_the_objective_never_rises(form, seed, share, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(2, 1, (12, 9)) + rng.normal(size=(12, 1))
    X[rng.random(X.shape) < share] = np.nan
    X[0, 0] = 1.0
    weights = rng.uniform(0.2, 3, 12) if weighted else None
    obs = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    form = form | {"weighting": "counts" if weighted else "constant"}
    problem = posed(obs, form, rng.normal(size=(12, 2)), rng.normal(size=(9, 11)))
    step = ridge_step if form["inference"] == "ridge" else variational_step
    state, objectives = begin(problem, np.random.default_rng(seed)), []
    for _ in range(12):
        state = step(problem, state)
        objectives.append(state.objective)
    assert np.all(np.diff(objectives) <= 1e-9 * (np.abs(objectives).max() + 1))


def dense_covariances(side):
    n, q = side.values.shape
    out = np.zeros((n, q, q))
    a, b = np.triu_indices(q)
    out[:, a, b] = out[:, b, a] = side.covariances
    return out


def test_the_lower_bound_is_that_of_its_definition():
    obs, _, U, V = described_ratings(1, n=9, d=7, cold=1)
    options = {"n_factors": 2, "center": "biases", "inference": "variational"}
    problem = posed(obs, options, U, V)
    state = begin(problem, np.random.default_rng(3))
    for _ in range(3):
        state = variational_step(problem, state)
    bound = -0.5 * (obs.n_observed * np.log(2 * np.pi * state.noise))
    bound -= 0.5 * state.squares / state.noise
    for side, prior, features, regression, counts in (
        (state.rows, state.row_variances, problem.row_features, state.row_regression,
         obs.row_counts),
        (state.columns, state.column_variances, problem.column_features,
         state.column_regression, obs.column_counts),
    ):  # fmt: skip
        width = features.shape[1]
        spreads = [
            regression.basis @ np.diag(own) @ regression.basis.T for own in regression.spread.T
        ]
        covariances = dense_covariances(side)
        for u in np.flatnonzero(counts):
            f, S, P = features[u], covariances[u], np.diag(1 / prior)
            m = side.values[u] - f @ regression.weights
            unsure = np.array([f @ spread @ f for spread in spreads])
            gap = np.trace(P @ S) + m @ P @ m + unsure @ (1 / prior) - len(m)
            bound -= 0.5 * (gap + np.log(prior).sum() - np.linalg.slogdet(S)[1])
        for w, spread, t in zip(regression.weights.T, spreads, regression.strengths, strict=True):
            gap = (w @ w + np.trace(spread)) / t - width + width * np.log(t)
            bound -= 0.5 * (gap - np.linalg.slogdet(spread)[1])
    assert -state.objective == pytest.approx(bound, rel=1e-10)


def test_weights_have_the_posterior_of_a_linear_regression(monkeypatch):
    monkeypatch.setattr(regressions, "_ROUNDS", 1)
    rng = np.random.default_rng(0)
    F, lines, s = rng.normal(size=(30, 4)), rng.uniform(0, 2, 30), rng.uniform(0.5, 2, 2)
    side = Side(rng.normal(size=(30, 2)), np.tile([0.3, 0.1, 0.2], (30, 1)))
    strengths = np.array([2.0, 3.0])
    before = regressions.Regression(np.zeros((4, 2)), np.eye(4), np.ones((4, 2)), strengths)
    known = learn(side, lines, s, F, before)
    seconds = np.zeros((30, 2))
    for k in range(2):
        spread = np.linalg.inv(F.T @ np.diag(lines) @ F / s[k] + np.eye(4) / strengths[k])
        w = spread @ F.T @ (lines * side.values[:, k]) / s[k]
        basis, own = known.regression.basis, known.regression.spread[:, k]
        assert np.allclose(known.regression.weights[:, k], w, atol=1e-12)
        assert np.allclose(basis @ np.diag(own) @ basis.T, spread, atol=1e-12)
        seconds[:, k] = (side.values[:, k] - F @ w) ** 2 + [0.3, 0.2][k]
        seconds[:, k] += np.einsum("nf,fg,ng->n", F, spread, F)
        assert known.regression.strengths[k] == pytest.approx((w @ w + np.trace(spread)) / 4)
    assert np.allclose(known.seconds, seconds, atol=1e-12)
    assert np.allclose(known.variances, lines @ seconds / lines.sum(), atol=1e-12)


def test_ridge_weights_are_those_of_a_weighted_ridge_regression():
    rng = np.random.default_rng(0)
    F, values, scales = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.uniform(0, 2, 30)
    found = ridge_regression(values, scales, F, 0.7)
    peer = Ridge(alpha=0.7, fit_intercept=False).fit(F, values, sample_weight=scales)
    assert np.allclose(found.weights, peer.coef_.T, atol=1e-10)


def fitted(obs, U=None, V=None, **options):
    options = {"center": "biases", "inference": "variational", "init": "svd"} | options
    model = mm.MatrixFactorization(2, max_iter=20, tol=0, random_state=0, **options)
    return model.fit(obs, row_features=U, column_features=V)


@pytest.mark.parametrize("inference", ["ridge", "variational"])
@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_rows_and_columns_without_entries_are_predicted_from_features(inference):
    obs, truth, U, V = described_ratings(2)
    errors = {}
    for known, (rows, columns) in {"no": (None, None), "yes": (U, V)}.items():
        model = fitted(obs, rows, columns, inference=inference, feature_regularization=0.1)
        filled = model.complete(obs)
        errors[known] = [
            np.sqrt(np.mean((filled - truth)[part] ** 2))
            for part in (np.s_[:12, 12:], np.s_[12:, :12], np.s_[:12, :12])
        ]
    for without, with_features in zip(errors["no"], errors["yes"], strict=True):
        assert with_features < 0.6 * without


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_deviations_are_larger_where_only_features_speak():
    obs, truth, U, V = described_ratings(3, n=400, d=200, cold=60)
    model = mm.MatrixFactorization(
        2, center="biases", inference="variational", init="svd", max_iter=60, tol=0
    ).fit(obs, row_features=U, column_features=V)
    filled, std = model.complete(obs, return_std=True)
    warm = std[60:, 60:][np.isnan(obs.dense[60:, 60:])]
    # deviations are those of measurements, errors against the truth have less noise; what is
    # not known of factors and effects is taken as independent, which errs on the careful side
    for part, least in ((np.s_[:60, 60:], 0.5), (np.s_[60:, :60], 0.8), (np.s_[:60, :60], 0.5)):
        assert std[part].mean() > 1.2 * warm.mean()
        expected = (filled - truth)[part] ** 2 + model.noise_variance_
        assert least < np.mean(expected / std[part] ** 2) < 1.2


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_rows_without_entries_share_the_doubt_about_the_weights():
    obs, _, U, V = described_ratings(3, n=40)
    model = fitted(obs, U, V)
    rows = model._fold_in(obs).rows
    regression = model._state.row_regression
    f = model._described.design(obs, model._explicit(obs, None))[0]
    unsure = [f @ regression.basis @ np.diag(own) @ regression.basis.T @ f
              for own in regression.spread.T]  # fmt: skip
    expected = np.diag(model._state.row_variances + unsure)
    assert np.allclose(dense_covariances(rows)[0], expected, rtol=1e-9, atol=1e-12)
    assert np.allclose(rows.values[0], f @ regression.weights, atol=1e-12)


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_training_rows_are_folded_in_to_where_the_fit_left_them():
    obs, _, U, V = described_ratings(4, n=40)
    for options in ({"inference": "ridge"}, {"inference": "variational", "implicit": 5}):
        model = fitted(obs, U, V, **options)
        assert np.allclose(model.transform(obs), model.row_factors_, atol=1e-10)
        some = obs.select_rows([7, 3, 30])
        assert np.allclose(model.transform(some), model.row_factors_[[7, 3, 30]], atol=1e-10)


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_every_verb_takes_features_of_new_rows():
    obs, _, U, V = described_ratings(5)
    model = fitted(obs, U, V, implicit=4)
    new = obs.select_rows([20, 0, 31]).with_labels(row_labels=["x", "y", "z"])
    table = pl.DataFrame(U)[[31, 20, 0]].with_columns(name=pl.Series(["z", "x", "y"]))
    whole, std = model.complete(obs, return_std=True)
    filled, own = model.complete(new, return_std=True, row_features=table)
    assert np.allclose(filled, whole[[20, 0, 31]], atol=1e-12)
    assert np.allclose(own, std[[20, 0, 31]], atol=1e-12)
    at = np.array([1]), np.array([3])
    assert model.predict_entries(new, *at, row_features=table) == pytest.approx(whole[0, 3])
    cells = model.predictive(new, *at, row_features=table)
    assert cells.variances[0, 0] == pytest.approx(std[0, 3] ** 2)
    chunks = model.iter_complete(new, chunk_rows=1, row_features=table)
    assert np.allclose(np.concatenate([chunk.mean for chunk in chunks]), filled, atol=1e-12)
    top = model.recommend(new, 3, rows=[2, 1], row_features=table)
    assert np.array_equal(top.columns, model.recommend(obs, 3, rows=[31, 0]).columns)
    factors = model.transform(new, row_features=table)
    assert np.allclose(factors, model.row_factors_[[20, 0, 31]], atol=1e-10)


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_rows_of_unknown_features_are_refused_or_average():
    obs, _, U, V = described_ratings(6)
    model = fitted(obs, U, V)
    new = obs.select_rows([20, 40]).with_labels(row_labels=["r20", "who"])
    with pytest.raises(DataError) as failure:
        model.complete(new)
    assert str(failure.value) == (
        "The model was fitted with row_features: give those of the rows, such as who, that are "
        "not known by label from the training, or set missing_features='unknown'."
    )
    with pytest.raises(DataError) as failure:
        model.complete(obs.dense)
    assert str(failure.value) == (
        "The model was fitted with row_features: give those of the rows that are not known by "
        "label from the training, or set missing_features='unknown'."
    )
    with pytest.raises(DataError) as failure:
        fitted(obs).complete(new, row_features=U)
    assert str(failure.value) == (
        "The model was fitted without row_features: it has no use for any."
    )
    fewer = {key: values[1:] for key, values in U.items()}
    with pytest.raises(DataError, match=r"^1 row has no line in row_features: 'r0'\. Add it, or"):
        fitted(obs, fewer, V)
    lenient = fitted(obs, fewer, V, missing_features="unknown")
    assert np.isfinite(lenient.complete(new)).all()
    empty = mm.ObservedMatrix.from_dense(np.full((1, 80), np.nan), row_labels=["nobody"])
    values = lenient._fold_in(empty).rows.values[0, :2]
    assert np.allclose(values, lenient.row_feature_weights_[0])  # the constant alone


def test_the_training_matrix_is_known_without_labels(tmp_path):
    rng = np.random.default_rng(0)
    X, F = rng.normal(size=(20, 15)), rng.normal(size=(20, 2))
    X[rng.random(X.shape) < 0.3] = np.nan
    model = fitted(X, F)
    assert np.array_equal(model.complete(X), model.complete(X, row_features=F))
    mm.save(model, tmp_path / "m.mixmend")
    assert np.array_equal(mm.load(tmp_path / "m.mixmend").complete(X), model.complete(X))
    with pytest.raises(DataError, match=r"^The model was fitted with row_features: give"):
        model.complete(X[::-1])


def test_features_are_named_with_their_weights():
    obs, _, U, _ = described_ratings(7, n=60, cold=0)
    model = fitted(obs, U | {"kind": ["a", "b"] * 30}, None, implicit=2)
    names = ("constant", "f0", "f1", "f2", "kind=a", "kind=b", "observed 1", "observed 2",
             "log count")  # fmt: skip
    assert model.row_feature_names_ == names
    assert model.column_feature_names_ == ("constant", "observed 1", "observed 2", "log count")
    assert model.row_feature_weights_.shape == (9, 2)
    assert model.column_feature_effects_.shape == (4,)
    plain = fitted(obs)
    assert plain.row_feature_names_ == ()
    assert plain.row_feature_weights_.shape == (0, 2)


def test_weights_say_what_each_feature_adds():
    rng = np.random.default_rng(0)
    F, G = rng.normal(size=(200, 2)), rng.normal(size=(50, 2))
    X = 3 + 2 * F[:, [0]] + G[:, 1] + 0.1 * rng.normal(size=(200, 50))
    model = fitted(X, F, G)
    # by their effects, and by their factors on what the other side's have in common
    row = model.row_feature_effects_ + model.row_feature_weights_ @ model.column_factors_.mean(0)
    column = model.column_feature_effects_
    column = column + model.column_feature_weights_ @ model.row_factors_.mean(0)
    assert row[1] == pytest.approx(2 * F[:, 0].std(), abs=0.05)
    assert column[2] == pytest.approx(G[:, 1].std(), abs=0.05)
    assert np.abs([row[2], column[1]]).max() < 0.05


def test_implicit_features_are_those_of_a_dense_decomposition():
    obs, _, _, _ = described_ratings(8, n=30, d=20, cold=2)
    fitted_features, columns = fit_implicit(obs, 3, np.random.default_rng(0))
    A = (~np.isnan(obs.dense)).astype(float)
    r, c = np.maximum(A.sum(1), 1), np.maximum(A.sum(0), 1)
    B = A / np.sqrt(r)[:, None] / np.sqrt(c)
    left, sizes, right = np.linalg.svd(B)
    rows = fitted_features.encode(obs)
    for k in range(3):
        mine = left[:, k] * sizes[k]
        mine = mine / np.sqrt(np.mean(mine**2))
        sign = np.sign(mine @ rows[:, k])
        assert np.allclose(rows[:, k], sign * mine, atol=1e-9)
        theirs = right[k] / np.sqrt(np.mean(right[k] ** 2))
        assert np.allclose(columns[:, k], sign * theirs, atol=1e-9)
    logs = np.log1p(A.sum(1))[2:]
    assert np.allclose(rows[2:, 3], (logs - logs.mean()) / logs.std(), atol=1e-9)
    assert rows[0, 3] == rows[2:, 3].min()  # no entries at all counts as the fewest that were met
    moved = obs.with_values(np.random.default_rng(0).normal(size=obs.n_observed))
    again, _ = fit_implicit(moved, 3, np.random.default_rng(0))
    assert np.array_equal(again.table, fitted_features.table)


def test_places_that_are_all_filled_say_nothing():
    rows, columns = fit_implicit(
        mm.ObservedMatrix.from_dense(np.ones((400, 300))), 3, np.random.default_rng(0)
    )
    assert not rows.table[:, 1:].any()
    assert not columns[:, 1:-1].any()
    assert np.ptp(columns[:, 0]) < 1e-9  # the first direction is that of the counts


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_what_was_watched_tells_what_is_liked():
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(300, 1))
    columns = rng.normal(size=(1, 60))
    truth = taste @ columns
    seen = rng.random(truth.shape) < 0.15 / (1 + np.exp(-3 * truth))
    X = np.where(seen, truth + 0.7 * rng.normal(size=truth.shape), np.nan)
    errors = []
    for implicit in (False, True):
        model = fitted(X, implicit=implicit)
        filled = model.complete(X)
        errors.append(np.sqrt(np.mean((filled - truth)[~seen] ** 2)))
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("inference", ["ridge", "variational"])
def test_weights_count_as_repeated_rows(inference):
    obs, _, U, V = described_ratings(9, n=30, d=20, cold=0)
    counts = np.random.default_rng(0).integers(1, 4, 30)
    dense = np.repeat(obs.dense, counts, axis=0)
    features = np.column_stack([U[f"f{j}"] for j in range(3)])
    own = np.column_stack([V[f"f{j}"] for j in range(3)])
    options = {"n_factors": 2, "center": "biases", "inference": inference}
    once, twice = (
        posed(mm.ObservedMatrix.from_dense(X, row_weights=weights), options, F, own)
        for X, weights, F in (
            (obs.dense, counts, features),
            (dense, None, np.repeat(features, counts, axis=0)),
        )
    )
    # features as they are: those of repeated rows would be standardised otherwise
    once = Problem(once.observed, once.options, once.mean, None, features, own)
    twice = Problem(twice.observed, twice.options, twice.mean, None,
                    np.repeat(features, counts, axis=0), own)  # fmt: skip
    a = begin(once, np.random.default_rng(0))
    b = a._replace(rows=Side(*(None if part is None else np.repeat(part, counts, axis=0)
                               for part in a.rows)))  # fmt: skip
    step = ridge_step if inference == "ridge" else variational_step
    for _ in range(4):
        a, b = step(once, a), step(twice, b)
    assert a.objective == pytest.approx(b.objective, rel=1e-10)
    assert np.allclose(a.row_regression.weights, b.row_regression.weights, atol=1e-9)
    rows, _ = fit_implicit(once.observed, 3, np.random.default_rng(0))
    again, _ = fit_implicit(twice.observed, 3, np.random.default_rng(0))
    assert np.allclose(np.abs(rows.table), np.abs(again.table), atol=1e-9)
    assert np.allclose(rows.counts, again.counts)


def test_how_strongly_weights_are_held_matters_to_ridge():
    obs, _, U, V = described_ratings(10, n=40, cold=0)
    sizes = [
        np.abs(fitted(obs, U, V, inference="ridge", feature_regularization=g).row_feature_weights_)
        .sum()
        for g in (0.1, 1000.0)
    ]  # fmt: skip
    assert sizes[1] < 0.5 * sizes[0]


@pytest.mark.parametrize("inference", ["ridge", "variational"])
@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_models_with_features_come_back_from_files(tmp_path, inference):
    obs, _, U, V = described_ratings(11, n=40)
    model = fitted(obs, U | {"kind": ["a|b", "b"] * 20}, V, inference=inference, implicit=True)
    mm.save(model, tmp_path / "m.mixmend")
    back = mm.load(tmp_path / "m.mixmend")
    assert back.get_params() == model.get_params()
    for name in ("row_feature_names_", "column_feature_names_"):
        assert getattr(back, name) == getattr(model, name)
    assert np.array_equal(back.row_feature_weights_, model.row_feature_weights_)
    new = obs.with_labels(row_labels=[f"n{u}" for u in range(40)])
    table = U | {"kind": ["b", "c"] * 20, "name": new.row_labels}
    for X, features in ((obs, None), (new, table)):
        for mine, theirs in zip(
            model.complete(X, return_std=True, row_features=features),
            back.complete(X, return_std=True, row_features=features),
            strict=True,
        ):
            assert np.array_equal(mine, theirs)


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_results_do_not_depend_on_threads():
    obs, _, U, V = described_ratings(12, n=400, d=300)
    before, fits = numba.get_num_threads(), []
    try:
        for count in (1, before):
            numba.set_num_threads(count)
            fits.append(fitted(obs, U, V, implicit=True))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(fits[0].row_feature_weights_, fits[1].row_feature_weights_)
    assert np.array_equal(fits[0].complete(obs), fits[1].complete(obs))


def test_bad_options_are_named():
    obs, _, _, _ = described_ratings(13, n=20, d=15, cold=0)
    for options, text in (
        ({"implicit": -1}, "implicit must be a whole number of at least 0; got -1."),
        ({"missing_features": "no"},
         "missing_features must be one of 'error', 'unknown'; got 'no'."),
        ({"feature_regularization": -2.0},
         "feature_regularization must be a finite number that is not negative; got -2.0."),
    ):  # fmt: skip
        with pytest.raises(MixmendError) as failure:
            fitted(obs, **options)
        assert str(failure.value) == text


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_side_information_on_movielens(shared_path):
    folder = shared_path("data/ratings/movielens_100k/u1.base").parent
    train, test = (mm.read_ratings(folder / f"u1.{part}") for part in ("base", "test"))
    train, test = mm.evaluation.align_labels(train, test)
    users, films = (
        [line.split("|") for line in (folder / name).read_text(encoding="latin-1").splitlines()]
        for name in ("u.user", "u.item")
    )
    people = {"user": [user[0] for user in users]}
    people |= {name: [user[k] for user in users] for k, name in enumerate(("sex", "job"), 2)}
    genres = {"film": [film[0] for film in films]}
    genres |= {f"genre {k}": [int(film[k]) for film in films] for k in range(5, 24)}
    rows, columns, values = test.entries()
    thin = train.column_counts[columns] < 5
    found = []
    for options, tables in (({}, (None, None)), ({"implicit": True}, (people, genres))):
        model = mm.MatrixFactorization(
            20, center="biases", inference="variational", init="svd", max_iter=8, tol=0, **options
        ).fit(train, row_features=tables[0], column_features=tables[1])
        cells = model.predictive(train, rows, columns)
        squares = (cells.means[:, 0] - values) ** 2
        found.append((np.sqrt(squares.mean()), np.sqrt(squares[thin].mean())))
        assert 0.88 < mm.evaluation.interval_coverage(cells, values) < 0.92
    (plain, plain_thin), (described, described_thin) = found
    assert plain < 0.915
    assert described < 0.895
    assert described_thin < 0.95 * plain_thin
