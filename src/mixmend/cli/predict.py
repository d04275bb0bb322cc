"""``mixmend predict``: what a saved model says about given cells."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.features import features_of_rows
from mixmend.cli.options import (
    Decimals,
    Interval,
    Json,
    ModelFile,
    RatingsFile,
    Reading,
    RowFeatures,
    Std,
)
from mixmend.cli.places import check_destination
from mixmend.cli.saved import open_both, places_or_minus_one
from mixmend.cli.session import session
from mixmend.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mixmend.observed.matrix import ObservedMatrix


class Unknown(StrEnum):
    """What to do with pairs that name a row or column never seen."""

    error = "error"
    skip = "skip"
    prior = "prior"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(predict))


def predict(
    model_file: ModelFile,
    ratings: RatingsFile,
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="The cells to predict: a row and a column in each line.",
            show_default=False,
        ),
    ],
    reading: Reading,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to write: .csv, .tsv (also .gz) or .parquet.",
            show_default=False,
        ),
    ],
    std: Std = True,
    interval: Interval = None,
    decimals: Decimals = None,
    unknown: Annotated[
        Unknown,
        typer.Option(
            help="A pair with a row or column never seen: an error, left out (skip), or (prior) "
            "predicted as for a row of which nothing is known; columns are then still left out."
        ),
    ] = Unknown.error,
    row_features: RowFeatures = None,
    as_json: Json = False,
) -> None:
    """Predict the cells that PAIRS names, given what RATINGS holds.

    The rows of RATINGS need not be those that the model was fitted to: new rows are
    folded in without refitting.
    """
    with session() as run:
        from mixmend.files.completed import write_predictions

        check_destination(output, sources=[model_file, ratings, pairs])
        model, obs = open_both(model_file, ratings, reading, run)
        features = features_of_rows(row_features, model, reading, obs, run)
        with run.stage(f"reading {pairs}"):
            row_names, column_names = reading.read_pairs(pairs)
        try:
            rows, columns = _located(obs, row_names, column_names, unknown)
        except DataError as error:
            raise DataError(
                f"{pairs}: {error} To leave such pairs out, give --unknown skip; to predict "
                "unknown rows from the prior alone, --unknown prior."
            ) from error
        with run.stage("predicting"):
            kept = columns >= 0
            if unknown is not Unknown.prior:
                kept &= rows >= 0
            rows, columns = rows[kept], columns[kept]
            answers = _answers(model, obs, rows, columns, std, interval, features)
            called = reading.names()
            table = {
                called["row_name"]: row_names[kept],
                called["column_name"]: column_names[kept],
                called["value_name"]: answers.pop("mean"),
                **answers,
            }
        with run.stage(f"writing {output}"):
            write_predictions(output, table, decimals=decimals)
            run.written.append(str(output))
        report = {
            "pairs": len(kept),
            "predicted": len(rows),
            "skipped": len(kept) - len(rows),
            "from_prior": int((rows < 0).sum()),
            "output": {"path": str(output), "bytes": output.stat().st_size},
        }
        if as_json:
            show.as_json("predict", report, run)
            return
        show.facts(
            [
                ("predicted", f"{len(rows)} of {show.count(len(kept), 'pair')}"),
                ("left out", report["skipped"] or None),
                ("from the prior alone", report["from_prior"] or None),
                ("file", output),
                ("time", show.duration(sum(run.seconds.values()))),
            ]
        )


def _located(
    obs: ObservedMatrix, row_names: Any, column_names: Any, unknown: Unknown
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find rows and columns by name; -1 where unknown, if that is not an error."""
    from mixmend.observed.labels import positions

    if unknown is Unknown.error:
        return (
            positions(obs.row_labels, row_names, what="row"),
            positions(obs.column_labels, column_names, what="column"),
        )
    return (
        places_or_minus_one(obs.row_labels, row_names),
        places_or_minus_one(obs.column_labels, column_names),
    )


def _answers(
    model: Any,
    obs: ObservedMatrix,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    std: bool,
    interval: float | None,
    features: dict[str, Any],
) -> dict[str, Any]:
    """Predict cells; those of row -1 as for a row of which nothing is known."""
    import numpy as np

    from mixmend.completion import predictive
    from mixmend.observed.matrix import ObservedMatrix

    answers: dict[str, Any] = {"mean": np.empty(len(rows))}
    if std:
        answers["std"] = np.empty(len(rows))
    if interval is not None:
        answers |= {"lower": np.empty(len(rows)), "upper": np.empty(len(rows))}
    nobody = ObservedMatrix.from_triplets([], [], [], shape=(1, obs.shape[1]))
    for those, given, known in ((rows >= 0, obs, features), (rows < 0, nobody, {})):
        if not those.any():
            continue
        beliefs = model.predictive(given, np.maximum(rows[those], 0), columns[those], **known)
        answers["mean"][those] = predictive.mean(beliefs)
        if std:
            answers["std"][those] = predictive.std(beliefs)
        if interval is not None:
            ends = predictive.interval(beliefs, interval)
            answers["lower"][those], answers["upper"][those] = ends
    return answers
