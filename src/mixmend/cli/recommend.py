"""``mixmend recommend``: the columns that a row will value most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.features import features_of_rows
from mixmend.cli.options import Json, ModelFile, RatingsFile, ReadingForRows, RowFeatures
from mixmend.cli.saved import open_both
from mixmend.cli.session import session
from mixmend.cli.titles import read_titles
from mixmend.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(recommend))


def recommend(
    model_file: ModelFile,
    ratings: RatingsFile,
    row: Annotated[
        list[str],
        typer.Option(
            "--row",
            help="For which row of RATINGS (its identifier); may be given several times.",
            show_default=False,
        ),
    ],
    reading: ReadingForRows,
    n_items: Annotated[int, typer.Option("-n", min=1, help="How many columns.")] = 10,
    titles: Annotated[
        Path | None,
        typer.Option(help="A file with an identifier and a title in each line, to show titles."),
    ] = None,
    row_features: RowFeatures = None,
    as_json: Json = False,
) -> None:
    """List the columns that a row has no value in and is expected to value most.

    The row may be new to the model: what RATINGS holds of it is enough.
    """
    with session() as run:
        import numpy as np

        from mixmend.observed.labels import positions

        names = read_titles(titles) if titles is not None else {}
        model, obs = open_both(model_file, ratings, reading, run)
        try:
            wanted = positions(obs.row_labels, row, what="row")
        except DataError as error:
            raise DataError(f"{ratings}: {error}") from error
        with run.stage("recommending"):
            few = obs.select_rows(wanted)
            features = features_of_rows(row_features, model, reading, few, run)
            columns, _ = model.recommend(few, n_items, **features)
            found = columns >= 0
            lines = np.nonzero(found)[0]
            means, stds = model.predict_entries(
                few, lines, columns[found], return_std=True, **features
            )
        labels = obs.column_labels.tolist()
        rows: list[dict[str, Any]] = [
            {
                "row": few.row_labels.tolist()[line],
                "rank": int(rank) + 1,
                "column": labels[column],
                "title": names.get(str(labels[column])),
                "mean": float(mean),
                "std": float(std),
            }
            for line, rank, column, mean, std in zip(
                lines, np.nonzero(found)[1], columns[found], means, stds, strict=True
            )
        ]
        missing = sum(entry["title"] is None for entry in rows)
        if titles is not None and missing:
            run.note(f"{missing} of {len(rows)} columns have no title in {titles}.")
        if as_json:
            show.as_json("recommend", {"recommendations": rows}, run)
            return
        for line, label in enumerate(few.row_labels.tolist()):
            show.table(
                [entry for entry, at in zip(rows, lines, strict=True) if at == line],
                [
                    show.Column("rank", "rank"),
                    show.Column("column", "column"),
                    show.Column("title", "title"),
                    show.Column("mean", "expected", ".2f"),
                    show.Column("std", "± std", ".2f"),
                ],
                title=f"For row {label}",
            )
