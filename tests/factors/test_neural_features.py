"""The network with features: what they say where nothing was observed."""

import numpy as np
import pandas as pd
import pytest

import mixmend as mm
from mixmend.errors import DataError
from mixmend.factors.neural_problem import checked, pose
from mixmend.factors.neural_training import Trainer

N, D, F = 120, 60, 3
COLD = np.arange(8)
"""Rows and columns of which the training entries tell nothing."""


def described(seed=0):
    """Cells whose factors and effects are regressions on features, with little of their own."""
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(N, F)), rng.normal(size=(D, F))
    Q = U @ rng.normal(0, 0.6, (F, 2)) + 0.2 * rng.normal(size=(N, 2))
    P = V @ rng.normal(0, 0.6, (F, 2)) + 0.2 * rng.normal(size=(D, 2))
    truth = 3 + Q @ P.T + (U @ [0.3, -0.2, 0.0])[:, None] + V @ [0.0, 0.4, 0.2]
    X = truth + 0.2 * rng.normal(size=truth.shape)
    X[rng.random(X.shape) < 0.4] = np.nan
    return X, truth, U, V


def small(**options):
    own = {"hidden": (8,), "regularization": 1.0, "learning_rate": 0.02, "batch_size": 128}
    own |= {"n_factors": 4, "max_iter": 15, "random_state": 0, "weight_decay": 0.01}
    return mm.NeuralFactorization(**own | options)


def error(guess, truth):
    return np.sqrt(np.mean((guess - truth) ** 2))


@pytest.fixture(scope="module")
def case():
    return described()


@pytest.fixture(scope="module")
def model(case):
    X, _, U, V = case
    return small().fit(X, row_features=U, column_features=V)


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
@pytest.mark.parametrize("head", ["dot", "mlp", "both"])
def test_columns_without_entries_are_predicted_from_features(case, head):
    X, truth, U, V = case
    X = X.copy()
    X[:, COLD] = np.nan
    without = small(head=head).fit(X).complete(X)[:, COLD]
    given = small(head=head).fit(X, row_features=U, column_features=V).complete(X)[:, COLD]
    assert error(given, truth[:, COLD]) < 0.75 * error(without, truth[:, COLD])


def test_new_rows_without_entries_are_predicted_from_features(case, model):
    X, truth, U, _ = case
    cold = small().fit(X[len(COLD) :], row_features=U[len(COLD) :])
    blank = np.full((len(COLD), D), np.nan)
    given = cold.complete(blank, row_features=U[COLD])
    assert error(given, truth[COLD]) < 0.8 * error(np.nanmean(X, axis=0), truth[COLD])
    # and with entries they are better still
    seen = X[COLD].copy()
    seen[:, ::2] = np.nan
    more = cold.complete(seen, row_features=U[COLD])
    assert error(more[:, ::2], truth[COLD, ::2]) < error(given[:, ::2], truth[COLD, ::2])


def test_training_rows_keep_the_features_that_they_had(case, model):
    X, _, U, _ = case
    np.testing.assert_array_equal(model.complete(X), model.complete(X, row_features=U))
    np.testing.assert_array_equal(model.transform(X), model.transform(X, row_features=U))
    np.testing.assert_allclose(
        model.predict_entries(X[5:7], [1], [3], row_features=U[5:7]),
        model.predict_entries(X, [6], [3]),
        rtol=1e-12,
    )


def test_rows_are_known_by_their_labels(case):
    X, _, U, V = case
    names = [f"user {u}" for u in range(N)]
    obs = mm.ObservedMatrix.from_dense(X, row_labels=names)
    table = pd.DataFrame({"age": U[:, 0], "height": U[:, 1], "taste": U[:, 2]}, index=names)
    model = small().fit(obs, row_features=table.sample(frac=1, random_state=0), column_features=V)
    assert model.row_feature_names_ == ("constant", "age", "height", "taste")
    filled = model.complete(obs)
    np.testing.assert_allclose(model.complete(obs.select_rows([7, 3])), filled[[7, 3]], rtol=1e-11)
    strange = obs.select_rows([0]).with_labels(row_labels=["nobody"])
    with pytest.raises(DataError) as failure:
        model.complete(strange)
    assert str(failure.value) == (
        "The model was fitted with row_features: give those of the rows, such as nobody, that are "
        "not known by label from the training, or set missing_features='unknown'."
    )
    forgiving = small(missing_features="unknown", max_iter=2).fit(obs, row_features=table)
    assert np.isfinite(forgiving.complete(strange)).all()


