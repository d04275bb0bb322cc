"""Metrics against their definitions, and their errors word by word."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixmend.completion import predictive
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import metrics

VALUES = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=30)


@given(VALUES)
def test_errors_agree_with_their_definition(pairs):
    truth, guess = np.array(pairs).T
    squares = sum((t - g) ** 2 for t, g in pairs) / len(pairs)
    assert metrics.rmse(truth, guess) == pytest.approx(np.sqrt(squares))
    assert metrics.mae(truth, guess) == pytest.approx(
        sum(abs(t - g) for t, g in pairs) / len(pairs)
    )
    assert (
        metrics.mae(truth, guess) <= metrics.rmse(truth, guess) * (1 + 1e-12) + 1e-150
    )  # squares underflow
    assert type(metrics.rmse(truth, guess)) is float


def test_single_precision_does_not_lose_the_error():
    truth = np.full(10_000_000, 3.1, np.float32)
    assert metrics.rmse(truth, np.full(len(truth), 3.0)) == pytest.approx(0.1, rel=1e-5)


def test_mean_log_likelihood_of_a_mixture(rng):
    p = predictive.checked(
        rng.dirichlet(np.ones(3), 50), rng.normal(size=(50, 3)), rng.random((50, 3)) + 0.1
    )
    truth = rng.normal(size=50)
    density = (p.weights * stats.norm.pdf(truth[:, None], p.means, np.sqrt(p.variances))).sum(1)
    assert metrics.mean_log_likelihood(p, truth) == pytest.approx(np.log(density).mean())


def test_coverage_and_sharpness_of_known_intervals():
    p = predictive.gaussian(np.zeros(1000), 1.0)
    truth = np.linspace(-3, 3, 1000)
    for level in (0.5, 0.9):
        half = stats.norm.ppf(0.5 + level / 2)
        assert metrics.interval_coverage(p, truth, level) == np.mean(np.abs(truth) <= half)
        assert metrics.sharpness(p, level) == pytest.approx(2 * half)
    exact = predictive.gaussian([2.0, 3.0], 0.0)
    assert metrics.interval_coverage(exact, [2.0, 3.5]) == 0.5


def test_calibration_tells_the_honest_from_the_too_sure(rng):
    centre = rng.normal(size=40_000)
    truth = centre + rng.normal(size=40_000)
    honest = metrics.calibration(predictive.gaussian(centre, 1.0), truth)
    np.testing.assert_allclose(honest.coverage, honest.levels, atol=0.01)
    np.testing.assert_allclose(honest.pit_shares, 0.05, atol=0.006)
    np.testing.assert_allclose(honest.widths, 2 * stats.norm.ppf(0.5 + honest.levels / 2))
    assert honest.pit_shares.sum() == pytest.approx(1)
    assert honest.n == 40_000
    assert json.loads(json.dumps(honest.to_dict()))["levels"][-1] == 0.99
    sure = metrics.calibration(
        predictive.gaussian(centre, 0.25), truth, levels=[0.5, 0.9], n_bins=4
    )
    assert sure.coverage == pytest.approx(
        2 * stats.norm.cdf(stats.norm.ppf([0.75, 0.95]) / 2) - 1, abs=0.01
    )
    assert sure.pit_edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert sure.pit_shares[0] > 0.3 > 0.2 > sure.pit_shares[1]


ONE = predictive.gaussian([0.0], 1.0)
NONE = predictive.Predictive(*(np.empty((0, 1)) for _ in range(3)))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: metrics.rmse([1.0, 2.0], [1.0]),
            "truth and estimate must have the same shape; got (2,) and (1,).",
        ),
        (
            lambda: metrics.mae([], []),
            "there are no values to compare; hold out at least one entry.",
        ),
        (
            lambda: metrics.rmse([1.0, np.nan], [1.0, 2.0]),
            "truth must be finite; at position 1 it is nan.",
        ),
        (
            lambda: metrics.mae([[1.0, 3.0]], [[1.0, np.inf]]),
            "estimate must be finite; at position (0, 1) it is inf.",
        ),
        (
            lambda: metrics.mean_log_likelihood(ONE, [1.0, 2.0]),
            "truth must hold one value per predicted cell (1); got shape (2,).",
        ),
        (
            lambda: metrics.interval_coverage(NONE, []),
            "there are no values to compare; hold out at least one entry.",
        ),
        (
            lambda: metrics.sharpness(NONE),
            "sharpness needs at least one prediction; got none.",
        ),
        (
            lambda: metrics.interval_coverage(ONE, [0.0], level=1.0),
            "the level of an interval must lie between 0 and 1; got 1.0.",
        ),
        (
            lambda: metrics.calibration(ONE, [-np.inf]),
            "truth must be finite; at position 0 it is -inf.",
        ),
        (
            lambda: metrics.calibration(ONE, [0.0], n_bins=0),
            "n_bins must be a whole number >= 1; got 0.",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, text):
    with pytest.raises(MixmendError) as caught:
        call()
    assert str(caught.value) == text
    if "level" not in text and "n_bins" not in text:
        assert isinstance(caught.value, DataError)
