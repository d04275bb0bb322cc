"""Half-steps against plain regressions, line by line."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import mixmend as mm
from mixmend.errors import MixmendError
from mixmend.factors import sweeps
from mixmend.factors.sweeps import Cells, Prior, Side, design_table, solve_side, triangle

LAMBDA = 0.7


def holed(seed, n=23, d=61, share=0.4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X[rng.random((n, d)) < share] = np.nan
    X[3] = np.nan
    return mm.ObservedMatrix.from_dense(X)


def random_covariances(rng, n, q):
    roots = 0.3 * rng.normal(size=(n, q, q))
    full = roots @ roots.swapaxes(1, 2)
    a, b = np.triu_indices(q)
    return full, np.ascontiguousarray(full[:, a, b])


def regression(obs, u, other, effects, spread=None, weights=None):
    """Moment matrix of one line's design vectors, its right-hand side and its squares."""
    columns, targets = obs.row(u)
    Z = other[columns]
    if effects:
        Z = np.column_stack([Z[:, :-1], np.ones(len(columns)), Z[:, -1:]])
    full = np.zeros((len(columns), Z.shape[1], Z.shape[1]))
    if spread is not None:
        q = other.shape[1]
        place = np.arange(q)
        if effects:
            place[-1] = q
        full[np.ix_(range(len(columns)), place, place)] = spread[columns]
    w = np.ones(len(columns)) if weights is None else weights[columns]
    M = np.einsum("i,ia,ib->ab", w, Z, Z) + np.einsum("i,iab->ab", w, full)
    return M, Z.T @ (w * targets), w @ targets**2


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3, 7, 8, 15, 16, 33, 50])
def test_a_half_step_is_ridge_regression_line_by_line(rank, effects):
    obs = holed(rank)
    rng = np.random.default_rng(rank)
    q = rank + effects
    other = Side(rng.normal(size=(obs.shape[1], q)))
    found = solve_side(
        Cells(obs.by_row), other, Prior(np.ones(q), np.full(obs.shape[0], LAMBDA)), effects
    )
    for u in range(obs.shape[0]):
        columns, targets = obs.row(u)
        if len(columns) == 0:
            assert np.all(found.side.values[u] == 0)
            continue
        Z, rest = other.values[columns], targets
        if effects:
            rest = targets - Z[:, -1]
            Z = np.column_stack([Z[:, :-1], np.ones(len(columns))])
        peer = Ridge(alpha=LAMBDA, fit_intercept=False, solver="cholesky").fit(Z, rest)
        assert np.abs(found.side.values[u] - peer.coef_).max() < 1e-10
        assert found.squares[u] == pytest.approx(((rest - Z @ peer.coef_) ** 2).sum(), rel=1e-9)


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("rank", [1, 4, 9, 20, 41])
def test_everything_that_a_variational_half_step_needs(rank, effects):
    obs = holed(rank + 100)
    rng = np.random.default_rng(rank)
    n, d, q = *obs.shape, rank + effects
    full, packed = random_covariances(rng, d, q)
    other = Side(rng.normal(size=(d, q)), packed)
    precision, scales = rng.uniform(0.5, 2, q), rng.uniform(0.5, 2, n)
    means, weights = rng.normal(size=(n, q)), rng.uniform(0.5, 2, d)
    found = solve_side(
        Cells(obs.by_row, None, None, weights),
        other,
        Prior(precision, scales, means),
        effects,
        covariances=True,
        freedom=True,
    )
    for u in range(n):
        M, right, squares = regression(obs, u, other.values, effects, full, weights)
        D = np.diag(precision * scales[u])
        A = M[:q, :q] + D
        known = M[:q, q] if effects else 0.0
        x = np.linalg.solve(A, right[:q] - known + D @ means[u])
        assert np.allclose(found.side.values[u], x, rtol=0, atol=1e-10)
        v = np.append(x, 1.0) if effects else x
        expected = squares - 2 * right @ v + v @ M @ v
        assert found.squares[u] == pytest.approx(expected, abs=1e-9)
        assert found.log_dets[u] == pytest.approx(np.linalg.slogdet(A)[1], abs=1e-10)
        inverse = np.linalg.inv(A)
        assert np.allclose(found.side.covariances[u], inverse[np.triu_indices(q)], atol=1e-11)
        assert found.freedom[u] == pytest.approx(np.trace(inverse @ M[:q, :q]), abs=1e-9)


def lines_of(counts, d, seed):
    """A matrix whose lines have the given numbers of entries."""
    rng = np.random.default_rng(seed)
    columns = np.concatenate([rng.choice(d, count, replace=False) for count in counts])
    rows = np.repeat(np.arange(len(counts)), counts)
    values = 3 + rng.normal(size=len(rows))
    return mm.ObservedMatrix.from_triplets(rows, columns, values, shape=(len(counts), d))


