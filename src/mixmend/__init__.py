"""mixmend: mixtures that mend incomplete data.

Fits mixture models by Expectation-Maximisation to matrices with holes, exactly, and
fills the holes with honest uncertainty. The names below are imported when first used,
so that ``import mixmend`` itself costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mixmend._version import __version__

if TYPE_CHECKING:
    from mixmend import datasets, evaluation, functional, imaging, plots
    from mixmend.factors.autoencoder import LinearAutoencoder
    from mixmend.factors.estimator import MatrixFactorization
    from mixmend.factors.neural import NeuralFactorization
    from mixmend.files.models import load, save
    from mixmend.files.ratings import read_ratings
    from mixmend.mixtures.estimator import GaussianMixture
    from mixmend.mixtures.imputer import MixtureImputer
    from mixmend.mixtures.kmeans import KMeans
    from mixmend.mixtures.priors import (
        DiagonalPrior,
        FactorPrior,
        NormalInverseWishart,
        SphericalPrior,
    )
    from mixmend.mixtures.selection import select_components
    from mixmend.observed.holdout import fold_entries, split_entries
    from mixmend.observed.matrix import ObservedMatrix

_HOMES = {
    "DiagonalPrior": "mixmend.mixtures.priors",
    "FactorPrior": "mixmend.mixtures.priors",
    "GaussianMixture": "mixmend.mixtures.estimator",
    "KMeans": "mixmend.mixtures.kmeans",
    "LinearAutoencoder": "mixmend.factors.autoencoder",
    "MatrixFactorization": "mixmend.factors.estimator",
    "MixtureImputer": "mixmend.mixtures.imputer",
    "NeuralFactorization": "mixmend.factors.neural",
    "NormalInverseWishart": "mixmend.mixtures.priors",
    "ObservedMatrix": "mixmend.observed.matrix",
    "SphericalPrior": "mixmend.mixtures.priors",
    "fold_entries": "mixmend.observed.holdout",
    "load": "mixmend.files.models",
    "read_ratings": "mixmend.files.ratings",
    "save": "mixmend.files.models",
    "select_components": "mixmend.mixtures.selection",
    "split_entries": "mixmend.observed.holdout",
}
_MODULES = ("datasets", "evaluation", "functional", "imaging", "plots")

__all__ = [
    "DiagonalPrior",
    "FactorPrior",
    "GaussianMixture",
    "KMeans",
    "LinearAutoencoder",
    "MatrixFactorization",
    "MixtureImputer",
    "NeuralFactorization",
    "NormalInverseWishart",
    "ObservedMatrix",
    "SphericalPrior",
    "__version__",
    "datasets",
    "evaluation",
    "fold_entries",
    "functional",
    "imaging",
    "load",
    "plots",
    "read_ratings",
    "save",
    "select_components",
    "split_entries",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"mixmend.{name}")
    else:
        raise AttributeError(f"module 'mixmend' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
