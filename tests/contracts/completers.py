"""Every model that completes matrices, in one list: a new model joins the contract by one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import mixmend as mm

Array = np.ndarray[Any, np.dtype[np.float64]]

N_ROWS, N_COLUMNS = 48, 7


@dataclass(frozen=True)
class Completer:
    """How to make a model, and what must be true of it.

    ``unseen`` gives what a fitted model must predict for a row of which nothing is known;
    ``reads_rows`` says whether what is observed of a row changes what is predicted of it;
    ``repeats`` says that a cell which is observed would be the same if measured again;
    ``groups`` says that rows belong to components or clusters (``predict``, ``score``);
    ``large`` are options that suit tens of thousands of entries.
    """

    name: str
    make: Callable[..., Any]
    unseen: Callable[[Any], Array]
    reads_rows: bool = True
    repeats: bool = False
    groups: bool = True
    large: dict[str, Any] = field(default_factory=dict)


def _average(model: Any) -> Array:
    return np.asarray(model.weights_ @ model.means_)


def _mixture(name: str, n_components: int, **options: Any) -> Completer:
    def make(**more: Any) -> mm.GaussianMixture:
        return mm.GaussianMixture(n_components, **{"random_state": 3, **options, **more})

    return Completer(name, make, _average, reads_rows=n_components > 1)


def _joint(name: str, n_components: int, covariance_type: str, **options: Any) -> Completer:
    options = {"covariance_type": covariance_type, "prior": "default", **options}
    mixture = _mixture(name, n_components, **options)
    return replace(mixture, reads_rows=True, repeats=True)


def _factors(name: str, **options: Any) -> Completer:
    def make(**more: Any) -> mm.MatrixFactorization:
        own = {"n_factors": 2, "random_state": 3, "center": "biases", "tol": 1e-4}
        return mm.MatrixFactorization(**{**own, **options, **more})

    return Completer(name, make, lambda m: m.mean_ + m.column_effects_, groups=False)


def _neural(name: str, **options: Any) -> Completer:
    def make(**more: Any) -> mm.NeuralFactorization:
        own = {"n_factors": 2, "random_state": 3, "regularization": 2.0, "hidden": (8,)}
        own |= {"learning_rate": 0.03, "batch_size": 64, "max_iter": 12}
        return mm.NeuralFactorization(**{**own, **options, **more})

    return Completer(name, make, _of_unseen_rows, groups=False, large={"batch_size": 4096})


def _of_unseen_rows(model: Any) -> Array:
    """What a network makes of a row whose vector and effect are 0, by its definition."""
    inner = model.column_effects_ / model.scale_
    layers = model._network.layers
    if layers:
        vectors = model.column_factors_ / np.sqrt(model.scale_)
        x = np.column_stack([np.zeros_like(vectors), vectors])
        for weights, bias in layers[:-1]:
            x = np.maximum(x @ weights.T + bias, 0)
        inner = inner + (x @ layers[-1].weights.T + layers[-1].bias)[:, 0]
    return np.asarray(model.mean_ + model.scale_ * inner)


def _autoencoder(**more: Any) -> mm.LinearAutoencoder:
    own = {"regularization": 30.0, "tol": 1e-4, "random_state": 3}
    return mm.LinearAutoencoder(2, **{**own, **more})


def _kmeans(**more: Any) -> mm.KMeans:
    return mm.KMeans(3, **{"random_state": 3, **more})


COMPLETERS = (
    _mixture("one component", 1),
    _mixture("maximum likelihood", 3, min_variance=0.05, init_params="random"),
    _mixture("prior", 3, prior="default"),
    _mixture("prior and columns", 3, prior="default", center="columns"),
    _mixture("row offsets", 2, center="rows", min_variance=0.05),
    _mixture("prior and biases", 3, prior="default", center="biases", n_init=5),
    _mixture("accelerated", 3, prior="default", accelerate=True, n_init=3, screen=2),
    _mixture("diagonal", 2, covariance_type="diag", prior="default"),
    _mixture("diagonal, one", 1, covariance_type="diag"),
    _joint("tied", 2, "tied"),
    _joint("full", 1, "full"),
    _joint("full, two", 2, "full"),
    _joint("full, from K-means", 3, "full", init_params="kmeans", accelerate=True, n_init=2),
    _mixture("factor", 2, covariance_type="factor", n_factors=2),
    _mixture("factor, prior", 2, covariance_type="factor", n_factors=2, prior="default"),
    _factors("least squares", regularization=2.0),
    _factors("variational factors", inference="variational"),
    _neural("products, by Adam", head="dot"),
    _neural("network"),
    _mixture("variational, biases", 5, inference="variational", center="biases"),
    _mixture("variational, diagonal", 5, covariance_type="diag", inference="variational"),
    _joint("variational, tied", 5, "tied", inference="variational"),
    _joint("variational, full", 3, "full", inference="variational"),
    replace(_mixture("factor, one", 1, covariance_type="factor", n_factors=3), reads_rows=True),
    Completer("linear autoencoder", _autoencoder, lambda m: m.mean_, groups=False),
    Completer("k-means", _kmeans, lambda m: _average(m.to_mixture())),
)


def made_up(n_rows: int = N_ROWS, n_columns: int = N_COLUMNS, seed: int = 7) -> tuple[Array, Array]:
    """Three kinds of rows, some kinder than others, and the same with 40 % of holes.

    Values lie on a grid of 1/64, so that single precision holds them exactly. Every row
    and every column observes something.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 2, (3, n_columns))
    kinds = rng.integers(3, size=n_rows)
    values = (
        centres[kinds] + rng.normal(0, 0.6, (n_rows, 1)) + rng.normal(0, 0.5, (n_rows, n_columns))
    )
    values = np.round(values * 64) / 64
    holes = rng.random(values.shape) < 0.4
    holes[np.arange(n_rows), np.arange(n_rows) % n_columns] = False
    return values, np.where(holes, np.nan, values)
