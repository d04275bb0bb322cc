"""How many components, of which covariance type: by BIC, ICL or the error on held-out entries."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from mixmend.checks import bad_option, whole
from mixmend.completion import predictive as predictive_of
from mixmend.errors import DataError, MixmendError
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.family import family_of
from mixmend.mixtures.options import CENTERS, COVARIANCE_TYPES, checked, require_rows
from mixmend.mixtures.starts import column_scales
from mixmend.observed.convert import as_observed
from mixmend.observed.holdout import as_generator, split_entries
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Candidate = dict[str, Any]

CRITERIA = ("bic", "icl", "heldout")


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of `select_components`.

    Attributes
    ----------
    best_estimator : GaussianMixture
        The chosen mixture, fitted to all observed entries.
    n_components : int
        The chosen K.
    covariance_type : str
        The chosen covariance type.
    n_factors : int or None
        The chosen rank of "factor"; None for other types.
    center : str
        The chosen effects.
    criterion : str
        "bic", "icl" or "heldout".
    table : list of dict
        One per candidate, in the order tried: ``n_components``, ``covariance_type``,
        ``n_factors``, ``center``; ``bic`` (and ``icl``) or ``rmse``, ``scaled_rmse`` (in units
        of the columns' standard deviations), ``mae``, ``log_likelihood``, ``coverage`` (of
        90 % intervals; all five held out); ``collapsed`` (a component fell onto points: not
        chosen while others are left), ``seconds``, ``stage`` ("center" or "components").
    interrupted : bool
        Whether Ctrl-C ended the search; then the best candidate so far was chosen.
    """

    best_estimator: GaussianMixture
    n_components: int
    covariance_type: str
    n_factors: int | None
    center: str
    criterion: str
    table: list[Candidate] = field(default_factory=list)
    interrupted: bool = False


def select_components(
    X: Any,
    n_components: Iterable[int] = range(1, 11),
    criterion: Literal["bic", "icl", "heldout"] = "bic",
    *,
    centers: Sequence[str] | None = None,
    covariance_type: str | Sequence[str] = "spherical",
    n_factors: int | Sequence[int] | None = None,
    n_init: int = 5,
    test_size: float = 0.1,
    random_state: Any = None,
    on_progress: Callable[[Candidate], None] | None = None,
    **options: Any,
) -> Selection:
    """Choose the number of components, the covariance type, its rank and the effects.

    All combinations of numbers, types and (for "factor") ranks are fitted; of candidates
    that are equally good the one tried first is taken: types in the order given, then ranks
    as given, then the fewest components.

    Parameters
    ----------
    X : matrix-like, shape (n, d)
        Data with holes.
    n_components : iterable of int
        Numbers to try.
    criterion : {"bic", "icl", "heldout"}, default "bic"
        "bic": the lowest `GaussianMixture.bic` of fits to all entries. "icl": the lowest
        `GaussianMixture.icl`, which counts clusters that stand apart. "heldout": the lowest
        root mean squared error on held-out entries that the fits have not seen; where types
        beside "spherical" are tried, which let columns have units of their own, each error
        in units of its column's standard deviation, or the column with the largest numbers
        would decide alone. (The held-out log-likelihood is reported too but not used to
        choose: for ratings on a grid a component of tiny variance makes a density as high
        as it likes.)
    centers : sequence of {"none", "columns", "rows", "biases"}, optional
        Effects to choose among, at one moderate number of components, before the number
        itself is chosen. By default the one given as ``center`` (or "none").
    covariance_type : str or sequence of str, default "spherical"
        Type or types of `GaussianMixture` to try.
    n_factors : int or sequence of int, optional
        Rank or ranks to try for "factor".
    n_init
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

    Raises
    ------
    MixmendError
        Before anything is fitted, for a candidate that cannot be: a rank that is not below
        the number of columns, a prior of another type, more components than rows.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-3, 1, (50, 4)), rng.normal(3, 1, (50, 4))])
    >>> mm.select_components(X, range(1, 5), random_state=0).n_components
    2
    >>> chosen = mm.select_components(X, [1, 2], covariance_type=["full", "diag"], random_state=0)
    >>> chosen.covariance_type, chosen.n_components
    ('diag', 2)
    """
    obs = as_observed(X, copy=False)
    ks = sorted({whole("n_components", k, 1) for k in n_components})
    if not ks:
        raise MixmendError("n_components is empty: give at least one number to try.")
    require_rows("n_components", ks[-1], obs)  # before hours of fits, not after
    if criterion not in CRITERIA:
        raise bad_option("criterion", criterion, CRITERIA)
    chosen_center = options.pop("center", "none")
    tried_centers = list(centers) if centers is not None else [chosen_center]
    for center in tried_centers:
        if center not in CENTERS:
            raise bad_option("center", center, CENTERS)
    shapes = _shapes(covariance_type, n_factors)
    rng = as_generator(random_state)
    search = _Search(obs, criterion, options, int(rng.integers(2**31)), on_progress)
    for shape in shapes:
        for center in tried_centers:
            search.require_possible(shape, center, ks[-1])
    if criterion == "heldout":
        search.split(test_size, int(rng.integers(2**31)))
    search.scaled = any(name != "spherical" for name, _ in shapes)
    moderate = min(ks, key=lambda k: abs(np.log(k / 4)))
    total = len(ks) * len(shapes) + (len(tried_centers) if len(tried_centers) > 1 else 0)
    with track("selecting components", total=total) as progress:
        try:
            if len(tried_centers) > 1:
                for center in tried_centers:
                    tried = _Tried(moderate, *shapes[0], center)
                    search.try_one(tried, min(n_init, 2), "center")
                    progress.update(center=center)
                chosen_center = search.best()["center"]
            else:
                chosen_center = tried_centers[0]
            for name, rank in shapes:
                for k in ks:
                    search.try_one(_Tried(k, name, rank, chosen_center), n_init, "components")
                    progress.update(covariance_type=name, n_components=k)
        except KeyboardInterrupt:
            if not search.table:
                raise
            search.interrupted = True
    best = _Tried(*(search.best("components")[name] for name in _Tried._fields))
    estimator = search.chosen
    if estimator is None:
        estimator = search.estimator(best, n_init).fit(obs)
    return Selection(estimator, *best, criterion, search.table, search.interrupted)


