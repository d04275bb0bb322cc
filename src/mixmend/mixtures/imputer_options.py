"""What the options of an imputer ask of its mixture."""

from __future__ import annotations

from typing import Any

from mixmend.errors import MixmendError
from mixmend.mixtures import options as checks
from mixmend.mixtures.estimator import GaussianMixture

USUAL_FLOOR = 1e-6
"""Variances, of standardised columns, that EM does not fall below unless told otherwise."""


def is_auto(imputer: Any) -> bool:
    """Whether several mixtures are asked for; refuses what does not go with either answer."""
    given = imputer.n_components
    if not isinstance(given, str):
        checks.whole("n_components", given, 1)
        return False
    if given != "auto":
        raise checks.out_of_range("n_components", given, "a whole number of at least 1 or 'auto'")
    for name, usual in (
        ("covariance_type", "full"),
        ("prior", "auto"),
        ("inference", "em"),
        ("init_params", "k-means++"),
        ("n_factors", None),
    ):
        value = getattr(imputer, name)
        if not isinstance(value, type(usual)) or value != usual:
            raise MixmendError(
                f"n_components='auto' chooses covariances and priors itself; leave {name} at "
                f"{usual!r}, or give a number of components. It is {value!r}."
            )
    return True


def mixture_of(imputer: Any) -> GaussianMixture:
    """The unfitted mixture of an imputer with a number of components."""
    variational = isinstance(imputer.inference, str) and imputer.inference == "variational"
    prior, floor = imputer.prior, imputer.min_variance
    if isinstance(prior, str) and prior == "auto":
        prior = None if imputer.covariance_type == "spherical" else "default"
    return GaussianMixture(
        imputer.n_components,
        imputer.covariance_type,
        inference=imputer.inference,
        init_params=imputer.init_params,
        n_init=imputer.n_init,
        prior=prior,
        min_variance=0.0 if variational and floor == USUAL_FLOOR else floor,
        max_iter=imputer.max_iter,
        tol=imputer.tol,
        n_factors=imputer.n_factors,
        random_state=imputer.random_state,
        verbose=imputer.verbose,
    )
