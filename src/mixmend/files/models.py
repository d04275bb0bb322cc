"""Saved models: one ``.mixmend`` file each, readable for years, never executed."""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from mixmend._version import __version__
from mixmend.errors import DataError, MixmendError, ModelFileError
from mixmend.files.container import FORMAT, FORMAT_VERSION, read_container, write_container

# Names, not classes: a file is read by its model's module, which lies above this one.
_MODELS: dict[str, str] = {
    "patch-prior": "mixmend.imaging.prior:PatchPrior",
    "gaussian-mixture": "mixmend.mixtures.estimator:GaussianMixture",
    "k-means": "mixmend.mixtures.kmeans:KMeans",
    "linear-autoencoder": "mixmend.factors.autoencoder:LinearAutoencoder",
    "matrix-factorization": "mixmend.factors.estimator:MatrixFactorization",
    "neural-factorization": "mixmend.factors.neural:NeuralFactorization",
}


def register_model(kind: str, home: str) -> None:
    """Make `load` know models of another class.

    The class needs an attribute ``_saved_kind`` equal to ``kind``; a method
    ``_to_saved()`` that gives a dict of JSON values and a dict of arrays; and a class
    method ``_from_saved(header, arrays)`` that makes the model from the two.

    Parameters
    ----------
    kind : str
        The name in the files; it must never change its meaning.
    home : str
        Where the class is, as ``"package.module:Class"``; imported when first needed.

    Raises
    ------
    DataError
        If ``home`` has another form, or the kind already belongs to another class.

    Examples
    --------
    >>> register_model("k-means", "mixmend.mixtures.kmeans:KMeans")
    >>> register_model("k-means", "elsewhere:KMeans")
    Traceback (most recent call last):
    mixmend.errors.DataError: The kind of model 'k-means' already belongs to
    mixmend.mixtures.kmeans:KMeans. Register elsewhere:KMeans under another name.
    """
    module, colon, name = home.partition(":")
    if not (module and colon and name.isidentifier()):
        raise DataError(
            f"Cannot register {home!r} as a model: give its place as 'package.module:Class'."
        )
    if _MODELS.setdefault(kind, home) != home:
        raise DataError(
            f"The kind of model {kind!r} already belongs to {_MODELS[kind]}. "
            f"Register {home} under another name."
        )


def save(
    model: Any,
    path: str | os.PathLike[str],
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> None:
    """Save a fitted model as one file, which `load` reads in any later version.

    The file is a zip archive of a JSON header and plain ``.npy`` arrays, so other
    programs can read it too. It appears whole or not at all. The same model gives the
    same bytes, except for the time; the environment variable ``SOURCE_DATE_EPOCH``
    (seconds since 1970) fixes that too.

    Parameters
    ----------
    model : estimator
        A fitted model of mixmend, or of a class known to `register_model`.
    path : path-like
        The file to make, by custom ending in ``.mixmend``.
    provenance : mapping, optional
        What else the header shall say about the model's origin (the data's file, who
        fitted it); JSON values.
    overwrite : bool, default True
        Whether a file that is already there may be replaced.

    Raises
    ------
    DataError
        If the model is of a kind that cannot be saved.
    OutputError
        If the file cannot be written.
    """
    kind = getattr(type(model), "_saved_kind", None)
    if not isinstance(kind, str) or not hasattr(model, "_to_saved"):
        raise DataError(
            f"A {type(model).__name__} is not a model that mixmend can save. "
            f"Save one of: {', '.join(sorted(_MODELS))}."
        )
    if kind not in _MODELS:
        raise DataError(
            f"A {type(model).__name__} could be saved but not loaded again: its kind {kind!r} is "
            "not registered. Call mixmend.files.models.register_model first."
        )
    own, arrays = model._to_saved()
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "mixmend_version": __version__,
        "created": _now(),
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
        "provenance": dict(provenance or {}),
        "model": own,
    }
    write_container(path, header, arrays, overwrite=overwrite)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that `save` wrote.

    Nothing in the file is executed, so a file from elsewhere is safe to open.

    Parameters
    ----------
    path : path-like
        The ``.mixmend`` file.

    Returns
    -------
    estimator
        The fitted model.

    Raises
    ------
    ModelFileError
        If the file is absent, truncated, damaged, of another format, written by a newer
        version, or holds a kind of model that is not known.
    """
    shown = os.fspath(path)
    header, arrays = read_container(path)
    kind = header.get("kind")
    if kind not in _MODELS:
        raise ModelFileError(
            f"{shown} holds a model of the kind {kind!r}, which is not known here (known: "
            f"{', '.join(sorted(_MODELS))}). Upgrade mixmend, or import the package that made it."
        )
    module, _, name = _MODELS[kind].partition(":")
    found = getattr(importlib.import_module(module), name)
    try:
        return found._from_saved(header["model"], arrays)
    except MixmendError:
        raise
    except Exception as error:  # the header is JSON of any shape: whatever does not fit, is damage
        raise ModelFileError(
            f"The model file {shown} is truncated or damaged (its contents do not make a "
            f"{name}: {type(error).__name__}). Copy it again from its source, or save the "
            "model again."
        ) from error


def read_model_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a model file says of itself, without its arrays.

    Parameters
    ----------
    path : path-like
        The ``.mixmend`` file.

    Returns
    -------
    dict
        ``kind``, ``mixmend_version``, ``created``, ``provenance``, ``model`` (its own
        part), ``arrays`` (type and shape of each) and more.

    Raises
    ------
    ModelFileError
        As `load`, but a kind of model that is not known is no error.
    """
    return read_container(path, header_only=True)[0]


def _now() -> str:
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(fixed) if fixed.isdecimal() else time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