def _shapes(
    covariance_type: str | Sequence[str], n_factors: int | Sequence[int] | None
) -> list[tuple[str, int | None]]:
    """Covariance types, "factor" once for each rank."""
    names = [covariance_type] if isinstance(covariance_type, str) else list(covariance_type)
    if not names:
        raise MixmendError("covariance_type is empty: give at least one type to try.")
    for name in names:
        if name not in COVARIANCE_TYPES:
            raise bad_option("covariance_type", name, COVARIANCE_TYPES)
    ranks: list[Any] = list(n_factors) if isinstance(n_factors, Iterable) else [n_factors]
    if n_factors is not None and "factor" not in names:
        raise MixmendError(f"n_factors={n_factors!r} needs 'factor' among the covariance types.")
    if not ranks:
        raise MixmendError("n_factors is empty: give at least one rank to try.")
    return [(n, rank) for n in names for rank in (ranks if n == "factor" else [None])]


class _Tried(NamedTuple):
    """What tells candidates apart, in the order of `Selection`'s fields."""

    n_components: int
    covariance_type: str
    n_factors: int | None
    center: str


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
        self.chosen: GaussianMixture | None = None
        self.scaled = False
        self.interrupted = False

    def split(self, test_size: float, seed: int) -> None:
        self.train, self.held_out = split_entries(self.obs, test_size, random_state=seed)
        if self.held_out.n_observed == 0 or self.train.n_observed == 0:
            raise DataError(
                f"test_size={test_size} of {self.obs.n_observed} entries leaves nothing to "
                "hold out or to fit. Give more data, or choose by BIC."
            )

    def estimator(self, tried: _Tried, n_init: int) -> GaussianMixture:
        options: dict[str, Any] = {"n_init": n_init, "random_state": self.seed}
        return GaussianMixture(**tried._asdict(), **(options | self.options))

    def require_possible(self, shape: tuple[str, int | None], center: str, most: int) -> None:
        """Raise for options that do not go together, or not with the data."""
        options = checked(self.estimator(_Tried(most, *shape, center), 1))
        family_of(options.covariance_type).density(options, self.obs)

    def try_one(self, tried: _Tried, n_init: int, stage: str) -> None:
        began = time.perf_counter()
        with warnings.catch_warnings():
            # of the candidates only the chosen one's warnings concern the user
            warnings.simplefilter("ignore")
            model = self.estimator(tried, n_init).fit(self.train)
        if model.interrupted_:
            raise KeyboardInterrupt  # half a fit is no candidate
        row: Candidate = tried._asdict() | {"stage": stage}
        row["collapsed"] = model.collapsed_
        if self.held_out is None:
            row["bic"] = float(model.bic(self.train))
            if self.criterion == "icl":
                row["icl"] = float(model.icl(self.train))
            row["log_likelihood"] = float(model.log_likelihood_)
        else:
            row |= _held_out_scores(model, self.train, self.held_out)
        row["seconds"] = time.perf_counter() - began
        self.table.append(row)
        if self.held_out is None and self.best("components") is row:
            self.chosen = model  # the others are let go: many large models fill the memory
        if self.on_progress is not None:
            self.on_progress(row)

    def best(self, stage: str | None = None) -> Candidate:
        """The best candidate of a stage, or of all where the stage was not reached."""
        key = self.criterion
        if self.held_out is not None:
            key = "scaled_rmse" if self.scaled else "rmse"
        rows = [row for row in self.table if row["stage"] == stage] or self.table
        # a singular likelihood has no meaning: such a candidate wins only if all are singular
        return min(rows, key=lambda row: (row["collapsed"], row[key]))


def _held_out_scores(
    model: GaussianMixture, train: ObservedMatrix, held_out: ObservedMatrix
) -> dict[str, float]:
    rows, columns, values = held_out.entries()
    cells = model.predictive(train, rows, columns)
    error = predictive_of.mean(cells) - values
    scaled = error / column_scales(train)[columns]
    lower, upper = predictive_of.interval(cells, 0.9)
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "scaled_rmse": float(np.sqrt(np.mean(scaled**2))),
        "mae": float(np.mean(np.abs(error))),
        "log_likelihood": float(np.mean(predictive_of.log_density(cells, values))),
        "coverage": float(np.mean((values >= lower) & (values <= upper))),
    }