def test_features_come_back_from_files(case, model, tmp_path):
    X, _, U, _ = case
    mm.save(model, tmp_path / "m.mixmend")
    back = mm.load(tmp_path / "m.mixmend")
    new = X[:9], U[:9] + 0.5
    for a, b in (
        (model.complete(X), back.complete(X)),
        (model.complete(new[0], row_features=new[1]), back.complete(new[0], row_features=new[1])),
    ):
        assert a.tobytes() == b.tobytes()
    assert back.row_feature_names_ == model.row_feature_names_
    other = small(implicit=5, max_iter=2).fit(X)
    mm.save(other, tmp_path / "m.mixmend")
    assert (
        other.complete(X[:9]).tobytes() == mm.load(tmp_path / "m.mixmend").complete(X[:9]).tobytes()
    )


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_embeddings_left_out_in_training_help_where_there_are_none(case):
    X, truth, U, V = case
    X = X.copy()
    X[:, COLD] = np.nan
    errors = [
        error(
            small(embedding_dropout=share, random_state=seed)
            .fit(X, row_features=U, column_features=V)
            .complete(X)[:, COLD],
            truth[:, COLD],
        )
        for share in (0.0, 0.3)
        for seed in range(3)
    ]
    assert np.mean(errors[3:]) < np.mean(errors[:3])


def test_embeddings_without_entries_stay_zero(case):
    """Random ones would add noise to what features say."""
    X = case[0].copy()
    X[:, 5] = X[7] = np.nan
    options = checked(small())
    problem = pose(mm.ObservedMatrix.from_dense(X), options, case[2], case[3])
    trainer = Trainer(problem, problem.standard(), np.random.default_rng(0))
    trainer.epoch()
    network = trainer.network()
    by_features = case[3][5] @ trainer.maps["column_map"].detach().numpy()
    np.testing.assert_allclose(network.columns[5], by_features, rtol=1e-6)
    assert not trainer.embeddings["rows"][7].any()
    assert not trainer.embeddings["row_effects"][7].any()
    assert trainer.embeddings["rows"][6].all()


BAD = [
    (
        {"row_features": np.ones((3, 2))},
        "row_features has 3 lines, the matrix 120 rows: without labels on both sides they are "
        "matched by position and must be equally many.",
    ),
    ({"column_features": {"year": []}}, "column_features has no lines."),
]


@pytest.mark.parametrize(("given", "text"), BAD)
def test_features_that_do_not_fit_are_named(case, given, text):
    with pytest.raises(DataError) as failure:
        small().fit(case[0], **given)
    assert str(failure.value) == text


def test_features_are_wanted_where_there_were_some_and_only_there(case, model):
    X, _, U, _ = case
    with pytest.raises(DataError, match=r"^The model was fitted with row_features: give those of "):
        model.complete(X[:3])
    with pytest.raises(DataError) as failure:
        small(max_iter=1).fit(X).complete(X[:3], row_features=U[:3])
    assert str(failure.value) == (
        "The model was fitted without row_features: it has no use for any."
    )


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_a_network_with_features_on_movielens(shared_path):
    """Published graph networks with features reach 0.905 on this split."""
    folder = "data/ratings/movielens_100k"
    train, test = mm.evaluation.align_labels(
        *(mm.read_ratings(shared_path(f"{folder}/u1.{part}")) for part in ("base", "test"))
    )
    people, films = (
        pd.read_csv(shared_path(f"{folder}/u.{name}"), sep="|", header=None, encoding="latin-1")
        for name in ("user", "item")
    )
    films = pd.concat([films[0], films[2].str[-4:].astype(float), films.iloc[:, 5:]], axis=1)
    model = mm.NeuralFactorization(16, implicit=True, random_state=0).fit(
        train,
        row_features=people.iloc[:, :4].set_axis(["user", "age", "sex", "work"], axis=1),
        column_features=films.set_axis([f"about {k}" for k in range(films.shape[1])], axis=1),
    )
    rows, columns, values = test.entries()
    cells = model.predictive(train, rows, columns)
    assert np.sqrt(np.mean((cells.means[:, 0] - values) ** 2)) < 0.905
    assert 0.88 < mm.evaluation.interval_coverage(cells, values) < 0.92
