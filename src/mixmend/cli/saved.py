"""A saved model and the ratings it is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmend.cli.options import Reading
from mixmend.cli.session import Session
from mixmend.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from mixmend.mixtures.estimator import GaussianMixture
    from mixmend.observed.matrix import ObservedMatrix

_SHOWN = 3


def open_both(
    model_file: Path, ratings: Path, reading: Reading, run: Session
) -> tuple[GaussianMixture, ObservedMatrix]:
    """Load a model and read ratings, their columns put in the model's order."""
    from mixmend.files.models import load
    from mixmend.observed.labels import align_columns

    with run.stage(f"loading {model_file}"):
        model = load(model_file)
    with run.stage(f"reading {ratings}"):
        obs = reading.read(ratings)
        aligned = align_columns(obs, model.column_labels_, unknown="drop")
        lost = obs.n_observed - aligned.n_observed
        if lost and not aligned.n_observed:
            raise DataError(
                f"{model_file} was made for other columns: none of those of {ratings}, such as "
                f"{_shown(obs.column_labels)}, is among its own, such as "
                f"{_shown(model.column_labels_)}. Give ratings of its columns, or fit a new model."
            )
        if lost:
            run.note(
                f"{lost} of {obs.n_observed} entries of {ratings} are in columns that the model "
                "does not know, and are left out."
            )
    return model, aligned


def places_or_minus_one(labels: ArrayLike, wanted: ArrayLike) -> NDArray[np.int64]:
    """Look labels up by their text; -1 where there is none."""
    import numpy as np

    places = {str(label): position for position, label in enumerate(np.asarray(labels).tolist())}
    names = np.asarray(wanted).tolist()
    return np.array([places.get(str(name), -1) for name in names], np.int64)


def _shown(labels: NDArray[Any]) -> str:
    return ", ".join(repr(label) for label in labels[:_SHOWN].tolist())
