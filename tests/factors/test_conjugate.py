"""Conjugate gradient half-steps against textbook steps and against exact solutions."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixmend as mm
from mixmend.errors import MixmendError
from mixmend.factors.problem import CONJUGATE_FROM, checked, pose
from mixmend.factors.starts import begin
from mixmend.factors.steps import ridge_step, settled
from mixmend.factors.sweeps import Cells, Prior, Side, descend_side, solve_side


def holed(seed, n=23, d=61, share=0.4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[rng.random((n, d)) < share] = np.nan
    X[3] = np.nan
    X[5, 2:] = np.nan
    return mm.ObservedMatrix.from_dense(X)


def regressions(seed, rank, effects):
    """Everything that a regression may have: offsets, weights, scales and a prior mean."""
    obs, rng = holed(seed), np.random.default_rng(seed)
    (n, d), q = obs.shape, rank + effects
    cells = Cells(obs.by_row, rng.normal(size=n), rng.normal(size=d), rng.uniform(0.5, 2, d))
    prior = Prior(rng.uniform(0.5, 2, q), rng.uniform(0.5, 2, n), rng.normal(size=(n, q)))
    return obs, cells, Side(rng.normal(size=(d, q))), prior, rng.normal(size=(n, q))


def system(obs, cells, other, prior, effects, u):
    """A line's system, right-hand side and the constant of its penalised squares."""
    columns, targets = obs.row(u)
    Z, rest = other.values[columns], targets - cells.offsets[u] - cells.other_offsets[columns]
    if effects:
        rest = rest - Z[:, -1]
        Z = np.column_stack([Z[:, :-1], np.ones(len(columns))])
    w, D = cells.other_weights[columns], np.diag(prior.precision * prior.scales[u])
    A = Z.T @ (w[:, None] * Z) + D
    b = Z.T @ (w * rest) + D @ prior.means[u]
    squares = lambda x: w @ (rest - Z @ x) ** 2  # noqa: E731
    return A, b, squares, w @ rest**2 + prior.means[u] @ D @ prior.means[u]


def textbook(A, b, x, steps):
    """Conjugate gradients as Hestenes and Stiefel wrote them down."""
    r = b - A @ x
    p = r.copy()
    for _ in range(steps):
        length = (r @ r) / (p @ A @ p)
        x, new = x + length * p, r - length * (A @ p)
        p, r = new + (new @ new) / (r @ r) * p, new
    return x


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("rank", [1, 3, 8, 15, 33, 64])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_are_those_of_the_textbook(rank, effects, steps):
    obs, cells, other, prior, start = regressions(rank, rank, effects)
    found = descend_side(cells, other, prior, effects, start, min(steps, rank + effects))
    for u in range(obs.shape[0]):
        A, b, squares, _ = system(obs, cells, other, prior, effects, u)
        x = textbook(A, b, start[u], min(steps, rank + effects))
        assert np.allclose(found.side.values[u], x, rtol=0, atol=1e-9)
        assert found.squares[u] == pytest.approx(squares(x), abs=1e-8)


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("rank", [1, 4, 16, 50])
def test_many_steps_solve_exactly(rank, effects):
    _, cells, other, prior, start = regressions(rank + 50, rank, effects)
    near = descend_side(cells, other, prior, effects, start, 1000)
    exact = solve_side(cells, other, prior, effects)
    assert np.abs(near.side.values - exact.side.values).max() < 1e-8
    assert np.allclose(near.squares, exact.squares, rtol=0, atol=1e-8)


def test_every_step_lowers_every_lines_penalised_squares():
    obs, cells, other, prior, start = regressions(7, 12, True)
    before = None
    for steps in range(1, 10):
        x = descend_side(cells, other, prior, True, start, steps).side.values
        values = []
        for u in range(obs.shape[0]):
            A, b, _, constant = system(obs, cells, other, prior, True, u)
            values.append(x[u] @ A @ x[u] - 2 * b @ x[u] + constant)
        assert before is None or np.all(np.array(values) < before + 1e-9)
        before = np.array(values)


def test_a_solved_line_stays_where_it_is():
    _, cells, other, prior, _ = regressions(8, 5, True)
    exact = solve_side(cells, other, prior, True)
    still = descend_side(cells, other, prior, True, exact.side.values, 3)
    assert np.allclose(still.side.values, exact.side.values, rtol=0, atol=1e-12)


def test_results_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    obs = holed(9, n=400, d=300)
    other, start = Side(rng.normal(size=(300, 40))), rng.normal(size=(400, 40))
    prior, before = Prior(np.ones(40), np.ones(400)), numba.get_num_threads()
    results = []
    try:
        for count in {1, before}:
            numba.set_num_threads(count)
            results.append(descend_side(Cells(obs.by_row), other, prior, False, start, 3))
    finally:
        numba.set_num_threads(before)
    for result in results[1:]:
        assert np.array_equal(results[0].side.values, result.side.values)
        assert np.array_equal(results[0].squares, result.squares)


def posed(obs, **options):
    return pose(obs, checked(mm.MatrixFactorization(**options)))


