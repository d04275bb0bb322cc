"""A stream's running statistics, and the density they belong to, as plain header and arrays.

With them a saved model goes on learning where it stopped. Values are the library's own small
classes, listed here by name: a file can name no other, so that opening one runs no code of
its own.
"""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.em.stepwise import Stream
from mixmend.errors import ModelFileError
from mixmend.observed.matrix import ObservedMatrix

Arrays = dict[str, NDArray[Any]]

_KINDS = (
    "diagonal.DiagonalDensity",
    "diagonal.PriorScales",
    "diagonal_e_step.Statistics",
    "factor.FactorDensity",
    "factor_e_step.Statistics",
    "fixed.FixedComponents",
    "full.FullDensity",
    "full.PriorScales",
    "full_e_step.Statistics",
    "priors.DiagonalPrior",
    "priors.NormalInverseWishart",
    "priors.SphericalPrior",
    "spherical.SphericalDensity",
    "spherical_e_step.Statistics",
    "tied.TiedDensity",
)
_PREFIX = "stream."


def stream_to_saved(stream: Stream[Any], density: Any) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays; the parameters are saved with the model."""
    arrays: Arrays = {}
    header = {
        "seen": stream.seen,
        "cells": stream.cells,
        "moving": stream.moving,
        "statistics": _plain(stream.statistics, _PREFIX + "statistics", arrays),
        "density": _plain(density, _PREFIX + "density", arrays),
    }
    return header, arrays


def stream_from_saved(
    header: dict[str, Any], arrays: Arrays, parameters: Any, family: Any
) -> tuple[Stream[Any], Any]:
    """The inverse: a stream and its density, tried out on a row without any cell."""
    try:
        density = _valued(header["density"], arrays)
        statistics = _valued(header["statistics"], arrays)
        n_components, d = parameters.means.shape
        nothing = ObservedMatrix.from_dense(np.full((1, d), np.nan))
        model = density.e_step(parameters, family.block(nothing, n_components))
        density.m_step(statistics, parameters)
        good = type(model) is type(statistics) and all(
            np.shape(getattr(model, field.name)) == np.shape(getattr(statistics, field.name))
            and np.all(np.isfinite(getattr(statistics, field.name)))
            for field in fields(model)
        )
        stream = Stream(
            parameters,
            statistics,
            float(header["seen"]),
            int(header["cells"]),
            bool(header["moving"]),
        )
    except ModelFileError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise _damaged() from fault
    if not good or not 0 < stream.seen < np.inf:
        raise _damaged()
    return stream, density


def _damaged() -> ModelFileError:
    return ModelFileError(
        "The model file's running statistics do not fit its parameters. Save the model again."
    )


def _plain(value: Any, path: str, arrays: Arrays) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, np.generic):
        return value.item()
    kind = f"{type(value).__module__.rpartition('.')[2]}.{type(value).__name__}"
    if kind not in _KINDS:
        raise TypeError(f"{kind} is not among the values that a model file may hold")
    names = [f.name for f in fields(value)] if is_dataclass(value) else value._fields
    inner = {name: _plain(getattr(value, name), f"{path}.{name}", arrays) for name in names}
    return {"kind": kind, "fields": inner}


def _valued(plain: Any, arrays: Arrays) -> Any:
    if not isinstance(plain, dict):
        return plain
    if "array" in plain:
        return arrays[plain["array"]]
    if plain["kind"] not in _KINDS:
        raise ModelFileError(
            f"The model file has running statistics of kind {plain['kind']!r}, which this version "
            "does not know. Upgrade mixmend."
        )
    module, name = plain["kind"].split(".")
    cls = getattr(importlib.import_module(f"mixmend.mixtures.{module}"), name)
    return cls(**{key: _valued(inner, arrays) for key, inner in plain["fields"].items()})
