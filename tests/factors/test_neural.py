"""The network: one pass and one step by hand, whole fits, and what cannot be done."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import mixmend as mm
from mixmend.errors import DataError, MixmendError, ModelFileError, OptionalDependencyError
from mixmend.factors.network import Layer, Network, all_outputs, outputs, slopes
from mixmend.factors.neural_folding import Penalty, fold_rows
from mixmend.factors.neural_problem import checked, pose
from mixmend.factors.neural_training import Trainer, one_thread
from mixmend.observed.compressed import Compressed


def ratings(seed=0, n=60, d=20, share=0.5, noise=0.3):
    """Products of factors with effects and noise, some of them observed."""
    rng = np.random.default_rng(seed)
    truth = 3.0 + rng.normal(0, 0.5, (n, 1)) + rng.normal(0, 0.5, d)
    truth = truth + rng.normal(size=(n, 2)) @ rng.normal(0, 0.5, (2, d))
    X = truth + noise * rng.normal(size=(n, d))
    X[rng.random((n, d)) < share] = np.nan
    return mm.ObservedMatrix.from_dense(X), truth


SMALL = {
    "n_factors": 3,
    "hidden": (8, 5),
    "regularization": 1.0,
    "learning_rate": 0.02,
    "batch_size": 64,
    "max_iter": 6,
    "random_state": 0,
}


def small(**options):
    return mm.NeuralFactorization(**SMALL | options)


def some_network(rank=3, d=7, hidden=(5, 4), dot=True, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [2 * rank, *hidden, 1]
    layers = tuple(
        Layer(rng.normal(size=(out, into)), rng.normal(size=out)) for into, out in pairwise(sizes)
    )
    columns, effects = rng.normal(size=(d, rank)), rng.normal(size=d)
    return Network(
        columns, effects, dot, layers if hidden else (), np.zeros((0, rank)), np.zeros(0)
    )


def by_hand(network, row, column):
    """One cell by plain loops."""
    q, p = row[:-1], network.columns[column]
    y = row[-1] + network.column_effects[column]
    if network.dot:
        y += sum(a * b for a, b in zip(q, p, strict=True))
    if network.layers:
        x = [*q, *p]
        for k, (weights, bias) in enumerate(network.layers):
            x = [sum(w * a for w, a in zip(line, x, strict=True)) for line in weights] + bias
            if k < len(network.layers) - 1:
                x = [max(value, 0.0) for value in x]
        y += x[0]
    return y


FORMS = {
    "dot": {"hidden": (), "dot": True},
    "mlp": {"hidden": (5, 4), "dot": False},
    "both": {"hidden": (5, 4), "dot": True},
    "one layer": {"hidden": (6,), "dot": True},
}


# ------------------------------------------------------------------ one pass, one step


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_pass_is_that_of_its_definition(form):
    network = some_network(**form)
    rows = np.random.default_rng(1).normal(size=(4, 4))
    first = network.columns_first()
    expected = np.array([[by_hand(network, row, i) for i in range(7)] for row in rows])
    np.testing.assert_allclose(all_outputs(network, rows, first), expected, rtol=1e-12)
    at = np.array([3, 0, 0, 2]), np.array([6, 0, 1, 6])
    np.testing.assert_allclose(outputs(network, rows, first, *at), expected[at], rtol=1e-12)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_slopes_are_derivatives_by_either_sides_vectors(form):
    network = some_network(**form)
    rows = np.random.default_rng(2).normal(size=(4, 4))
    at, step = (np.array([3, 0, 2]), np.array([6, 1, 6])), 1e-6
    y, by_row = slopes(network, rows, network.columns_first(), *at, by="row")
    _, by_column = slopes(network, rows, network.columns_first(), *at, by="column")
    for k in range(3):
        moved = rows.copy()
        moved[:, k] += step
        changed = outputs(network, moved, network.columns_first(), *at)
        np.testing.assert_allclose((changed - y) / step, by_row[:, k], atol=1e-5)
        columns = network.columns.copy()
        columns[:, k] += step
        other = network._replace(columns=columns)
        changed = outputs(other, rows, other.columns_first(), *at)
        np.testing.assert_allclose((changed - y) / step, by_column[:, k], atol=1e-5)


def trained(obs, seed=0, **options):
    """A trainer after one epoch, without dropout."""
    options = {"dropout": 0, "embedding_dropout": 0} | options
    problem = pose(obs, checked(small(**options)))
    trainer = Trainer(problem, problem.standard(), np.random.default_rng(seed))
    with one_thread():
        trainer.epoch()
    return problem, trainer


@pytest.mark.parametrize("head", ["dot", "mlp", "both"])
def test_the_loss_in_training_is_that_of_the_frozen_network(head):
    obs, _ = ratings()
    weights = np.random.default_rng(0).uniform(0.5, 2, obs.shape[0])
    problem, trainer = trained(obs.with_row_weights(weights), head=head, regularization=3.0)
    network, batch = trainer.network(), np.array([5, 0, 17, 100])
    loss = trainer.loss(trainer.torch.from_numpy(batch)).item()
    q = trainer.embeddings["rows"].detach().numpy().astype(float)
    b = trainer.embeddings["row_effects"].detach().numpy().astype(float)
    rows, columns, values = (side[batch] for side in obs.entries())
    y = [by_hand(network, np.append(q[u], b[u]), i) for u, i in zip(rows, columns, strict=True)]
    squares = weights[rows] * ((values - problem.mean) / problem.scale - y) ** 2
    size_rows = 3.0 / problem.scale * (q**2).sum(1) + 3.0 * b**2
    size_columns = 3.0 / problem.scale * (network.columns**2).sum(1)
    size_columns = size_columns + 3.0 * network.column_effects**2
    parts = (
        size_rows[rows] / obs.row_counts[rows] + size_columns[columns] / obs.column_counts[columns]
    )
    assert loss == pytest.approx(np.mean(squares + parts), rel=1e-5)


def test_losses_of_an_epoch_sum_to_the_penalised_objective():
    obs, _ = ratings()
    problem, trainer = trained(obs, head="dot")
    total = trainer.loss(trainer.torch.arange(obs.n_observed)).item() * obs.n_observed
    rows = trainer.embeddings["rows"].detach().numpy(), trainer.embeddings["row_effects"].detach()
    vectors = np.column_stack([rows[0], rows[1].numpy()])
    network = trainer.network()
    at = obs.entry_rows, obs.by_row.indices
    y = outputs(network, vectors, network.columns_first(), *at)
    # in the data's units this is what MatrixFactorization lowers
    squares = ((obs.by_row.values - problem.mean - problem.scale * y) ** 2).sum()
    size = problem.scale * ((vectors[:, :-1] ** 2).sum() + (network.columns**2).sum())
    size += problem.scale**2 * ((vectors[:, -1] ** 2).sum() + (network.column_effects**2).sum())
    assert total * problem.scale**2 == pytest.approx(squares + size, rel=1e-5)


@pytest.mark.parametrize("head", ["dot", "mlp", "both"])
def test_a_step_lowers_the_loss(head):
    obs, _ = ratings()
    _, trainer = trained(obs, head=head, learning_rate=1e-3, batch_size=10**6)
    every = trainer.torch.arange(obs.n_observed)
    before = trainer.loss(every).item()
    trainer.epoch()
    assert trainer.loss(every).item() < before


def test_dropped_embeddings_leave_the_features_to_speak():
    obs, _ = ratings()
    _, trainer = trained(obs, embedding_dropout=0.25)
    ones = trainer.torch.ones(20000, 2), trainer.torch.ones(20000)
    vectors, effects = trainer._dropped(*ones)
    assert set(vectors.unique().tolist()) == {0.0, 1.0}
    assert bool((vectors[:, 0] == effects).all())
    assert float(effects.mean()) == pytest.approx(0.75, abs=0.02)
    kept = trainer._drop(ones[1], 0.25)
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.02)


# ------------------------------------------------------------------ folding in


def entries_of(X):
    obs = mm.ObservedMatrix.from_dense(X)
    return Compressed(obs.by_row.pointers, obs.by_row.indices, obs.by_row.values)


def objective(network, view, priors, penalty, rows):
    lines = np.repeat(np.arange(len(rows)), np.diff(view.pointers))
    y = outputs(network, rows, network.columns_first(), lines, view.indices)
    squares = np.bincount(lines, (view.values - y) ** 2, len(rows))
    moved = (rows - priors) ** 2
    return squares + penalty.factors * moved[:, :-1].sum(1) + penalty.effects * moved[:, -1]


def test_products_are_folded_in_by_ridge_regression():
    network, rng = some_network(hidden=()), np.random.default_rng(3)
    X = rng.normal(size=(5, 7))
    X[rng.random(X.shape) < 0.3] = np.nan
    X[4] = np.nan
    priors, penalty = rng.normal(size=(5, 4)), Penalty(0.7, 0.3, True)
    folded = fold_rows(network, entries_of(X), priors, penalty)
    D = np.diag([0.7, 0.7, 0.7, 0.3])
    for u in range(5):
        seen = ~np.isnan(X[u])
        Z = np.column_stack([network.columns[seen], np.ones(seen.sum())])
        rest = X[u, seen] - network.column_effects[seen]
        expected = np.linalg.solve(Z.T @ Z + D, Z.T @ rest + D @ priors[u])
        np.testing.assert_allclose(folded.rows[u], expected, atol=1e-10)
        assert folded.squares[u] == pytest.approx(((rest - Z @ expected) ** 2).sum(), abs=1e-9)
    np.testing.assert_allclose(folded.rows[4], priors[4], rtol=1e-12)


@pytest.mark.parametrize("dot", [True, False])
@pytest.mark.parametrize("effects", [True, False])
def test_folding_into_a_perceptron_lowers_every_rows_objective(dot, effects):
    network, rng = some_network(dot=dot), np.random.default_rng(4)
    X = 2 * rng.normal(size=(40, 7))
    X[rng.random(X.shape) < 0.3] = np.nan
    view, priors, penalty = entries_of(X), rng.normal(size=(40, 4)), Penalty(0.5, 0.5, effects)
    folded = fold_rows(network, view, priors, penalty)
    before = objective(network, view, priors, penalty, priors)
    after = objective(network, view, priors, penalty, folded.rows)
    assert (after <= before * (1 + 1e-8)).all()
    assert after.mean() < 0.5 * before.mean()
    assert np.array_equal(folded.rows[:, -1], priors[:, -1]) == (not effects)


def test_rows_are_folded_in_alike_in_large_parts_and_small(monkeypatch):
    network, rng = some_network(), np.random.default_rng(5)
    view, penalty = entries_of(rng.normal(size=(30, 7))), Penalty(0.5, 0.5, True)
    whole = fold_rows(network, view, np.zeros((30, 4)), penalty)
    monkeypatch.setattr("mixmend.factors.neural_folding._ENTRIES", 10)
    parts = fold_rows(network, view, np.zeros((30, 4)), penalty)
    np.testing.assert_allclose(parts.rows, whole.rows, rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------ whole fits


def test_by_products_alone_it_ends_where_least_squares_do():
    obs, _ = ratings(1)
    exact = mm.MatrixFactorization(
        2, regularization=2.0, center="biases", init="svd", max_iter=3000, tol=1e-13
    ).fit(obs)
    model = mm.NeuralFactorization(
        2,
        head="dot",
        regularization=2.0,
        embedding_dropout=0,
        learning_rate=0.05,
        batch_size=200,
        max_iter=200,
        validation_share=0,
        random_state=0,
    ).fit(obs)

    def lowered(model):
        rows, columns, values = obs.entries()
        residuals = values - model.predict_entries(obs, rows, columns)
        parts = (model.row_factors_, model.column_factors_)
        parts += (model.row_effects_, model.column_effects_)
        return (residuals**2).sum() + 2.0 * sum((part**2).sum() for part in parts)

    assert lowered(model) == pytest.approx(lowered(exact), rel=1e-4)
    np.testing.assert_allclose(model.complete(obs), exact.complete(obs), atol=0.03)
    assert model.noise_variance_ == pytest.approx(exact.noise_variance_, rel=0.02)


def test_validation_decides_what_is_kept_and_when_to_stop():
    obs, _ = ratings(6, noise=1.0)
    train, validation = mm.split_entries(obs, 0.2, 0)
    model = small(max_iter=80, patience=3).fit(train, validation=validation)
    errors = [row["validation_rmse"] for row in model.history_]
    best = int(np.argmin(errors))
    assert model.best_iteration_ == best + 1
    assert len(errors) == model.n_iter_ == best + 1 + 3  # three epochs without improvement
    assert [row["iteration"] for row in model.history_] == list(range(1, len(errors) + 1))
    assert model.converged_
    rows, columns, values = validation.entries()
    guess = model.predict_entries(train, rows, columns)
    assert np.sqrt(np.mean((guess - values) ** 2)) == pytest.approx(errors[best], rel=1e-9)
    assert model.noise_variance_ == pytest.approx(errors[best] ** 2, rel=1e-9)
    rows, columns, values = train.entries()
    guess = model.predict_entries(train, rows, columns)
    error = np.sqrt(np.mean((guess - values) ** 2))
    assert error == pytest.approx(model.history_[best]["train_rmse"], rel=1e-9)
    assert mm.plots.plot_losses(model.history_).get_ylabel() == "root mean squared error"


def test_what_is_held_out_of_the_data_is_not_trained_on():
    obs, _ = ratings(2)
    model = small().fit(obs)
    train, held = mm.split_entries(obs, 0.1, np.random.default_rng(0))
    assert model.history_[0]["validation_rmse"] > 0
    rows, columns, values = held.entries()
    guess = model.predict_entries(train, rows, columns)
    error = np.sqrt(np.mean((guess - values) ** 2))
    assert error == pytest.approx(model.history_[model.best_iteration_ - 1]["validation_rmse"])


@pytest.mark.parametrize("center", ["none", "row", "biases"])
def test_intervals_cover_what_they_promise(center):
    obs, _ = ratings(8, n=300, d=40)
    train, test = mm.split_entries(obs, 0.2, 0)
    model = small(
        center=center, validation_share=0.2, learning_rate=0.01, head="dot", max_iter=25
    ).fit(train)
    rows, columns, values = test.entries()
    covered = mm.evaluation.interval_coverage(model.predictive(train, rows, columns), values)
    assert 0.85 < covered < 0.95
    error = model.predict_entries(train, rows, columns) - values
    assert np.sqrt(np.mean(error**2)) < 0.6  # a spread of 1.1


def test_rows_that_are_shifted_are_predicted_so_when_centred_by_row():
    obs, _ = ratings(3)
    model = small(center="row").fit(obs)
    shift = np.linspace(-2, 2, obs.shape[0])[:, None]
    np.testing.assert_allclose(
        model.complete(obs.dense + shift), model.complete(obs) + shift, atol=1e-9
    )


def test_rows_without_weight_teach_nothing():
    obs, _ = ratings(4)
    other = obs.dense.copy()
    other[:30] *= -3
    weights = np.repeat([0.0, 1.0], 30)
    a, b = (small(validation_share=0).fit(X, sample_weight=weights) for X in (obs, other))
    np.testing.assert_array_equal(a.column_factors_, b.column_factors_)
    assert not np.array_equal(a.row_factors_, b.row_factors_)


OTHER = {
    "n_factors": 4,
    "hidden": (8,),
    "head": "mlp",
    "center": "row",
    "regularization": 2.0,
    "weight_decay": 0.0,
    "dropout": 0.5,
    "embedding_dropout": 0.5,
    "learning_rate": 0.01,
    "batch_size": 32,
    "max_iter": 3,
    "validation_share": 0.3,
    "implicit": 4,
    "random_state": 1,
}


@pytest.mark.parametrize("name", OTHER)
def test_every_option_matters(name):
    obs, _ = ratings(5)
    model, other = small().fit(obs), small(**{name: OTHER[name]}).fit(obs)
    assert not np.allclose(model.complete(obs), other.complete(obs), atol=1e-4)


def test_fits_leave_torchs_random_state_and_threads_alone():
    import torch

    obs, _ = ratings(7)
    torch.manual_seed(1)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = small().fit(obs)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    torch.manual_seed(2)
    second = small().fit(obs)
    np.testing.assert_array_equal(first.complete(obs), second.complete(obs))


def test_ctrl_c_keeps_the_best_so_far(monkeypatch):
    obs, _ = ratings(10)
    epoch, taken = Trainer.epoch, []

    def interrupted(self):
        if len(taken) == 3:
            raise KeyboardInterrupt
        taken.append(1)
        epoch(self)

    monkeypatch.setattr(Trainer, "epoch", interrupted)
    with pytest.warns(match=r"^Interrupted after 3 epochs: the best one so far is kept\.$"):
        model = small().fit(obs)
    assert model.interrupted_
    assert not model.converged_
    assert model.n_iter_ == 3
    assert np.isfinite(model.complete(obs)).all()
    taken[:] = [1, 1, 1]
    with pytest.raises(KeyboardInterrupt):
        small().fit(obs)


def test_similar_columns_point_the_same_way():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 2))
    X = np.column_stack([base[:, 0], base[:, 1], base[:, 0], -base[:, 0], base.sum(axis=1)])
    X = X + 0.05 * rng.normal(size=X.shape)
    model = small(n_factors=2, center="none", head="dot", max_iter=40, embedding_dropout=0).fit(X)
    columns, cosines = model.similar(0, n_items=10)
    assert columns[[0, -1]].tolist() == [2, 3]
    assert len(columns) == 4
    assert cosines[0] > 0.95
    assert cosines[-1] < -0.95
    with pytest.raises(MixmendError, match=r"^column must lie between 0 and 4; got 5\.$"):
        model.similar(5)


# ------------------------------------------------------------------ what cannot be done


BAD = [
    ({"n_factors": 0}, "n_factors must be a whole number of at least 1; got 0."),
    ({"hidden": "64"}, "hidden must be a sequence of layer sizes such as (64, 32); got '64'."),
    ({"hidden": 64}, "hidden must be a sequence of layer sizes such as (64, 32); got 64."),
    (
        {"hidden": (8, 0)},
        "each layer size in hidden must be a whole number of at least 1; got 0.",
    ),
    (
        {"hidden": ()},
        "head='both' needs at least one hidden layer; got hidden=(). Take head='dot' for "
        "products alone.",
    ),
    ({"head": "sum"}, "head must be one of 'both', 'dot', 'mlp'; got 'sum'."),
    ({"center": "rows"}, "center must be one of 'none', 'row', 'biases'; got 'rows'."),
    ({"regularization": 0}, "regularization must be positive; got 0."),
    (
        {"regularization": -1},
        "regularization must be a finite number that is not negative; got -1.",
    ),
    (
        {"weight_decay": -1.0},
        "weight_decay must be a finite number that is not negative; got -1.0.",
    ),
    ({"dropout": 1.0}, "dropout must be at least 0 and below 1; got 1.0."),
    ({"embedding_dropout": True}, "embedding_dropout must be at least 0 and below 1; got True."),
    ({"learning_rate": 0.0}, "learning_rate must be positive; got 0.0."),
    ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1; got 2.5."),
    ({"max_iter": 0}, "max_iter must be a whole number of at least 1; got 0."),
    ({"patience": 0}, "patience must be a whole number of at least 1; got 0."),
    ({"implicit": -1}, "implicit must be a whole number of at least 0; got -1."),
    (
        {"missing_features": "zero"},
        "missing_features must be one of 'error', 'unknown'; got 'zero'.",
    ),
    ({"validation_share": 1}, "validation_share must be at least 0 and below 1; got 1."),
]


@pytest.mark.parametrize(("options", "text"), BAD)
def test_bad_options_are_named(options, text):
    obs, _ = ratings(12, n=10)
    with pytest.raises(MixmendError) as failure:
        small(**options).fit(obs)
    assert str(failure.value) == text


def test_data_that_cannot_be_fitted_or_measured_on():
    obs, _ = ratings(13, n=6, d=5)
    with pytest.raises(DataError, match=r"^X has no observed cell: there is nothing to fit\.$"):
        small().fit(np.full((4, 3), np.nan))
    with pytest.raises(DataError, match=r"^All row weights are zero where a cell is observed: n"):
        small().fit(np.ones((4, 3)), sample_weight=np.zeros(4))
    with pytest.raises(DataError, match=r"^validation has shape \(6, 4\), the training matrix "):
        small().fit(obs, validation=mm.ObservedMatrix.from_dense(np.ones((6, 4))))


@pytest.mark.parametrize("head", ["dot", "both"])
def test_training_that_runs_off_is_named(head):
    obs, _ = ratings(13, n=10)
    with pytest.raises(MixmendError) as failure:
        small(head=head, learning_rate=1e30).fit(obs)
    assert str(failure.value) == (
        "Training ran off to infinity in epoch 1: lower learning_rate (1e+30)."
    )


@pytest.mark.filterwarnings("ignore::mixmend.errors.EmptyEntityWarning")
def test_the_smallest_data_are_fitted():
    model = small().fit([[2.0, np.nan]])
    assert np.isfinite(model.complete([[2.0, np.nan]])).all()
    constant = small().fit(np.full((5, 3), 4.0))
    assert constant.scale_ == 1.0
    np.testing.assert_allclose(constant.complete(np.full((1, 3), np.nan)), 4.0, atol=0.5)


def test_without_torch_fits_name_the_extra_and_predictions_go_on(monkeypatch, tmp_path):
    obs, _ = ratings(14)
    model = small().fit(obs)
    expected = model.complete(obs)
    mm.save(model, tmp_path / "m.mixmend")
    monkeypatch.setitem(sys.modules, "torch", None)  # as though it could not be imported
    with pytest.raises(OptionalDependencyError) as failure:
        small().fit(obs)
    assert str(failure.value) == (
        "NeuralFactorization is fitted with PyTorch, which is not installed: "
        "pip install 'mixmend[neural]'"
    )
    np.testing.assert_array_equal(mm.load(tmp_path / "m.mixmend").complete(obs), expected)


def test_torch_is_imported_by_fits_alone():
    code = "import mixmend as mm, sys; mm.NeuralFactorization(); print('torch' in sys.modules)"
    where = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.check_output([sys.executable, "-c", code], text=True, env=where)
    assert said == "False\n"


def test_layers_of_another_shape_are_damage(tmp_path):
    obs, _ = ratings(15)
    model = small().fit(obs)
    model.hidden, model._options = (8, 4), checked(small(hidden=(8, 4)))
    mm.save(model, tmp_path / "m.mixmend")
    with pytest.raises(ModelFileError) as failure:
        mm.load(tmp_path / "m.mixmend")
    assert str(failure.value) == (
        "The model file's array 'weights_1' has shape (5, 8), not (4, 8). Save the model again."
    )
