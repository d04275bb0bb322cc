"""The golden figures are held against the oracles and against the library's own layer alike."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

import oracles

_ORACLE = SimpleNamespace(
    GaussianMixture=oracles.Mixture,
    init=oracles.init,
    kmeans_run=lambda X, mixture, post: oracles.kmeans(X, mixture),
    naive_estep=oracles.naive_estep,
    naive_mstep=oracles.naive_mstep,
    naive_run=lambda X, mixture, post, **kw: oracles.naive_run(X, mixture, **kw),
    estep=oracles.estep,
    mstep=oracles.mstep,
    run=lambda X, mixture, post, **kw: oracles.run(X, mixture, **kw),
    fill_matrix=oracles.fill_matrix,
    bic=oracles.bic,
    rmse=oracles.rmse,
)


@pytest.fixture(params=["oracle", "functional"])
def layer(request):
    """The functions of the handout, once as plain NumPy and once as the library has them."""
    if request.param == "oracle":
        return _ORACLE
    return importlib.import_module("mixmend.functional")