@pytest.mark.parametrize("strength", [20.0, 0.3, 1e-9])
@pytest.mark.parametrize("q", [1, 5, 24, 40, 70])
def test_lines_with_fewer_and_with_more_entries_than_unknowns_are_the_same_regression(q, strength):
    counts = sorted({1, 2, max(q // 2, 1), max(q - 1, 1), q, q + 1, 2 * q, 3 * q + 5})
    obs = lines_of(counts, 4 * q + 5, q)
    other = Side(np.random.default_rng(q).normal(size=(obs.shape[1], q)))
    prior = Prior(np.full(q, strength), np.ones(len(counts)))
    found = solve_side(Cells(obs.by_row), other, prior, False)
    for u, count in enumerate(counts):
        columns, targets = obs.row(u)
        Z = other.values[columns]
        peer = Ridge(alpha=strength, fit_intercept=False, solver="svd", tol=0).fit(Z, targets)
        error = np.abs(found.side.values[u] - peer.coef_).max()
        # hardly held, as many equations as unknowns are as badly conditioned as Z, squared
        smaller = Z @ Z.T if count < q else Z.T @ Z
        condition = np.linalg.cond(smaller + strength * np.eye(len(smaller)))
        assert error < max(1e-10, 1e-15 * condition * np.abs(peer.coef_).max())
        assert strength < 0.1 or error < 1e-10
        rest = targets - Z @ found.side.values[u]
        assert found.squares[u] == pytest.approx(rest @ rest, abs=1e-13 * (targets @ targets))


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("q", [2, 9, 37, 60])
def test_everything_but_inverses_is_found_whichever_side_of_the_system_is_smaller(q, effects):
    counts = [0, 1, 3, q - 1, q, q + 1, 2 * q]
    obs = lines_of(counts, 2 * q + 9, q)
    rng = np.random.default_rng(q)
    (n, d), other = obs.shape, Side(rng.normal(size=(obs.shape[1], q)))
    precision, scales = rng.uniform(0.01, 20, q), rng.uniform(0.5, 2, n)
    means, weights = rng.normal(size=(n, q)), rng.uniform(0.5, 2, d)
    mine, theirs = rng.normal(size=n), rng.normal(size=d)
    prior = Prior(precision, scales, means)
    cells = Cells(obs.by_row, mine, theirs, weights)
    found = solve_side(cells, other, prior, effects, freedom=True)
    for u in range(n):
        columns, targets = obs.row(u)
        moved = targets - mine[u] - theirs[columns]
        Z, w = other.values[columns], weights[columns]
        if effects:
            moved = moved - Z[:, -1]
            Z = np.column_stack([Z[:, :-1], np.ones(len(columns))])
        D = np.diag(precision * scales[u])
        M = Z.T @ (w[:, None] * Z)
        x = np.linalg.solve(M + D, Z.T @ (w * moved) + D @ means[u])
        assert np.allclose(found.side.values[u], x, rtol=0, atol=1e-10)
        assert found.squares[u] == pytest.approx(w @ (moved - Z @ x) ** 2, rel=1e-8, abs=1e-12)
        assert found.log_dets[u] == pytest.approx(np.linalg.slogdet(M + D)[1], abs=1e-10)
        assert found.freedom[u] == pytest.approx(np.trace(np.linalg.solve(M + D, M)), abs=1e-9)


def test_a_coordinate_that_is_held_hard_and_one_that_is_hardly_held_are_solved_together():
    obs = lines_of([3, 5, 30], 40, 0)
    q, rng = 12, np.random.default_rng(1)
    other, precision = Side(rng.normal(size=(40, q))), np.geomspace(1e-6, 1e12, q)
    means = rng.normal(size=(3, q))
    found = solve_side(Cells(obs.by_row), other, Prior(precision, np.ones(3), means), False)
    for u in range(3):
        columns, targets = obs.row(u)
        Z = other.values[columns]
        # deviations from the means, in units in which all are held alike
        scaled = np.vstack([Z / np.sqrt(precision), np.eye(q)])
        right = np.append(targets - Z @ means[u], np.zeros(q))
        y = np.linalg.lstsq(scaled, right, rcond=None)[0]
        assert np.allclose(found.side.values[u], means[u] + y / np.sqrt(precision), atol=1e-8)


def test_a_line_with_few_entries_needs_hardly_any_regularization():
    obs = lines_of([4, 7], 50, 3)
    other = Side(np.random.default_rng(0).normal(size=(50, 30)))
    found = solve_side(Cells(obs.by_row), other, Prior(np.full(30, 1e-13), np.ones(2)), False)
    for u in range(2):
        columns, targets = obs.row(u)
        shortest = np.linalg.lstsq(other.values[columns], targets, rcond=None)[0]
        assert np.abs(found.side.values[u] - shortest).max() < 1e-10
        assert found.squares[u] < 1e-20


def test_offsets_of_both_sides_are_taken_off():
    obs = holed(5)
    rng = np.random.default_rng(0)
    (n, d), q = obs.shape, 3
    mine, theirs = rng.normal(size=n), rng.normal(size=d)
    other, prior = Side(rng.normal(size=(d, q))), Prior(np.ones(q), np.ones(n))
    moved = mm.ObservedMatrix.from_dense(obs.dense - mine[:, None] - theirs)
    there = solve_side(Cells(obs.by_row, mine, theirs), other, prior, False)
    plain = solve_side(Cells(moved.by_row), other, prior, False)
    assert np.allclose(there.side.values, plain.side.values, atol=1e-12)
    assert not np.allclose(
        there.side.values, solve_side(Cells(obs.by_row), other, prior, False).side.values
    )


def test_lines_longer_than_a_pack_are_summed_whole():
    obs = holed(6, n=4, d=1000)
    rng = np.random.default_rng(0)
    other = Side(rng.normal(size=(1000, 5)))
    found = solve_side(Cells(obs.by_row), other, Prior(np.ones(5), np.ones(4)), False)
    for u in (0, 1, 2):
        columns, targets = obs.row(u)
        peer = Ridge(alpha=1.0, fit_intercept=False).fit(other.values[columns], targets)
        assert np.abs(found.side.values[u] - peer.coef_).max() < 1e-10


def test_single_precision_entries_are_regressed_in_double():
    obs = holed(7)
    single = mm.ObservedMatrix.from_dense(obs.dense.astype(np.float32))
    exact = mm.ObservedMatrix.from_dense(obs.dense.astype(np.float32).astype(np.float64))
    other = Side(np.random.default_rng(0).normal(size=(obs.shape[1], 4)))
    prior = Prior(np.ones(4), np.ones(obs.shape[0]))
    a, b = (solve_side(Cells(o.by_row), other, prior, False).side.values for o in (single, exact))
    assert np.array_equal(a, b)


@pytest.mark.parametrize(("q", "covariances"), [(20, True), (20, False), (120, False)])
def test_results_do_not_depend_on_threads(q, covariances):
    import numba

    obs = holed(8, n=300, d=200)
    other = Side(np.random.default_rng(0).normal(size=(200, q)))
    prior = Prior(np.ones(q), np.ones(300))
    before = numba.get_num_threads()
    results = []
    try:
        for count in {1, before}:
            numba.set_num_threads(count)
            how = {"covariances": covariances, "freedom": True}
            results.append(solve_side(Cells(obs.by_row), other, prior, False, **how))
    finally:
        numba.set_num_threads(before)
    for other_result in results[1:]:
        assert np.array_equal(results[0].side.values, other_result.side.values)
        assert np.array_equal(results[0].freedom, other_result.freedom)
        if covariances:
            assert np.array_equal(results[0].side.covariances, other_result.side.covariances)


@pytest.mark.parametrize("effects", [False, True])
def test_few_entries_need_only_the_lines_that_they_touch(effects, monkeypatch):
    rng = np.random.default_rng(0)
    X = np.full((3, 400), np.nan)
    X[0, [3, 50, 399]], X[2, [50, 51]] = rng.normal(size=3), rng.normal(size=2)
    obs, q = mm.ObservedMatrix.from_dense(X), 4 + effects
    _, packed = random_covariances(rng, 400, q)
    arguments = (
        Cells(obs.by_row, rng.normal(size=3), rng.normal(size=400), rng.uniform(0.5, 2, 400)),
        Side(rng.normal(size=(400, q)), packed),
        Prior(np.ones(q), np.ones(3)),
        effects,
    )
    tables = []

    def seen(side, effects):
        tables.append(len(side.values))
        return design_table(side, effects)

    monkeypatch.setattr(sweeps, "design_table", seen)
    few = solve_side(*arguments, covariances=True)
    monkeypatch.setattr(sweeps, "_touched", lambda cells, other: (cells, other))
    all_of_them = solve_side(*arguments, covariances=True)
    assert tables == [4, 400]
    assert np.array_equal(few.side.values, all_of_them.side.values)
    assert np.array_equal(few.side.covariances, all_of_them.side.covariances)
    assert np.array_equal(few.squares, all_of_them.squares)


def test_a_singular_system_is_named():
    obs = holed(9)
    other = Side(np.ones((obs.shape[1], 2)))
    with pytest.raises(
        MixmendError, match=r"^The system of line 0 is singular: regularization is "
    ):
        solve_side(Cells(obs.by_row), other, Prior(np.zeros(2), np.ones(obs.shape[0])), False)


def test_design_vectors_hold_factors_one_and_the_effect():
    table = design_table(Side(np.array([[1.0, 2.0, 3.0]])), effects=True)
    assert table[0, :4].tolist() == [1.0, 2.0, 1.0, 3.0]
    assert not table[0, 4:].any()
    assert triangle(3) == 6
