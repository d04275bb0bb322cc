"""How many components: by BIC, or by the error on held-out entries."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mixmend.completion import predictive as predictive_of
from mixmend.errors import DataError, MixmendError
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.options import CENTERS, bad_option, require_rows, whole
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator, split_entries
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Candidate = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of `select_components`.

    Attributes
    ----------
    best_estimator : GaussianMixture
        The chosen mixture, fitted to all observed entries.
    n_components : int
        The chosen K.
    center : str
        The chosen effects.
    criterion : str
        "bic" or "heldout".
    table : list of dict
        One per candidate, in the order tried: ``n_components``, ``center``, ``bic`` or
        ``rmse``, ``mae``, ``log_likelihood``, ``coverage`` (of 90 % intervals; all four held
        out), ``collapsed`` (a component fell onto points: not chosen while others are left),
        ``seconds``, ``stage`` ("center" or "components").
    interrupted : bool
        Whether Ctrl-C ended the search; then the best candidate so far was chosen.
    """

    best_estimator: GaussianMixture
    n_components: int
    center: str
    criterion: str
    table: list[Candidate] = field(default_factory=list)
    interrupted: bool = False


def select_components(
    X: Any,
    n_components: Iterable[int] = range(1, 11),
    criterion: Literal["bic", "heldout"] = "bic",
    *,
    centers: Sequence[str] | None = None,
    covariance_type: Literal["spherical", "diag", "tied", "full", "factor"] = "spherical",
    n_init: int = 5,
    test_size: float = 0.1,
    random_state: Any = None,
    on_progress: Callable[[Candidate], None] | None = None,
    **options: Any,
) -> Selection:
    """Choose the number of components and, where asked, the row and column effects.

    Parameters
    ----------
    X : matrix-like, shape (n, d)
        Data with holes.
    n_components : iterable of int
        Numbers to try.
    criterion : {"bic", "heldout"}, default "bic"
        "bic": the lowest `GaussianMixture.bic` of fits to all entries. "heldout": the lowest
        root mean squared error on held-out entries that the fits have not seen. (The
        held-out log-likelihood is reported too but not used to choose: for ratings on a
        grid a component of tiny variance makes a density as high as it likes.)
    centers : sequence of {"none", "columns", "rows", "biases"}, optional
        Effects to choose among, at one moderate number of components, before the number
        itself is chosen. By default the one given as ``center`` (or "none").
    covariance_type, n_init
        As for `GaussianMixture`.
    test_size : float, default 0.1
        Share of the entries to hold out.
    random_state : int, Generator, RandomState or None
        Makes the held-out draw and the starts reproducible.
    on_progress : callable, optional
        Called with each candidate's table row as it is known.
    **options
        Further parameters of `GaussianMixture`.

    Returns
    -------
    Selection
        With the chosen mixture fitted to all entries.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-3, 1, (50, 4)), rng.normal(3, 1, (50, 4))])
    >>> mm.select_components(X, range(1, 5), random_state=0).n_components
    2
    """
    obs = as_observed(X, copy=False)
    ks = sorted({whole("n_components", k, 1) for k in n_components})
    if not ks:
        raise MixmendError("n_components is empty: give at least one number to try.")
    require_rows("n_components", ks[-1], obs)  # before hours of fits, not after
    if criterion not in ("bic", "heldout"):
        raise bad_option("criterion", criterion, ("bic", "heldout"))
    chosen_center = options.pop("center", "none")
    tried_centers = list(centers) if centers is not None else [chosen_center]
    for center in tried_centers:
        if center not in CENTERS:
            raise bad_option("center", center, CENTERS)
    rng = as_generator(random_state)
    search = _Search(
        obs,
        criterion,
        {"covariance_type": covariance_type, **options},
        int(rng.integers(2**31)),
        on_progress,
    )
    if criterion == "heldout":
        search.split(test_size, int(rng.integers(2**31)))
    moderate = min(ks, key=lambda k: abs(np.log(k / 4)))
    total = len(ks) + (len(tried_centers) if len(tried_centers) > 1 else 0)
    with track("selecting components", total=total) as progress:
        try:
            if len(tried_centers) > 1:
                for center in tried_centers:
                    search.try_one(moderate, center, min(n_init, 2), "center")
                    progress.update(center=center)
                chosen_center = search.best()["center"]
            else:
                chosen_center = tried_centers[0]
            for k in ks:
                search.try_one(k, chosen_center, n_init, "components")
                progress.update(n_components=k)
        except KeyboardInterrupt:
            if not search.table:
                raise
            search.interrupted = True
    best = search.best("components")
    key = (best["n_components"], best["center"])
    estimator = search.fitted.get(key) or search.estimator(*key, n_init).fit(obs)
    return Selection(
        estimator, best["n_components"], best["center"], criterion, search.table, search.interrupted
    )


