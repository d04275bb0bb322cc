"""What every model that completes matrices owes its users, whatever it is made of."""

from __future__ import annotations

import copy
import pickle

import numba
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

import mixmend as mm
from contracts.completers import COMPLETERS, N_COLUMNS, N_ROWS, made_up
from mixmend.completion import predictive
from mixmend.errors import DataError, MixmendError

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::mixmend.errors.IndependenceWarning"),
]

NAMES = [f"film {i}" for i in range(N_COLUMNS)]

GROUPING_VERBS = ("predict", "score")
"""What only models whose rows belong to components or clusters offer."""
_fitted = {}


@pytest.fixture(params=COMPLETERS, ids=lambda completer: completer.name)
def completer(request):
    return request.param


@pytest.fixture(scope="module")
def truth():
    return made_up()[0]


@pytest.fixture(scope="module")
def X():  # noqa: N802 (the name of every data matrix)
    X = made_up()[1]
    X.flags.writeable = False
    return X


@pytest.fixture
def model(completer, X):
    """Fitted once; whoever changes it makes a copy."""
    if completer.name not in _fitted:
        _fitted[completer.name] = completer.make().fit(X)
    return _fitted[completer.name]


def labelled(X, names=NAMES):
    return mm.ObservedMatrix.from_dense(X, column_labels=names)


# ------------------------------------------------------------------ completed matrices


def test_observed_cells_stay_to_the_bit(model, X):
    filled = model.complete(X)
    seen = ~np.isnan(X)
    np.testing.assert_array_equal(filled[seen], X[seen])


def test_holes_get_numbers_with_positive_spread(model, X):
    filled, std = model.complete(X, return_std=True)
    holes = np.isnan(X)
    assert np.isfinite(filled).all()
    assert np.isfinite(std).all()
    assert (std[holes] > 0).all()
    assert (std[~holes] == 0).all()


def test_what_was_learned_is_no_worse_than_column_means(model, X, truth):
    holes = np.isnan(X)
    means = np.broadcast_to(np.nanmean(X, axis=0), X.shape)
    error = np.sqrt(np.mean((model.complete(X) - truth)[holes] ** 2))
    assert error <= 1.0001 * np.sqrt(np.mean((means - truth)[holes] ** 2))


def test_spread_does_not_depend_on_being_asked(model, X):
    np.testing.assert_array_equal(model.complete(X), model.complete(X, return_std=True)[0])


def test_the_data_are_not_touched(completer, X):
    mine = X.copy()
    completer.make().fit(mine).complete(mine)
    np.testing.assert_array_equal(mine, X)


