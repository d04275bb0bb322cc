"""Whole fits: objectives that only go one way, published solutions, what is kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import svds

import mixmend as mm
from mixmend.errors import DataError, MixmendError
from mixmend.factors import fitting, starts
from mixmend.factors.problem import checked, pose
from mixmend.factors.starts import begin, svd_factors
from mixmend.factors.steps import ridge_step, variational_step
from mixmend.factors.sweeps import diagonal_of


def ratings(seed=0, n=60, d=40, rank=3, share=0.5, noise=0.4):
    """Products of factors with effects and noise, some of them observed."""
    rng = np.random.default_rng(seed)
    truth = 3.0 + rng.normal(0, 0.5, (n, 1)) + rng.normal(0, 0.5, d)
    truth = truth + rng.normal(size=(n, rank)) @ rng.normal(0, 0.5, (rank, d))
    X = truth + noise * rng.normal(size=(n, d))
    X[rng.random((n, d)) < share] = np.nan
    return mm.ObservedMatrix.from_dense(X), truth


def posed(obs, **options):
    return pose(obs, checked(mm.MatrixFactorization(**options)))


FORMS = st.fixed_dictionaries(
    {
        "center": st.sampled_from(["none", "row", "biases"]),
        "init": st.sampled_from(["random", "svd"]),
        "inference": st.sampled_from(["ridge", "variational"]),
        "n_factors": st.integers(1, 4),
    }
)


@settings(max_examples=40, deadline=None)
@given(form=FORMS, seed=st.integers(0, 10**6), share=st.floats(0.0, 0.9), weighted=st.booleans())
def test_the_objective_never_rises(form, seed, share, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(2, 1, (12, 9)) + rng.normal(size=(12, 1))
    X[rng.random(X.shape) < share] = np.nan
    X[0, 0] = 1.0
    weights = rng.uniform(0.2, 3, 12) if weighted else None
    obs = mm.ObservedMatrix.from_dense(X)
    if weights is not None:
        obs = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    problem = posed(obs, weighting="counts" if weighted else "constant", **form)
    step = ridge_step if form["inference"] == "ridge" else variational_step
    state = begin(problem, np.random.default_rng(seed))
    objectives = []
    for _ in range(12):
        state = step(problem, state)
        objectives.append(state.objective)
    slack = 1e-9 * (np.abs(objectives).max() + 1)
    assert np.all(np.diff(objectives) <= slack)


def test_a_step_that_forgets_the_other_sides_doubt_is_noticed():
    obs, _ = ratings()
    problem = posed(obs, n_factors=3, center="biases", inference="variational")
    state, objectives = begin(problem, np.random.default_rng(0)), []
    for _ in range(25):
        state = variational_step(problem, state)
        objectives.append(state.objective)
        state = state._replace(rows=state.rows._replace(covariances=None))
    assert np.diff(objectives).max() > 1e-3


def dense_covariances(side):
    n, q = side.values.shape
    out = np.zeros((n, q, q))
    a, b = np.triu_indices(q)
    out[:, a, b] = out[:, b, a] = side.covariances
    return out


def test_the_lower_bound_is_that_of_its_definition():
    obs, _ = ratings(1, n=9, d=7)
    problem = posed(obs, n_factors=2, center="biases", inference="variational")
    state = begin(problem, np.random.default_rng(3))
    for _ in range(3):
        state = variational_step(problem, state)
    rows, columns = dense_covariances(state.rows), dense_covariances(state.columns)
    bound = 0.0
    for u, i, x in zip(*obs.entries(), strict=True):
        q, b = state.rows.values[u, :2], state.rows.values[u, 2]
        p, c = state.columns.values[i, :2], state.columns.values[i, 2]
        # E (x - q.p - b - c)^2 term by term, with w = (q, b, 1) and v = (p, 1, c)
        W, V = np.zeros((4, 4)), np.zeros((4, 4))
        W[:3, :3] = rows[u]
        V[np.ix_([0, 1, 3], [0, 1, 3])] = columns[i]
        w, v = np.append(np.append(q, b), 1.0), np.append(np.append(p, 1.0), c)
        variance = w @ V @ w + v @ W @ v + np.trace(W @ V)
        expected = (x - problem.mean - w @ v) ** 2 + variance
        bound -= 0.5 * np.log(2 * np.pi * state.noise) + 0.5 * expected / state.noise
    for values, covariances, prior in (
        (state.rows.values, rows, state.row_variances),
        (state.columns.values, columns, state.column_variances),
    ):
        for m, S in zip(values, covariances, strict=True):
            P = np.diag(1 / prior)
            gap = np.trace(P @ S) + m @ P @ m - len(m)
            bound -= 0.5 * (gap + np.log(prior).sum() - np.linalg.slogdet(S)[1])
    assert -state.objective == pytest.approx(bound, rel=1e-10)


def test_diagonals_of_packed_triangles():
    packed = np.arange(6.0)[None]
    assert diagonal_of(packed, 3).tolist() == [[0.0, 3.0, 5.0]]


@pytest.mark.parametrize("center", ["none", "row"])
@pytest.mark.parametrize("cells", [0, 10**6])
def test_the_svd_start_is_scipys(center, cells, monkeypatch):
    monkeypatch.setattr(starts, "_DENSE_CELLS", cells)
    obs, _ = ratings(2)
    problem = posed(obs, n_factors=3, center=center, init="svd")
    dense = np.where(np.isnan(obs.dense), 0.0, obs.dense - problem.offsets[:, None])
    left, sizes, right = svds(dense, k=3, v0=np.random.default_rng(0).normal(size=40))
    rows, columns = svd_factors(problem, np.random.default_rng(0))
    assert np.allclose(rows @ columns.T, (left * sizes) @ right, atol=1e-9)


def test_without_holes_and_penalty_it_ends_at_the_best_matrix_of_its_rank():
    X = np.random.default_rng(3).normal(size=(30, 20)) @ np.diag(np.linspace(3, 0.1, 20))
    model = mm.MatrixFactorization(
        4, regularization=1e-9, center="none", max_iter=3000, tol=1e-13, random_state=0
    ).fit(X)
    least = (np.linalg.svd(X, compute_uv=False)[4:] ** 2).sum()
    residual = ((X - model.row_factors_ @ model.column_factors_.T) ** 2).sum()
    assert residual == pytest.approx(least, rel=1e-6)


def test_training_rows_are_folded_in_to_where_the_fit_left_them():
    obs, _ = ratings(4)
    for options in (
        {"center": "row"},
        {"center": "biases", "weighting": "counts", "bias_regularization": 0.2},
        {"center": "none", "inference": "variational"},
    ):
        model = mm.MatrixFactorization(3, random_state=0, max_iter=20, tol=0, **options).fit(obs)
        assert np.allclose(model.transform(obs), model.row_factors_, atol=1e-10)


def test_weights_count_as_repeated_rows():
    obs, _ = ratings(5, n=20)
    counts = np.random.default_rng(0).integers(1, 4, 20)
    repeated = mm.ObservedMatrix.from_dense(np.repeat(obs.dense, counts, axis=0))
    for inference in ("ridge", "variational"):
        options = {"center": "biases", "inference": inference, "init": "svd"}
        a = posed(
            mm.ObservedMatrix.from_dense(obs.dense, row_weights=counts), n_factors=2, **options
        )
        b = posed(repeated, n_factors=2, **options)
        start = begin(a, np.random.default_rng(0))
        twice = begin(b, np.random.default_rng(0))
        rows = start.rows._replace(
            values=np.repeat(start.rows.values, counts, axis=0),
            covariances=None
            if start.rows.covariances is None
            else np.repeat(start.rows.covariances, counts, axis=0),
        )
        twice = twice._replace(
            rows=rows,
            noise=start.noise,
            row_variances=start.row_variances,
            column_variances=start.column_variances,
        )
        step = ridge_step if inference == "ridge" else variational_step
        for _ in range(4):
            start, twice = step(a, start), step(b, twice)
        assert start.objective == pytest.approx(twice.objective, rel=1e-10)
        assert np.allclose(start.columns.values, twice.columns.values, atol=1e-9)


def test_validation_decides_what_is_kept_and_when_to_stop():
    obs, _ = ratings(6, noise=1.0)
    train, validation = mm.split_entries(obs, 0.2, 0)
    model = mm.MatrixFactorization(
        10, regularization=0.5, init="svd", patience=3, eval_every=2, random_state=0
    ).fit(train, validation=validation)
    errors = [row["validation_rmse"] for row in model.history_]
    best = int(np.argmin(errors))
    assert model.best_iteration_ == model.history_[best]["iteration"]
    assert len(errors) == best + 1 + 3  # three evaluations without improvement
    assert [row["iteration"] for row in model.history_] == list(range(2, 2 * len(errors) + 1, 2))
    assert model.converged_
    assert model.n_iter_ == model.history_[-1]["iteration"]
    rows, columns, values = validation.entries()
    guess = model.predict_entries(train, rows, columns)
    assert np.sqrt(np.mean((guess - values) ** 2)) == pytest.approx(errors[best], rel=1e-9)
    assert model.noise_variance_ == pytest.approx(errors[best] ** 2, rel=1e-9)


def test_the_variational_form_learns_how_many_factors_there_are():
    obs, truth = ratings(7, n=300, d=80, rank=3)
    model = mm.MatrixFactorization(
        8, center="biases", inference="variational", init="svd", max_iter=300, random_state=0
    ).fit(obs)
    shares = np.sort(model.factor_variances_)[::-1]
    assert shares[2] > 20 * shares[3]
    assert model.noise_variance_ == pytest.approx(0.16, rel=0.1)
    holes = np.isnan(obs.dense)
    filled = model.complete(obs)
    assert np.sqrt(np.mean((filled - truth)[holes] ** 2)) < 0.25


@pytest.mark.parametrize("center", ["none", "row", "biases"])
def test_intervals_cover_what_they_promise(center):
    obs, _ = ratings(8, n=300, d=60)
    train, test = mm.split_entries(obs, 0.2, 0)
    model = mm.MatrixFactorization(
        4, center=center, inference="variational", init="svd", max_iter=300, random_state=0
    ).fit(train)
    rows, columns, values = test.entries()
    covered = mm.evaluation.interval_coverage(model.predictive(train, rows, columns), values)
    assert 0.87 < covered < 0.93


def test_stated_variances_are_those_of_draws_from_the_posterior():
    obs, _ = ratings(9, n=20, d=12)
    model = mm.MatrixFactorization(
        2, center="biases", inference="variational", max_iter=10, tol=0, random_state=0
    ).fit(obs)
    folded = model._fold_in(obs)
    rng = np.random.default_rng(0)
    rows, columns = dense_covariances(folded.rows), dense_covariances(folded.columns)
    at = np.array([0, 3, 7]), np.array([1, 5, 11])
    cells = folded.cells(*at)
    _, variance = folded.moments(slice(0, 20))
    for t, (u, i) in enumerate(zip(*at, strict=True)):
        w = rng.multivariate_normal(folded.rows.values[u], rows[u], size=200_000)
        v = rng.multivariate_normal(folded.columns.values[i], columns[i], size=200_000)
        drawn = (w[:, :2] * v[:, :2]).sum(axis=1) + w[:, 2] + v[:, 2]
        assert cells.variances[t, 0] == pytest.approx(drawn.var() + model.noise_variance_, rel=0.01)
        assert cells.means[t, 0] == pytest.approx(drawn.mean() + model.mean_, abs=0.01)
        assert variance[u, i] == pytest.approx(cells.variances[t, 0], rel=1e-10)


def test_ctrl_c_keeps_the_best_so_far(monkeypatch):
    obs, _ = ratings(10)
    taken = []

    def interrupted(problem, state):
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(1)
        return ridge_step(problem, state)

    monkeypatch.setattr(fitting, "ridge_step", interrupted)
    with pytest.warns(match=r"^Interrupted after 3 steps: the best factors so far are kept\.$"):
        model = mm.MatrixFactorization(2, random_state=0, tol=0).fit(obs)
    assert model.interrupted_
    assert model.best_iteration_ == 3
    assert np.isfinite(model.complete(obs)).all()
    taken[:] = [1, 1, 1]
    with pytest.raises(KeyboardInterrupt):
        mm.MatrixFactorization(2, random_state=0).fit(obs)


def test_too_few_steps_are_said():
    obs, _ = ratings(11)
    with pytest.warns(
        match=r"^The fit did not converge in 2 steps\. Raise max_iter or tol, or giv"
    ):
        mm.MatrixFactorization(2, max_iter=2, random_state=0).fit(obs)


BAD = [
    ({"n_factors": 0}, "n_factors must be a whole number of at least 1; got 0."),
    (
        {"regularization": 0.0},
        "regularization must be positive; got 0.0. Without it, rows with fewer entries than "
        "factors have no unique solution; for next to none give a small number such as 1e-6.",
    ),
    (
        {"regularization": -1},
        "regularization must be a finite number that is not negative; got -1.",
    ),
    ({"center": "rows"}, "center must be one of 'none', 'row', 'biases'; got 'rows'."),
    ({"init": "zero"}, "init must be one of 'random', 'svd'; got 'zero'."),
    ({"inference": "em"}, "inference must be one of 'ridge', 'variational'; got 'em'."),
    ({"weighting": "no"}, "weighting must be one of 'constant', 'counts'; got 'no'."),
    ({"patience": 0}, "patience must be a whole number of at least 1; got 0."),
    ({"eval_every": 0}, "eval_every must be a whole number of at least 1; got 0."),
    (
        {"n_factors": 13},
        "n_factors=13 is more than the 20 × 12 matrix can tell apart. Ask for at most 12.",
    ),
    (
        {"n_factors": 12, "init": "svd"},
        "init='svd' needs n_factors below the smaller side of the 20 × 12 matrix; got 12. "
        "Take init='random'.",
    ),
]


@pytest.mark.parametrize(("options", "text"), BAD)
def test_bad_options_are_named(options, text):
    obs, _ = ratings(12, n=20, d=12)
    with pytest.raises(MixmendError) as failure:
        mm.MatrixFactorization(**({"n_factors": 2} | options)).fit(obs)
    assert str(failure.value) == text


def test_data_that_cannot_be_fitted_or_measured_on():
    obs, _ = ratings(13, n=6, d=5)
    model = mm.MatrixFactorization(2, max_iter=1, tol=0)
    with pytest.raises(DataError, match=r"^X has no observed cell: there is nothing to fit\.$"):
        model.fit(np.full((4, 3), np.nan))
    with pytest.raises(DataError, match=r"^All row weights are zero where a cell is observed: n"):
        model.fit(np.ones((4, 3)), sample_weight=np.zeros(4))
    other = mm.ObservedMatrix.from_dense(np.ones((6, 4)))
    with pytest.raises(DataError) as failure:
        model.fit(obs, validation=other)
    assert str(failure.value) == (
        "validation has shape (6, 4), the training matrix (6, 5): both must have the same rows "
        "and columns, as split_entries gives them."
    )
    with pytest.raises(DataError, match=r"^validation has no entry: there is nothing to measure"):
        model.fit(obs, validation=np.full((6, 5), np.nan))


def test_similar_columns_point_the_same_way():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 2))
    X = np.column_stack([base[:, 0], base[:, 1], base[:, 0], -base[:, 0], base.sum(axis=1)])
    X = X + 0.05 * rng.normal(size=X.shape)
    model = mm.MatrixFactorization(
        2, center="none", inference="variational", max_iter=50, tol=0, random_state=0
    ).fit(X)
    columns, cosines = model.similar(0, n_items=10)
    assert columns[[0, -1]].tolist() == [2, 3]
    assert len(columns) == 4
    assert cosines[0] > 0.99
    assert cosines[-1] < -0.99
    with pytest.raises(ValueError, match=r"^column must lie between 0 and 4; got 5\.$"):
        model.similar(5)


def test_the_same_seed_gives_the_same_bits_and_models_come_back_from_files(tmp_path):
    obs, _ = ratings(14)
    for inference in ("ridge", "variational"):
        options = {"inference": inference, "center": "biases", "random_state": 5, "max_iter": 8}
        a, b = (mm.MatrixFactorization(3, tol=0, **options).fit(obs) for _ in range(2))
        assert np.array_equal(a.column_factors_, b.column_factors_)
        mm.save(a, tmp_path / "m.mixmend")
        back = mm.load(tmp_path / "m.mixmend")
        assert back.get_params() == a.get_params()
        for mine, theirs in zip(
            a.complete(obs, return_std=True), back.complete(obs, return_std=True), strict=True
        ):
            assert np.array_equal(mine, theirs)
        assert back.history_ == a.history_
        assert np.array_equal(back.row_factors_, a.row_factors_)


@pytest.mark.shared
def test_variational_factors_on_movielens(shared_path):
    train, test = (
        mm.read_ratings(shared_path(f"data/ratings/movielens_100k/u1.{part}"))
        for part in ("base", "test")
    )
    train, test = mm.evaluation.align_labels(train, test)
    model = mm.MatrixFactorization(
        20, center="biases", inference="variational", init="svd", max_iter=7, tol=0, random_state=0
    ).fit(train)
    rows, columns, values = test.entries()
    cells = model.predictive(train, rows, columns)
    assert np.sqrt(np.mean((cells.means[:, 0] - values) ** 2)) < 0.915
    assert 0.88 < mm.evaluation.interval_coverage(cells, values) < 0.92
