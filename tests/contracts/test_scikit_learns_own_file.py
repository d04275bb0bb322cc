"""scikit-learn's own tests of its mixture, from the installed package, with ours in its place."""

from __future__ import annotations

import functools
import importlib.util
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
import sklearn.mixture

import mixmend as mm


class GaussianMixture(mm.GaussianMixture):
    """Ours under scikit-learn's option names and defaults, and nothing more."""

    made = 0

    def __init__(
        self,
        n_components=1,
        *,
        covariance_type="full",
        tol=1e-3,
        reg_covar=1e-6,
        max_iter=100,
        n_init=1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        precisions_init=None,
        random_state=None,
        warm_start=False,
        verbose=0,
        verbose_interval=10,
    ):
        super().__init__(
            n_components,
            covariance_type,
            tol=tol,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            means_init=means_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
        )
        self.reg_covar = reg_covar
        self.precisions_init = precisions_init
        self.verbose_interval = verbose_interval
        type(self).made += 1

    def fit(self, X, y=None):
        self.min_variance = self.reg_covar
        self.covariances_init = inverse(self.precisions_init, self.covariance_type)
        return super().fit(X, y)

    def _n_parameters(self):
        return self.n_parameters()


def inverse(precisions, covariance_type):
    if precisions is None:
        return None
    matrices = covariance_type in ("full", "tied")
    return np.linalg.inv(precisions) if matrices else 1.0 / np.asarray(precisions)


class Excuse(NamedTuple):
    """Why a test of theirs does not apply, and how it fails: its message or its last line."""

    reason: str
    fails_with: str


WORDING = "words: the same mistake is refused (or warned of) in a sentence of ours"
PRIVATE = "private: works on the inside of scikit-learn's class"

EXCUSED = {
    "test_check_weights": Excuse(WORDING, "weights_init must have shape"),
    "test_check_means": Excuse(WORDING, "means_init must have shape"),
    "test_check_precisions": Excuse(WORDING, "Singular matrix"),
    "test_sample": Excuse(WORDING, "n_samples must be at least 1; got 0."),
    "test_gaussian_mixture_fit_convergence_warning": Excuse(WORDING, "EM did not converge in 1 "),
    "test_mixture_n_components_greater_than_n_samples_error": Excuse(
        WORDING, "n_components=12 is more than the 10 rows of X"
    ),
    "test_regularisation": Excuse(
        "error: rows that all lie on two points are fitted above a floor of rounding, with a "
        "CollapsedComponentWarning, where scikit-learn gives up",
        "DID NOT RAISE",
    ),
    "test_gaussian_mixture_precisions_init": Excuse(PRIVATE, "_set_parameters"),
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": Excuse(
        PRIVATE + ": counts the calls of one of its functions", "assert mock.call_count =="
    ),
    "test_gaussian_mixture_precisions_init_diag": Excuse(
        "start: components begin with at least a tenth of the variance of all rows, so that the "
        "fit takes a step more to the same end than from the clusters' own variances",
        "assert gm_without_init.n_iter_ == gm_with_init.n_iter_",
    ),
}

NOT_RUN = dict.fromkeys(
    (
        "test_gaussian_mixture_array_api_compliance",
        "test_gaussian_mixture_raises_where_array_api_not_implemented",
    ),
    "array API: ours computes on NumPy arrays, whatever it is given",
)
"""Left out before they begin: they skip themselves where no other array library is installed."""

HELPERS_ONLY = "never makes a mixture: a test of scikit-learn's helpers, or of another estimator"


def loaded(name: str) -> ModuleType:
    """A fresh copy of one of scikit-learn's test modules that finds our estimator."""
    path = Path(sklearn.mixture.__file__).parent / "tests" / f"{name}.py"
    if not path.exists():
        pytest.skip(f"this installation of scikit-learn has no {path}", allow_module_level=True)
    spec = importlib.util.spec_from_file_location(f"scikit_learns_{name}", path)
    module = importlib.util.module_from_spec(spec)
    own = sklearn.mixture.GaussianMixture
    sklearn.mixture.GaussianMixture = GaussianMixture
    try:
        spec.loader.exec_module(module)
    finally:
        sklearn.mixture.GaussianMixture = own
    return module


FILES = [loaded("test_gaussian_mixture"), loaded("test_mixture")]


def judged(name: str, test: Callable[..., None]) -> Callable[..., None]:
    """The test, with its excuse checked: it must fail, and in the way that was said."""
    if name in NOT_RUN:
        return lambda: pytest.skip(NOT_RUN[name])

    @functools.wraps(test)
    def run(*args: Any, **options: Any) -> None:
        made = GaussianMixture.made
        excuse = EXCUSED.get(name)
        try:
            test(*args, **options)
        except (Exception, pytest.fail.Exception) as failure:
            last_line = traceback.extract_tb(failure.__traceback__)[-1].line
            if excuse is None or excuse.fails_with not in f"{failure}\n{last_line}":
                raise
            pytest.skip(excuse.reason)
        if GaussianMixture.made == made:
            pytest.skip(HELPERS_ONLY)
        if excuse is not None:
            pytest.fail(f"passes: take it out of EXCUSED ({excuse.reason})")

    return run


TESTS = {
    name: judged(name, test)
    for module in FILES
    for name, test in vars(module).items()
    if name.startswith("test_")
}
globals().update(TESTS)


@pytest.fixture(params=[np.float64], ids=["float64"])
def global_dtype(request):
    """Parameters are float64 whatever the data (scikit-learn too leaves float32 to an option)."""
    return request.param


@pytest.fixture(params=[42])
def global_random_seed(request):
    """The seed that scikit-learn takes where no other is asked for."""
    return request.param


@pytest.fixture(autouse=True)
def one_thread():
    """Many tiny fits: threads that wait for one another would take most of the time."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def test_every_excuse_is_for_a_test_that_there_is():
    assert set(EXCUSED) | set(NOT_RUN) <= set(TESTS)


def test_most_of_their_tests_are_run():
    """Were nothing loaded, or all of it excused, nothing above would notice."""
    assert len(TESTS) > 40
    assert len(EXCUSED) + len(NOT_RUN) < len(TESTS) / 3


def test_an_excuse_that_no_longer_holds_is_a_failure():
    def fails_as_said():
        GaussianMixture()
        raise AssertionError("weights_init must have shape (2,)")

    def fails_otherwise():
        raise AssertionError("something else")

    with pytest.raises(pytest.skip.Exception, match="words"):
        judged("test_check_weights", fails_as_said)()
    with pytest.raises(AssertionError, match="something else"):
        judged("test_check_weights", fails_otherwise)()
    with pytest.raises(pytest.fail.Exception, match="take it out"):
        judged("test_check_weights", GaussianMixture)()
    with pytest.raises(pytest.skip.Exception, match="never makes"):
        judged("test_score", lambda: None)()
    with pytest.raises(AssertionError, match="something else"):
        judged("test_score", fails_otherwise)()
