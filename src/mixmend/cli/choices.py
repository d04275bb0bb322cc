"""What options that several commands share can be set to."""

from __future__ import annotations

from enum import StrEnum


class Duplicates(StrEnum):
    """What to do with a (row, column) pair that a file holds more than once."""

    error = "error"
    first = "first"
    last = "last"
    mean = "mean"


class InputLayout(StrEnum):
    """How a file holds its matrix."""

    auto = "auto"
    long = "long"
    wide = "wide"


class Model(StrEnum):
    """Which kind of model to fit."""

    mixture = "mixture"
    kmeans = "kmeans"
    als = "als"
    neural = "neural"
    autoencoder = "autoencoder"


FACTORS = (Model.als, Model.neural)
"""Models of latent factors: they take features, and stand beside effects of rows and columns."""


class Select(StrEnum):
    """By what the number of components is chosen."""

    heldout = "heldout"
    bic = "bic"
    icl = "icl"


class Center(StrEnum):
    """Which effects stand beside the components."""

    auto = "auto"
    none = "none"
    columns = "columns"
    rows = "rows"
    biases = "biases"


class Init(StrEnum):
    """Where fits start."""

    spread = "k-means++"
    kmeans = "kmeans"
    random = "random"
    rows = "random_from_data"


class Inference(StrEnum):
    """What is found of a mixture's parameters."""

    em = "em"
    variational = "variational"


class Prior(StrEnum):
    """Whether parameters are drawn towards what all the data say."""

    default = "default"
    none = "none"