def test_entries_are_those_of_the_completed_matrix(model, X):
    rows, columns = np.nonzero(np.isnan(X))
    filled, spread = model.complete(X, return_std=True)
    values, std = model.predict_entries(X, rows, columns, return_std=True)
    np.testing.assert_allclose(values, filled[rows, columns], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(std, spread[rows, columns], rtol=1e-10)
    np.testing.assert_array_equal(values, model.predict_entries(X, rows, columns))


def test_entries_come_in_the_order_asked(model, X):
    rows, columns = [5, 0, 5, N_ROWS - 1], [2, 6, 0, 3]
    together = model.predict_entries(X, rows, columns)
    alone = [model.predict_entries(X, u, i)[0] for u, i in zip(rows, columns, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_whole_distributions_agree_with_their_moments(model, X):
    rows, columns = np.nonzero(np.isnan(X))
    cells = model.predictive(X, rows, columns)
    filled, std = model.complete(X, return_std=True)
    np.testing.assert_allclose(cells.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert (cells.variances > 0).all()
    np.testing.assert_allclose(
        predictive.mean(cells), filled[rows, columns], rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(predictive.std(cells), std[rows, columns], rtol=1e-10)


def test_an_observed_cell_may_be_asked_for_again(completer, model, X):
    """A second measurement of a cell is uncertain, though the first one is known."""
    rows, columns = (where[:5] for where in np.nonzero(~np.isnan(X)))
    mean, std = model.predict_entries(X, rows, columns, return_std=True)
    if completer.repeats:
        np.testing.assert_allclose(mean, X[rows, columns], rtol=1e-9)
        np.testing.assert_allclose(std, 0.0, atol=1e-6)
    else:
        assert (std > 0).all()


# ------------------------------------------------------------------ a few rows at a time


@pytest.mark.parametrize("chunk_rows", [None, 1, 5, N_ROWS, N_ROWS + 9])
def test_chunks_make_up_the_whole(model, X, chunk_rows):
    chunks = list(model.iter_complete(X, chunk_rows=chunk_rows))
    filled, std = model.complete(X, return_std=True)
    step = chunk_rows or N_ROWS
    assert [chunk.first_row for chunk in chunks] == list(range(0, N_ROWS, step))
    np.testing.assert_allclose(np.concatenate([c.mean for c in chunks]), filled, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([c.std for c in chunks]), std, rtol=1e-12, atol=1e-12)
    assert all(chunk.lower is None and chunk.upper is None for chunk in chunks)


def test_a_chunk_gives_only_what_is_asked_for(model, X):
    chunk = next(model.iter_complete(X, return_std=False))
    assert (chunk.std, chunk.lower, chunk.upper) == (None, None, None)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_hold_what_they_say(model, X, level):
    chunks = list(model.iter_complete(X, interval=level, chunk_rows=11))
    lower, upper = (np.concatenate([getattr(c, end) for c in chunks]) for end in ("lower", "upper"))
    holes = np.isnan(X)
    np.testing.assert_array_equal(lower[~holes], X[~holes])
    np.testing.assert_array_equal(upper[~holes], X[~holes])
    cells = model.predictive(X, *np.nonzero(holes))
    median = predictive.quantile(cells, 0.5)
    assert (lower[holes] < median).all()
    assert (median < upper[holes]).all()
    inside = predictive.cdf(cells, upper[holes]) - predictive.cdf(cells, lower[holes])
    np.testing.assert_allclose(inside, level, rtol=1e-9)
    np.testing.assert_allclose(predictive.cdf(cells, lower[holes]), (1 - level) / 2, rtol=1e-8)


# ------------------------------------------------------------------ recommendation


def test_the_best_unobserved_columns_are_recommended(model, X):
    top = model.recommend(X, n_items=4)
    filled = model.complete(X)
    assert top.columns.shape == top.scores.shape == (N_ROWS, 4)
    for u in range(N_ROWS):
        holes = np.flatnonzero(np.isnan(X[u]))
        best = np.sort(filled[u, holes])[::-1][:4]
        found = top.columns[u] >= 0
        assert found.sum() == min(4, len(holes))
        assert set(top.columns[u, found]) <= set(holes)
        assert (top.columns[u, ~found] == -1).all()
        assert np.isnan(top.scores[u, ~found]).all()
        np.testing.assert_allclose(top.scores[u, found], best, rtol=1e-12)
        np.testing.assert_allclose(filled[u, top.columns[u, found]], best, rtol=1e-12)


def test_recommendations_for_some_rows_are_those_for_all(model, X):
    every = model.recommend(X, n_items=3)
    some = model.recommend(X, n_items=3, rows=[9, 2])
    np.testing.assert_array_equal(some.columns, every.columns[[9, 2]])
    np.testing.assert_allclose(some.scores, every.scores[[9, 2]], rtol=1e-12)
    assert model.recommend(X, n_items=3, rows=[]).columns.shape == (0, 3)


def test_a_row_that_observes_everything_gets_no_recommendation(model, truth):
    top = model.recommend(truth[:2], n_items=2)
    assert (top.columns == -1).all()
    assert np.isnan(top.scores).all()


# ------------------------------------------------------------------ folding in


def test_a_row_is_predicted_from_itself_alone(model, X):
    filled, std = model.complete(X, return_std=True)
    shuffled = np.random.default_rng(0).permutation(N_ROWS)
    other, other_std = model.complete(X[shuffled], return_std=True)
    np.testing.assert_allclose(other, filled[shuffled], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(other_std, std[shuffled], rtol=1e-10, atol=1e-12)
    for u in (0, 17):
        np.testing.assert_allclose(model.complete(X[[u]])[0], filled[u], rtol=1e-12, atol=1e-13)


def test_what_is_seen_of_a_row_changes_what_is_predicted(completer, model, truth):
    """Otherwise nothing above would notice a model that ignores its rows."""
    rows = np.full((2, N_COLUMNS), np.nan)
    rows[0, :-1], rows[1, :-1] = truth[:, :-1].min(axis=0), truth[:, :-1].max(axis=0)
    low, high = model.complete(rows)[:, -1]
    assert (low != high) == completer.reads_rows


def test_a_row_of_which_nothing_is_known_gets_the_average(completer, model, X):
    rows = np.vstack([X[:3], np.full(N_COLUMNS, np.nan)])
    filled, std = model.complete(rows, return_std=True)
    np.testing.assert_allclose(filled[3], completer.unseen(model), rtol=1e-10)
    assert (std[3] > 0).all()


def test_weights_of_rows_do_not_change_their_predictions(model, X):
    weighted = mm.ObservedMatrix.from_dense(X, row_weights=np.arange(N_ROWS))
    np.testing.assert_allclose(model.complete(weighted), model.complete(X), rtol=1e-12)


# ------------------------------------------------------------------ columns by name


def test_columns_are_lined_up_by_name(completer, X):
    model = completer.make().fit(labelled(X))
    filled = model.complete(labelled(X))
    np.testing.assert_array_equal(model.column_labels_, NAMES)
    turned = np.roll(np.arange(N_COLUMNS), 3)
    shuffled = labelled(X[:, turned], [NAMES[i] for i in turned])
    np.testing.assert_allclose(model.complete(shuffled), filled, rtol=1e-12)
    # a column that is not given is one of which nothing was seen
    few = labelled(X[:, [4, 1]], [NAMES[4], NAMES[1]])
    blank = np.full_like(X, np.nan)
    blank[:, [4, 1]] = X[:, [4, 1]]
    np.testing.assert_allclose(model.complete(few), model.complete(blank), rtol=1e-12)
    # positions do where there are no names
    np.testing.assert_array_equal(model.complete(X), filled)


def test_unknown_columns_are_refused_by_name(completer, X):
    model = completer.make().fit(labelled(X))
    strange = labelled(X[:, :2], ["film 0", "play 9"])
    with pytest.raises(DataError, match=r"^1 unknown column label: 'play 9'\. Known are such as"):
        model.complete(strange)


def test_names_that_the_model_does_not_have_are_positions(model, X):
    np.testing.assert_array_equal(model.complete(labelled(X)), model.complete(X))


@pytest.mark.parametrize("verb", ["complete", "recommend", "predict"])
def test_another_number_of_columns_is_refused(completer, model, X, verb):
    if verb in GROUPING_VERBS and not completer.groups:
        verb = "transform"
    name = type(model).__name__
    with pytest.raises(DataError) as failure:
        getattr(model, verb)(X[:, :4])
    assert str(failure.value) == (
        f"X has 4 features, but {name} is expecting {N_COLUMNS} features as input. "
        "Give rows with the columns that the model was fitted to."
    )


# ------------------------------------------------------------------ whatever holds the data


def sparse_of(X, kind):
    rows, columns = np.nonzero(~np.isnan(X))
    return sparse.coo_array((X[rows, columns], (rows, columns)), shape=X.shape).asformat(kind)


FORMS = {
    "ObservedMatrix": mm.ObservedMatrix.from_dense,
    "by entries": lambda X: mm.ObservedMatrix.from_sparse(sparse_of(X, "csr")),
    "masked array": lambda X: np.ma.masked_array(np.nan_to_num(X, nan=-9.0), np.isnan(X)),
    "nested lists": lambda X: [[None if np.isnan(x) else x for x in row] for row in X],
    "CSR": lambda X: sparse_of(X, "csr"),
    "CSC": lambda X: sparse_of(X, "csc"),
    "COO": lambda X: sparse_of(X, "coo"),
    "CSR matrix": lambda X: sparse.csr_matrix(sparse_of(X, "csr")),
    "pandas": lambda X: pd.DataFrame(X, columns=NAMES),
    "polars": lambda X: pl.DataFrame(X, schema=NAMES, nan_to_null=True),
    "Arrow": lambda X: pa.table(
        {n: pa.array(c, from_pandas=True) for n, c in zip(NAMES, X.T, strict=True)}
    ),
    "Fortran order": np.asfortranarray,
    "every other row of more": lambda X: np.repeat(X, 2, axis=0)[::2],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_the_data_gives_the_same(completer, model, X, form):
    again = completer.make().fit(form(X))
    rows, columns = [0, 3, 8], [1, 0, 6]
    for one, other in ((again, X), (model, form(X))):
        np.testing.assert_allclose(one.complete(other), model.complete(X), rtol=1e-9)
        np.testing.assert_allclose(
            one.predict_entries(other, rows, columns),
            model.predict_entries(X, rows, columns),
            rtol=1e-9,
        )
        np.testing.assert_array_equal(
            one.recommend(other, 3).columns, model.recommend(X, 3).columns
        )


def test_single_precision_gives_nearly_the_same(completer, model, X):
    again = completer.make().fit(X.astype(np.float32))
    filled, std = again.complete(X.astype(np.float32), return_std=True)
    expected, expected_std = model.complete(X, return_std=True)
    assert filled.dtype == std.dtype == np.float64
    np.testing.assert_allclose(filled, expected, rtol=0, atol=2e-3)
    np.testing.assert_allclose(std, expected_std, rtol=0, atol=2e-3)


def test_stored_zeros_are_observed(completer, X):
    zeroed = np.where(np.abs(X) < 0.2, 0.0, X)
    stored = sparse_of(zeroed, "csr")
    assert (stored.data == 0).sum() == (zeroed == 0).sum() > 0
    model = completer.make().fit(stored)
    np.testing.assert_allclose(
        model.complete(stored), completer.make().fit(zeroed).complete(zeroed), rtol=1e-9
    )


# ------------------------------------------------------------------ the same again


def states(model):
    """All that a fit left behind, to the bit."""
    found = {name: value for name, value in vars(model).items() if name.endswith("_")}
    found |= found.pop("parameters_")._asdict() if "parameters_" in found else {}
    return {
        name: (value.dtype, value.shape, value.tobytes())
        if isinstance(value, np.ndarray)
        else repr(value)
        for name, value in found.items()
    }


@pytest.mark.parametrize("make", [int, np.random.RandomState, np.random.default_rng])
def test_the_same_seed_gives_the_same_bits(completer, X, make):
    one, two = (completer.make(random_state=make(11)).fit(X) for _ in range(2))
    assert states(one) == states(two)
    assert one.complete(X).tobytes() == two.complete(X).tobytes()


def test_numpys_global_seed_reproduces(completer, X):
    fits = []
    for _ in range(2):
        np.random.seed(5)
        fits.append(completer.make(random_state=None).fit(X).complete(X))
    np.testing.assert_array_equal(*fits)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_threads_do_not_change_a_bit(completer):
    X = made_up(1500, 60)[1]  # several tasks per loop
    results = []
    for n_threads in (1, 2):
        before = numba.get_num_threads()
        numba.set_num_threads(n_threads)
        try:
            with threadpool_limits(n_threads):
                model = completer.make(**completer.large).fit(X)
                results.append((states(model), [a.tobytes() for a in model.complete(X, True)]))
        finally:
            numba.set_num_threads(before)
    assert results[0] == results[1]


def test_copies_and_pickles_predict_the_same(model, X):
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.complete(X), model.complete(X))


@pytest.mark.parametrize("names", [None, NAMES, list(range(10, 10 + N_COLUMNS))])
def test_saved_models_predict_to_the_bit_what_they_did(completer, X, tmp_path, names):
    model = completer.make().fit(X if names is None else labelled(X, names))
    mm.save(model, tmp_path / "a.mixmend")
    again = mm.load(tmp_path / "a.mixmend")
    assert type(again) is type(model)
    for one, other in zip(model.complete(X, True), again.complete(X, True), strict=True):
        assert one.tobytes() == other.tobytes()
    if completer.groups:
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.score(X) == model.score(X)
    assert (again.n_iter_, again.history_) == (model.n_iter_, model.history_)
    assert again.n_features_in_ == N_COLUMNS
    params = model.get_params()
    assert {k: v for k, v in again.get_params().items() if v is not None} == {
        k: v for k, v in params.items() if v is not None
    }
    if names is None:
        assert again.column_labels_ is None
    else:
        np.testing.assert_array_equal(again.column_labels_, names)
        assert again.column_labels_.dtype == model.column_labels_.dtype
        turned = labelled(X[:, ::-1], names[::-1])
        np.testing.assert_array_equal(again.complete(turned), again.complete(X))


# ------------------------------------------------------------------ what cannot be done


VERBS = {
    "complete": lambda model, X: model.complete(X),
    "iter_complete": lambda model, X: next(model.iter_complete(X)),
    "predict_entries": lambda model, X: model.predict_entries(X, [0], [0]),
    "predictive": lambda model, X: model.predictive(X, [0], [0]),
    "recommend": lambda model, X: model.recommend(X),
    "predict": lambda model, X: model.predict(X),
    "score": lambda model, X: model.score(X),
    "save": lambda model, X: mm.save(model, "never.mixmend"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_works_before_fit(completer, X, verb, tmp_path, monkeypatch):
    if verb in GROUPING_VERBS and not completer.groups:
        assert not hasattr(completer.make(), verb)
        return
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFittedError):
        VERBS[verb](completer.make(), X)
    assert not list(tmp_path.iterdir())


def test_infinite_values_are_refused_where_they_stand(completer, model, X):
    bad = X.copy()
    bad[4, 2] = np.inf
    for verb in (completer.make().fit, model.complete):
        with pytest.raises(DataError, match="row 4, column 2"):
            verb(bad)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([N_ROWS], [0], f"row {N_ROWS} does not exist: the matrix has {N_ROWS} rows, 0 to 47."),
        ([-1], [0], f"row -1 does not exist: the matrix has {N_ROWS} rows, 0 to 47."),
        ([0], [7], "column 7 does not exist: the matrix has 7 columns, 0 to 6."),
        (
            [0, 1],
            [0, 1, 2],
            "rows and columns must be of equal length; got 2 rows and 3 columns.",
        ),
        (
            ["ann"],
            [0],
            "rows must be whole-number positions; got <U3. "
            "Look labels up first (mixmend.observed.labels.positions).",
        ),
        (
            [0],
            [1.0],
            "columns must be whole-number positions; got float64. "
            "Look labels up first (mixmend.observed.labels.positions).",
        ),
    ],
)
def test_cells_that_do_not_exist_are_refused(model, X, rows, columns, message):
    for verb in (model.predict_entries, model.predictive):
        with pytest.raises(DataError) as failure:
            verb(X, rows, columns)
        assert str(failure.value) == message


def test_options_of_the_verbs_are_checked(model, X):
    for bad in (0, -3):
        with pytest.raises(MixmendError) as failure:
            list(model.iter_complete(X, chunk_rows=bad))
        assert str(failure.value) == f"chunk_rows must be at least 1; got {bad}."
    for bad in (0.0, 1, 90):
        with pytest.raises(MixmendError) as failure:
            list(model.iter_complete(X, interval=bad))
        assert str(failure.value) == f"interval must lie between 0 and 1; got {bad}."
    with pytest.raises(MixmendError) as failure:
        model.recommend(X, n_items=0)
    assert str(failure.value) == "the number of columns to pick must be a whole number >= 1; got 0."
    with pytest.raises(DataError) as failure:
        model.recommend(X, rows=[99])
    assert str(failure.value) == f"row 99 does not exist: the matrix has {N_ROWS} rows, 0 to 47."