FORMS = st.fixed_dictionaries(
    {
        "center": st.sampled_from(["none", "row", "biases"]),
        "init": st.sampled_from(["random", "svd"]),
        "weighting": st.sampled_from(["constant", "counts"]),
        "n_factors": st.integers(1, 4),
        "cg_steps": st.integers(1, 4),
        "regularization": st.floats(1e-4, 100),
        "bias_regularization": st.sampled_from([None, 0.3]),
    }
)


@settings(max_examples=60, deadline=None)
@given(form=FORMS, seed=st.integers(0, 10**6), share=st.floats(0.0, 0.9), weighted=st.booleans())
def test_the_objective_never_rises(form, seed, share, weighted):
    rng = np.random.default_rng(seed)
    X = rng.normal(2, 1, (12, 9)) + rng.normal(size=(12, 1))
    X[rng.random(X.shape) < share] = np.nan
    X[0, 0] = 1.0
    weights = rng.uniform(0.0, 3, 12) if weighted else None
    obs = mm.ObservedMatrix.from_dense(X, row_weights=weights)
    problem = posed(obs, solver="cg", **form)
    state = begin(problem, np.random.default_rng(seed))
    objectives = []
    for _ in range(12):
        state = ridge_step(problem, state)
        objectives.append(state.objective)
    objectives.append(settled(problem, state).objective)
    slack = 1e-9 * (np.abs(objectives).max() + 1)
    assert np.all(np.diff(objectives) <= slack)


def ratings(seed, n=80, d=70):
    rng = np.random.default_rng(seed)
    X = 3 + rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + rng.normal(size=(n, d))
    X[rng.random((n, d)) < 0.3] = np.nan
    return mm.ObservedMatrix.from_dense(X)


def test_many_steps_make_the_fit_that_cholesky_makes():
    obs = ratings(1)
    options = {"n_factors": 5, "center": "biases", "max_iter": 6, "tol": 0, "random_state": 0}
    near = mm.MatrixFactorization(solver="cg", cg_steps=500, **options).fit(obs)
    exact = mm.MatrixFactorization(solver="cholesky", **options).fit(obs)
    assert np.abs(near.row_factors_ - exact.row_factors_).max() < 1e-8
    assert np.abs(near.column_effects_ - exact.column_effects_).max() < 1e-8
    assert near.history_[-1]["objective"] == pytest.approx(
        exact.history_[-1]["objective"], rel=1e-9
    )
    few = mm.MatrixFactorization(solver="cg", cg_steps=1, **options).fit(obs)
    assert few.history_[-1]["objective"] > 1.001 * exact.history_[-1]["objective"]


def test_few_steps_end_at_the_same_minimum():
    obs = ratings(2)
    options = {"n_factors": 3, "center": "biases", "max_iter": 2000, "tol": 1e-12}
    a, b = (
        mm.MatrixFactorization(solver=solver, random_state=0, **options).fit(obs)
        for solver in ("cg", "cholesky")
    )
    assert a.history_[-1]["objective"] == pytest.approx(b.history_[-1]["objective"], rel=1e-6)


def test_the_rows_that_are_kept_are_exact_given_the_columns():
    obs = ratings(3)
    model = mm.MatrixFactorization(
        4, center="biases", solver="cg", cg_steps=1, max_iter=3, tol=0, random_state=0
    ).fit(obs)
    assert np.allclose(model.transform(obs), model.row_factors_, rtol=0, atol=1e-12)
    assert model._state.objective < model.history_[-1]["objective"]


def test_auto_takes_conjugate_gradients_for_many_factors():
    obs = ratings(4)
    options = {"max_iter": 3, "tol": 0, "random_state": 0}
    for rank, solver in ((CONJUGATE_FROM - 1, "cholesky"), (CONJUGATE_FROM, "cg")):
        auto = mm.MatrixFactorization(rank, **options).fit(obs)
        same = mm.MatrixFactorization(rank, solver=solver, **options).fit(obs)
        other = {"cg": "cholesky", "cholesky": "cg"}[solver]
        not_same = mm.MatrixFactorization(rank, solver=other, **options).fit(obs)
        assert np.array_equal(auto.column_factors_, same.column_factors_)
        assert not np.array_equal(auto.column_factors_, not_same.column_factors_)
    variational = checked(mm.MatrixFactorization(CONJUGATE_FROM, inference="variational"))
    assert not variational.descends


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"solver": "qr"}, "solver must be one of 'auto', 'cholesky', 'cg'; got 'qr'."),
        ({"cg_steps": 0}, "cg_steps must be a whole number of at least 1; got 0."),
        (
            {"solver": "cg", "inference": "variational"},
            "solver='cg' finds no posterior covariances, which inference='variational' needs. "
            "Take solver='auto', or inference='ridge'.",
        ),
    ],
)
def test_bad_options_are_named(options, text):
    with pytest.raises(MixmendError) as failure:
        mm.MatrixFactorization(2, **options).fit(ratings(5))
    assert str(failure.value) == text
