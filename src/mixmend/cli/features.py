"""Files with features of rows and columns, beside the ratings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mixmend.cli.options import Modelling, Reading
from mixmend.cli.session import Session
from mixmend.errors import DataError

if TYPE_CHECKING:
    from mixmend.observed.matrix import ObservedMatrix


def read_features(
    modelling: Modelling, reading: Reading, obs: ObservedMatrix, run: Session, *, used: bool
) -> dict[str, Any]:
    """Read the tables that are given, as ``fit`` takes them by keyword.

    Parameters
    ----------
    modelling : Modelling
        Names the files.
    reading : Reading
        Their encoding is that of the ratings.
    obs : ObservedMatrix
        Whose rows and columns they describe: those without a line are counted and told.
    run : Session
    used : bool
        Whether there is a model that can use them; complain otherwise.
    """
    out: dict[str, Any] = {}
    for axis in ("row", "column"):
        path: Path | None = getattr(modelling, f"{axis}_features")
        if path is None:
            continue
        if not used:
            raise typer.BadParameter(
                "only models of latent factors use features; give --model als or --model neural",
                param_hint=f"'--{axis}-features'",
            )
        out[f"{axis}_features"] = read_feature_table(path, axis, reading, obs, run)
    return out


def read_feature_table(
    path: Path, axis: str, reading: Reading, obs: ObservedMatrix, run: Session
) -> Any:
    """Read one table, check that it is about these rows (columns), and tell whom it lacks."""
    from mixmend.files.tables import read_table
    from mixmend.observed.features import align_features
    from mixmend.observed.features import read_features as as_table

    with run.stage(f"reading {path}"):
        frame = read_table(path, encoding=reading.encoding).frame
        try:
            table = as_table(frame, f"{axis}_features")
            lines, _ = align_features(table, obs, axis, missing="unknown")
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    lacking = int((lines < 0).sum())
    if lacking:
        run.note(
            f"{lacking} of {len(lines)} {axis}s {'has' if lacking == 1 else 'have'} no line in "
            f"{path}: only the entries are known there."
        )
    used = frame[lines[lines >= 0].tolist()]
    empty = [name for name in frame.columns if used[name].null_count() == len(used)]
    for name in empty:
        run.note(f"column {name!r} of {path} is empty, and left out.")
    return frame.drop(empty)


def features_of_rows(
    path: Path | None, model: Any, reading: Reading, obs: ObservedMatrix, run: Session
) -> dict[str, Any]:
    """Read features of the rows that a saved model is asked about, as its verbs take them."""
    if path is None:
        return {}
    if not getattr(model, "row_feature_names_", ()):
        raise typer.BadParameter(
            "the model was fitted without features of rows; fit one with --row-features",
            param_hint="'--row-features'",
        )
    return {"row_features": read_feature_table(path, "row", reading, obs, run)}