class _Search:
    """Candidates fitted and scored one after the other."""

    def __init__(
        self,
        obs: ObservedMatrix,
        criterion: str,
        options: dict[str, Any],
        seed: int,
        on_progress: Callable[[Candidate], None] | None,
    ) -> None:
        self.obs = obs
        self.train = obs
        self.held_out: ObservedMatrix | None = None
        self.criterion = criterion
        self.options = options
        self.seed = seed
        self.on_progress = on_progress
        self.table: list[Candidate] = []
        self.fitted: dict[tuple[int, str], GaussianMixture] = {}
        self.interrupted = False

    def split(self, test_size: float, seed: int) -> None:
        self.train, self.held_out = split_entries(self.obs, test_size, random_state=seed)
        if self.held_out.n_observed == 0 or self.train.n_observed == 0:
            raise DataError(
                f"test_size={test_size} of {self.obs.n_observed} entries leaves nothing to "
                "hold out or to fit. Give more data, or choose by BIC."
            )

    def estimator(self, k: int, center: str, n_init: int) -> GaussianMixture:
        options: dict[str, Any] = {"center": center, "n_init": n_init, "random_state": self.seed}
        options |= self.options
        return GaussianMixture(k, **options)

    def try_one(self, k: int, center: str, n_init: int, stage: str) -> None:
        began = time.perf_counter()
        with warnings.catch_warnings():
            # of the candidates only the chosen one's warnings concern the user
            warnings.simplefilter("ignore")
            model = self.estimator(k, center, n_init).fit(self.train)
        if model.interrupted_:
            raise KeyboardInterrupt  # half a fit is no candidate
        row: Candidate = {"n_components": k, "center": center, "stage": stage}
        row["collapsed"] = model.collapsed_
        if self.held_out is None:
            row["bic"] = float(model.bic(self.train))
            row["log_likelihood"] = float(model.log_likelihood_)
            self.fitted[k, center] = model
        else:
            row |= _held_out_scores(model, self.train, self.held_out)
        row["seconds"] = time.perf_counter() - began
        self.table.append(row)
        if self.on_progress is not None:
            self.on_progress(row)

    def best(self, stage: str | None = None) -> Candidate:
        """The best candidate of a stage, or of all where the stage was not reached."""
        key = "bic" if self.held_out is None else "rmse"
        rows = [row for row in self.table if row["stage"] == stage] or self.table
        # a singular likelihood has no meaning: such a candidate wins only if all are singular
        return min(rows, key=lambda row: (row["collapsed"], row[key]))


def _held_out_scores(
    model: GaussianMixture, train: ObservedMatrix, held_out: ObservedMatrix
) -> dict[str, float]:
    rows, columns, values = held_out.entries()
    cells = model.predictive(train, rows, columns)
    error = predictive_of.mean(cells) - values
    lower, upper = predictive_of.interval(cells, 0.9)
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "log_likelihood": float(np.mean(predictive_of.log_density(cells, values))),
        "coverage": float(np.mean((values >= lower) & (values <= upper))),
    }
