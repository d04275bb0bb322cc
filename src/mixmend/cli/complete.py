"""``mixmend complete``: from a file of ratings to a file without holes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.choices import FACTORS
from mixmend.cli.features import read_features
from mixmend.cli.learning import learn
from mixmend.cli.options import (
    Decimals,
    Holdout,
    Interval,
    Json,
    Modelling,
    RatingsFile,
    Reading,
    Std,
)
from mixmend.cli.places import check_destination, counted, describe, describe_in_words
from mixmend.cli.session import session
from mixmend.progress import track


class Layout(StrEnum):
    """How the completed matrix is written."""

    long = "long"
    wide = "wide"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(complete))


def complete(
    ratings: RatingsFile,
    reading: Reading,
    modelling: Modelling,
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
    layout: Annotated[
        Layout, typer.Option(help="long: one cell a line. wide: the matrix.")
    ] = Layout.long,
    holes_only: Annotated[
        bool,
        typer.Option("--holes-only/--all", help="Write only the holes, or observed cells too."),
    ] = True,
    std: Std = True,
    interval: Interval = None,
    decimals: Decimals = None,
    holdout: Holdout = 0.1,
    as_json: Json = False,
) -> None:
    """Fill the holes of RATINGS and write them to OUT, with their uncertainty.

    Tries several numbers of components, takes the best, measures it on entries that were
    held out, fits it to all entries and writes what every hole holds.
    """
    with session() as run:
        from mixmend.files.completed import write_completed

        if layout is Layout.wide and interval is not None:
            raise typer.BadParameter(
                "a wide table holds values only; for intervals write the long one",
                param_hint="'--interval'",
            )
        check_destination(output, sources=[ratings])
        with run.stage(f"reading {ratings}"):
            obs = reading.read(ratings)
        used = modelling.model in FACTORS
        features = read_features(modelling, reading, obs, run, used=used)
        learned = learn(obs, modelling, run, holdout, features=features)
        with run.stage(f"writing {output}"), track("writing", total=obs.shape[0]) as progress:
            chunks = learned.model.iter_complete(
                obs, return_std=std and layout is Layout.long, interval=interval
            )
            written = write_completed(
                output,
                obs,
                counted(chunks, progress),
                layout=layout.value,
                holes_only=holes_only,
                decimals=decimals,
                **reading.names(),
            )
            run.written.append(str(output))
        report: dict[str, Any] = {
            "ratings": describe(ratings, obs),
            **learned.report(),
            "output": written._asdict(),
        }
        if as_json:
            show.as_json("complete", report, run)
            return
        learned.show_candidates()
        show.facts(
            [
                ("read", describe_in_words(obs)),
                *learned.facts(),
                (
                    "written",
                    f"{show.count(written.n_records, 'line')}, {show.size(written.n_bytes)}",
                ),
                ("file", output),
                ("time", show.duration(sum(run.seconds.values()))),
            ]
        )
