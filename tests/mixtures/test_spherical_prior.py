"""What a prior may be, and what is said of one that may not."""

from __future__ import annotations

import dataclasses

import pytest

from mixmend.errors import MixmendError
from mixmend.mixtures.priors import SphericalPrior


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mean_variance": None},
        {"mean_variance": 3},
        {"mean_variance": 1e-9},
        {"variance_shape": 2.0, "variance_scale": 0.1},
        {"variance_scale": 0.1},
        {"weight_concentration": 1e-3},
    ],
)
def test_legal_priors(options):
    prior = SphericalPrior(**options)
    assert {name: getattr(prior, name) for name in options} == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        prior.mean_variance = 1.0


def test_defaults():
    assert SphericalPrior() == SphericalPrior("learned", 0.0, 0.0, None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"mean_variance": "lerned"},
            "mean_variance must be 'learned', a positive number or None; got 'lerned'.",
        ),
        ({"mean_variance": 0}, "mean_variance must be positive and finite; got 0."),
        ({"mean_variance": -1.5}, "mean_variance must be positive and finite; got -1.5."),
        (
            {"mean_variance": float("nan")},
            "mean_variance must be positive and finite; got nan.",
        ),
        (
            {"mean_variance": float("inf")},
            "mean_variance must be positive and finite; got inf.",
        ),
        (
            {"variance_shape": -1.0},
            "variance_shape must be finite and not negative; got -1.0.",
        ),
        (
            {"variance_scale": float("inf")},
            "variance_scale must be finite and not negative; got inf.",
        ),
        (
            {"variance_scale": float("nan")},
            "variance_scale must be finite and not negative; got nan.",
        ),
        (
            {"variance_shape": 2.0},
            "variance_shape without variance_scale would pull every variance to 0. "
            "Give variance_scale too, for example shape × the variance you expect.",
        ),
        (
            {"weight_concentration": 0.0},
            "weight_concentration must be positive; got 0.0.",
        ),
        (
            {"weight_concentration": float("nan")},
            "weight_concentration must be positive; got nan.",
        ),
    ],
)
def test_illegal_priors(options, text):
    with pytest.raises(MixmendError) as caught:
        SphericalPrior(**options)
    assert str(caught.value) == text
