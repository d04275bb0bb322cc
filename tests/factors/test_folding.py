"""New rows: what they take, and what they leave alone."""

import numpy as np

import mixmend as mm
from mixmend.factors import estimator, fitting


def test_a_new_row_is_recommended_to_without_refitting(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(3, 1, size=(60, 40))
    X[rng.random(X.shape) < 0.5] = np.nan
    obs = mm.ObservedMatrix.from_dense(X)
    model = mm.MatrixFactorization(3, center="biases", random_state=0, max_iter=20, tol=0).fit(obs)
    before = estimator.folded_rows
    new = mm.ObservedMatrix.from_triplets(
        np.zeros(5, int), np.arange(5), [5.0, 1.0, 4.0, 2.0, 3.0], shape=(1, 40)
    )
    rows = []

    def only_rows(problem, state):
        rows.append(problem.observed.shape[0])
        assert state is model._state
        return before(problem, state)

    def never(*_, **__):
        raise AssertionError("a new row must not refit anything")

    for module in (fitting, estimator):
        monkeypatch.setattr(module, "fit_factors", never)
    for name in ("begin", "ridge_step", "settled", "variational_step"):
        monkeypatch.setattr(fitting, name, never)
    monkeypatch.setattr(estimator, "folded_rows", only_rows)
    top = model.recommend(new, n_items=4)
    assert rows == [1]
    Z = np.column_stack([model.column_factors_[:5], np.ones(5)])
    targets = np.array([5.0, 1.0, 4.0, 2.0, 3.0]) - model.mean_ - model.column_effects_[:5]
    x = np.linalg.solve(Z.T @ Z + np.eye(4), Z.T @ targets)
    scores = model.mean_ + x[3] + model.column_effects_ + model.column_factors_ @ x[:3]
    scores[:5] = -np.inf
    assert top.columns[0].tolist() == np.argsort(-scores)[:4].tolist()
    assert np.allclose(top.scores[0], np.sort(scores)[::-1][:4], rtol=0, atol=1e-10)
