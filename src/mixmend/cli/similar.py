"""``mixmend similar``: the columns that are most like one column."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.options import Json, ModelFile
from mixmend.cli.session import session
from mixmend.cli.titles import read_titles
from mixmend.errors import DataError, MixmendError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(similar))


def similar(
    model_file: ModelFile,
    column: Annotated[
        str,
        typer.Option(
            "--column", help="To which column of MODEL (its identifier).", show_default=False
        ),
    ],
    n_items: Annotated[int, typer.Option("-n", min=1, help="How many columns.")] = 10,
    titles: Annotated[
        Path | None,
        typer.Option(help="A file with an identifier and a title in each line, to show titles."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the columns whose factors point the same way as one column's.

    MODEL must be one of latent factors (mixmend fit --model als).
    """
    with session() as run:
        from mixmend.files.models import load
        from mixmend.observed.labels import positions

        names = read_titles(titles) if titles is not None else {}
        with run.stage(f"loading {model_file}"):
            model = load(model_file)
        if not hasattr(model, "similar"):
            raise MixmendError(
                f"{model_file} is a {type(model).__name__}, which has no factors to compare "
                "columns by. Fit one that has: mixmend fit RATINGS -m MODEL --model als."
            )
        own = model.column_labels_
        labels = list(range(model.n_features_in_)) if own is None else own.tolist()
        try:
            (place,) = positions(labels, [column], what="column")
        except DataError as error:
            raise DataError(f"{model_file}: {error}") from error
        columns, cosines = model.similar(int(place), n_items)
        rows: list[dict[str, Any]] = [
            {
                "rank": rank,
                "column": labels[int(position)],
                "title": names.get(str(labels[int(position)])),
                "cosine": float(cosine),
            }
            for rank, (position, cosine) in enumerate(zip(columns, cosines, strict=True), 1)
        ]
        missing = sum(entry["title"] is None for entry in rows)
        if titles is not None and missing:
            run.note(f"{missing} of {len(rows)} columns have no title in {titles}.")
        if as_json:
            show.as_json("similar", {"similar": rows}, run)
            return
        show.table(
            rows,
            [
                show.Column("rank", "rank"),
                show.Column("column", "column"),
                show.Column("title", "title"),
                show.Column("cosine", "cosine", ".3f"),
            ],
            title=f"Like column {column}",
        )
