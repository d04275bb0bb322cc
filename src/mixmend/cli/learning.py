"""Choose a mixture for some data, measure it on entries that it never saw, fit it to all."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mixmend.cli import show
from mixmend.cli.choices import Center, Model, Prior
from mixmend.cli.heldout import chosen_by_heldout
from mixmend.cli.options import Modelling
from mixmend.cli.session import Session

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mixmend.completion.predictive import Predictive
    from mixmend.factors.autoencoder import LinearAutoencoder
    from mixmend.factors.estimator import MatrixFactorization
    from mixmend.factors.neural import NeuralFactorization
    from mixmend.mixtures.estimator import GaussianMixture
    from mixmend.mixtures.kmeans import KMeans
    from mixmend.observed.matrix import ObservedMatrix

_LEVEL = 0.9
_FEWEST_TO_CHECK = 20

CANDIDATE_COLUMNS = (
    show.Column("n_components", "K"),
    show.Column("center", "center"),
    show.Column("regularization", "regularization", ".4g"),
    show.Column("implicit", "places as features"),
    show.Column("steps", "steps"),
    show.Column("rmse", "RMSE", ".4f"),
    show.Column("mae", "MAE", ".4f"),
    show.Column("bic", "BIC", ".8g"),
    show.Column("icl", "ICL", ".8g"),
    show.Column("log_likelihood", "log-likelihood", ".7g"),
    show.Column("coverage", "90 % coverage", ".1%"),
    show.Column("seconds", "seconds", ".2f"),
)


@dataclass(frozen=True)
class Learned:
    """A fitted model and how it was arrived at.

    Attributes
    ----------
    model : GaussianMixture, KMeans, MatrixFactorization, NeuralFactorization or LinearAutoencoder
        Fitted to all observed entries.
    candidates : list of dict
        What was tried.
    criterion : str
        By what: "bic", "icl", "heldout", or "none" where there was one candidate.
    chosen : int
        Which of the candidates was taken.
    check : dict or None
        Errors on entries that neither choice nor fit had seen; None if not measured.
    """

    model: GaussianMixture | KMeans | MatrixFactorization | NeuralFactorization | LinearAutoencoder
    candidates: list[dict[str, Any]]
    criterion: str
    chosen: int
    check: dict[str, Any] | None = None

    def report(self) -> dict[str, Any]:
        """Say all of it in plain values."""
        model = self.model
        known = {
            "n_components": size_of(model),
            "center": getattr(model, "center", None),
            "log_likelihood": getattr(model, "log_likelihood_", None),
            "inertia": getattr(model, "inertia_", None),
            "converged": getattr(model, "converged_", None),
            "n_iter": model.n_iter_,
        }
        return {
            "criterion": self.criterion,
            "candidates": self.candidates,
            "chosen": self.candidates[self.chosen],
            "model": {"kind": type(model).__name__} | known,
            "heldout": self.check,
        }

    def show_candidates(self) -> None:
        """Write the table of candidates for people, if there was a choice."""
        if len(self.candidates) > 1:
            how = {"heldout": ", on entries held out for the choice"}.get(self.criterion, "")
            show.table(
                self.candidates, CANDIDATE_COLUMNS, title=f"Candidates{how}", chosen=self.chosen
            )
            print()

    def facts(self) -> list[tuple[str, object]]:
        """Name the model and its errors for people."""
        return [("model", model_label(self.model)), *(heldout_facts(self.check or {}))]


class ChosenModel:
    """A model that is chosen anew for every training part it is given."""

    def __init__(self, options: Modelling, features: dict[str, Any] | None = None) -> None:
        self.options, self.features = options, features

    def fit(self, train: ObservedMatrix) -> Self:
        """Choose and fit."""
        self.model = choose(train, self.options, self.features).model
        return self

    def predictive(self, train: ObservedMatrix, rows: ArrayLike, columns: ArrayLike) -> Predictive:
        """Predict as the chosen model does."""
        return self.model.predictive(train, rows, columns)


def choose(
    obs: ObservedMatrix, options: Modelling, features: dict[str, Any] | None = None
) -> Learned:
    """Choose among the candidates and fit the best to ``obs``; nothing is measured."""
    if options.model is not Model.mixture:
        return chosen_by_heldout(obs, options, features or {})
    counts = options.counts()
    if len(counts) == 1 and options.center is not Center.auto:
        return _fitted(obs, options, counts[0])
    from mixmend.mixtures.selection import select_components

    centers = [center.value for center in Center if center is not Center.auto]
    selection = select_components(
        obs,
        counts,
        options.select.value,
        centers=centers if options.center is Center.auto else [options.center.value],
        random_state=options.random_state,
        **common_settings(options),
    )
    chosen = next(
        position
        for position, row in enumerate(selection.table)
        if (row["n_components"], row["center"], row["stage"])
        == (selection.n_components, selection.center, "components")
    )
    return Learned(selection.best_estimator, selection.table, selection.criterion, chosen)


def learn(
    obs: ObservedMatrix,
    options: Modelling,
    run: Session,
    holdout: float,
    keep: bool = False,
    features: dict[str, Any] | None = None,
) -> Learned:
    """Choose, check and fit.

    Parameters
    ----------
    obs : ObservedMatrix
        All that was observed.
    options : Modelling
        What to try.
    run : Session
        Keeps the stages' times.
    holdout : float
        Share of the entries to measure the chosen model on; neither choice nor fit of
        that model sees them. 0 measures nothing and saves the second fit.
    keep : bool, default False
        Whether Ctrl-C during the last fit leaves a model worth having.
    features : dict, optional
        Tables of features, as ``fit`` takes them by keyword.
    """
    from sklearn.base import clone

    from mixmend.observed.holdout import split_entries

    if holdout > 0 and obs.n_observed * holdout < _FEWEST_TO_CHECK:
        run.note(f"too few entries ({obs.n_observed}) to hold some out: errors are not measured.")
        holdout = 0.0
    if holdout == 0:
        with run.stage("choosing and fitting the mixture", keep_what_is_done=keep):
            return choose(obs, options, features)
    train, test = split_entries(obs, holdout, random_state=options.random_state)
    with run.stage("choosing the mixture"), warnings.catch_warnings():
        # what a part of the data lacks, or a model that is not the last one, concerns nobody
        warnings.simplefilter("ignore")
        learned = choose(train, options, features)
    counts = options.counts()
    if len(counts) > 1 and learned.candidates[learned.chosen]["n_components"] == counts[-1]:
        run.note(f"the largest K tried, {counts[-1]}, was the best: see -k to try larger ones.")
    with run.stage("measuring it on held-out entries"):
        check = measured(learned.model, train, test)
    with run.stage("fitting it to all entries", keep_what_is_done=keep):
        model = clone(learned.model).fit(obs, **(features or {}))
    return Learned(model, learned.candidates, learned.criterion, learned.chosen, check)


def measured(model: Any, train: ObservedMatrix, test: ObservedMatrix) -> dict[str, Any]:
    """Measure predictions of ``test``'s entries given ``train``'s."""
    from mixmend.completion import predictive
    from mixmend.evaluation import metrics

    rows, columns, values = test.entries()
    beliefs = model.predictive(train, rows, columns)
    means = predictive.mean(beliefs)
    return {
        "n": int(test.n_observed),
        "rmse": float(metrics.rmse(values, means)),
        "mae": float(metrics.mae(values, means)),
        "mean_log_likelihood": float(metrics.mean_log_likelihood(beliefs, values)),
        "coverage": float(metrics.interval_coverage(beliefs, values, _LEVEL)),
        "level": _LEVEL,
    }


def heldout_facts(check: dict[str, Any]) -> Sequence[tuple[str, object]]:
    """Name the measures for people."""
    if not check:
        return []
    return [
        ("held-out RMSE", f"{check['rmse']:.4f}"),
        ("held-out MAE", f"{check['mae']:.4f}"),
        ("log-likelihood", f"{check['mean_log_likelihood']:.4f} per held-out entry"),
        (
            "coverage",
            f"{check['coverage']:.1%} of {show.count(check['n'], 'held-out value')} "
            f"in their {check['level']:.0%} interval",
        ),
    ]


def model_label(model: Any) -> str:
    """Describe a model in a few words."""
    if hasattr(model, "encoder_"):
        width = show.count(int(model.n_components), "component")
        return f"linear autoencoder, {width}, with column means"
    if hasattr(model, "hidden"):
        return f"network, {show.count(int(model.n_factors), 'factor')} and layers of {model.hidden}"
    if hasattr(model, "column_factors_"):
        return f"{show.count(int(model.n_factors), 'factor')}, with row and column effects"
    if hasattr(model, "n_clusters"):
        return f"K-means, {show.count(int(model.n_clusters), 'cluster')}"
    effects = {
        "none": "",
        "rows": ", with row offsets",
        "columns": ", with column effects",
        "biases": ", with row offsets and column effects",
    }
    count = show.count(int(model.n_components_), "component")
    return f"Gaussian mixture, {count}{effects[model.center]}"


def size_of(model: Any) -> int | None:
    """How many components, clusters or factors a model has: what a variational fit left."""
    names = ("n_components_", "n_components", "n_clusters", "n_factors")
    return next((getattr(model, name) for name in names if hasattr(model, name)), None)


def common_settings(options: Modelling) -> dict[str, Any]:
    """Give the options that every candidate has in common."""
    return {
        "prior": None if options.prior is Prior.none else options.prior.value,
        "n_init": options.n_init,
        "init_params": options.init.value,
        "inference": options.inference.value,
        "max_iter": options.max_iter,
        "tol": options.tol,
    }


def _fitted(obs: ObservedMatrix, options: Modelling, n_components: int) -> Learned:
    from mixmend.mixtures.estimator import GaussianMixture

    start = time.perf_counter()
    settings: dict[str, Any] = {
        "center": options.center.value,
        "random_state": options.random_state,
    }
    model = GaussianMixture(n_components, **settings, **common_settings(options)).fit(obs)
    only = {
        "n_components": n_components,
        "center": options.center.value,
        "log_likelihood": float(model.log_likelihood_),
        "seconds": time.perf_counter() - start,
    }
    return Learned(model, [only], "none", 0)
