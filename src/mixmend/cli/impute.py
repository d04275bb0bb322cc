"""``mixmend impute``: from a table with holes to the same table without, types kept."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mixmend.cli import show
from mixmend.cli.choices import Inference, Init, Prior
from mixmend.cli.impute_report import described, model_of, show_filled
from mixmend.cli.options import (
    Decimals,
    InferenceOption,
    Json,
    RandomState,
    StartOption,
    check_inference,
)
from mixmend.cli.places import check_destination
from mixmend.cli.session import Session, session
from mixmend.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from mixmend.files.numbered import NumberedTable
    from mixmend.files.tables import TypedTable
    from mixmend.mixtures.imputer import MixtureImputer

_READING, _MODEL, _WRITING = "Reading", "Model", "Writing"


class Covariance(StrEnum):
    """How the columns vary together within a component."""

    full = "full"
    tied = "tied"
    diag = "diag"
    spherical = "spherical"
    factor = "factor"


class DrawsLayout(StrEnum):
    """Where several filled tables go."""

    files = "files"
    long = "long"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(impute)


def impute(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A table with holes: CSV, TSV (also gzipped), Parquet or Arrow.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Where to write: .csv, .tsv (also .gz), .parquet or .arrow.",
            show_default=False,
        ),
    ],
    draws: Annotated[
        int,
        typer.Option(
            "--draws",
            metavar="N",
            min=0,
            help="Write N tables filled by draws (multiple imputation), not one of expectations.",
            rich_help_panel=_WRITING,
        ),
    ] = 0,
    draws_layout: Annotated[
        DrawsLayout,
        typer.Option(
            help="files: OUT_1, OUT_2, …. long: one file with a column 'draw'.",
            rich_help_panel=_WRITING,
        ),
    ] = DrawsLayout.files,
    std_columns: Annotated[
        bool,
        typer.Option(
            "--std-columns",
            help="Add a column NAME_std beside each filled column of numbers or dates.",
            rich_help_panel=_WRITING,
        ),
    ] = False,
    round_integers: Annotated[
        bool,
        typer.Option(
            "--round-integers",
            help="Round what fills columns of whole numbers.",
            rich_help_panel=_WRITING,
        ),
    ] = False,
    decimals: Decimals = None,
    one_hot: Annotated[
        bool,
        typer.Option(
            "--one-hot",
            help="Let columns of text take part, and fill them.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    components: Annotated[
        str,
        typer.Option(
            "--components",
            "-k",
            metavar="K|auto",
            help="How many; auto: the average of several mixtures, which errs least and takes "
            "longer.",
            rich_help_panel=_MODEL,
        ),
    ] = "1",
    covariance: Annotated[
        Covariance,
        typer.Option(
            help="Within a component, columns vary together (full, tied, factor: along a few "
            "directions) or each for itself (diag, spherical).",
            rich_help_panel=_MODEL,
        ),
    ] = Covariance.full,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            metavar="R",
            min=1,
            help="Along how many directions columns vary together (factor).",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None,
    inference: InferenceOption = Inference.em,
    prior: Annotated[
        Prior,
        typer.Option(
            help="default: covariances are kept from fitting a short table too closely (not with "
            "spherical). none: maximum likelihood.",
            rich_help_panel=_MODEL,
        ),
    ] = Prior.default,
    parameter_uncertainty: Annotated[
        bool,
        typer.Option(
            "--parameter-uncertainty/--no-parameter-uncertainty",
            help="Whether deviations and draws are as much wider as the covariances are uncertain.",
            rich_help_panel=_MODEL,
        ),
    ] = True,
    min_variance: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Least variance of a component, as a share of the columns' own.",
            rich_help_panel=_MODEL,
        ),
    ] = 1e-6,
    n_init: Annotated[
        int, typer.Option(min=1, help="Starts; the best is kept.", rich_help_panel=_MODEL)
    ] = 3,
    init: StartOption = Init.spread,
    max_iter: Annotated[
        int, typer.Option(min=1, help="Most EM steps of a start.", rich_help_panel=_MODEL)
    ] = 500,
    tol: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Stop when a step gains less than this share of the log-likelihood.",
            rich_help_panel=_MODEL,
        ),
    ] = 1e-6,
    random_state: RandomState = 0,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MARK",
            help="A further mark of holes, besides empty cells, NA, NaN, null, ? and -; may be "
            "given again.",
            rich_help_panel=_READING,
        ),
    ] = None,
    leave: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A column to leave as it is, such as an identifier; may be given again.",
            rich_help_panel=_READING,
        ),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option(
            help="What separates the fields: ',', ';', 'tab', 'blanks', …",
            rich_help_panel=_READING,
        ),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line holds names; otherwise found out.",
            rich_help_panel=_READING,
        ),
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Encoding of a text file.", rich_help_panel=_READING)
    ] = "utf-8",
    as_json: Json = False,
) -> None:
    """Fill the holes of TABLE and write it to OUT, each column in its type.

    Fits a Gaussian mixture to the columns of numbers, booleans and dates, and fills each
    hole with what is expected there given the rest of its row. Cells that were observed
    are written as they were.
    """
    with session() as run:
        from mixmend.files.numbered import report, to_numbers
        from mixmend.files.sinks import output_format
        from mixmend.files.tables import read_table
        from mixmend.mixtures.imputer import MixtureImputer

        if draws and std_columns:
            raise typer.BadParameter(
                "draws show the spread themselves; choose one of the two",
                param_hint="'--std-columns'",
            )
        n_components = _n_components(components)
        _check_rank(covariance, rank)
        check_inference(inference, prior)
        places = _places(output, draws, draws_layout)
        for place in places:
            check_destination(place, sources=[table])
        with run.stage(f"reading {table}"):
            read = read_table(
                table,
                missing=missing or (),
                leave=leave or (),
                separator=separator,
                header=header,
                encoding=encoding,
            )
            numbered = to_numbers(read, one_hot=one_hot)
            _check_names(read, draws, draws_layout)
        rounding: dict[str, Any] = {
            "round_integers": round_integers,
            "as_text": output_format(output) in ("csv", "tsv"),
        }
        columns = [column._asdict() for column in report(numbered, drawn=draws > 0, **rounding)]
        _note_rows(numbered, run, named=read.named)
        with run.stage("fitting", keep_what_is_done=True):
            imputer = MixtureImputer(
                n_components,
                covariance.value,
                prior=None if prior is Prior.none else "auto",
                parameter_uncertainty=parameter_uncertainty,
                n_factors=rank,
                inference=inference.value,
                init_params=init.value,
                min_variance=min_variance,
                n_init=n_init,
                max_iter=max_iter,
                tol=tol,
                random_state=random_state,
            ).fit(numbered.matrix)
        run.stop_if_interrupted()
        with run.stage("filling"):
            rounding["decimals"] = decimals
            frames = _frames(numbered, imputer, draws, std_columns, rounding)
        with run.stage(f"writing {output}"):
            _write(places, frames, draws_layout, run)
        told: dict[str, Any] = {
            "table": described(table, read),
            "model": model_of(imputer),
            "columns": columns,
            "draws": draws,
            "output": [{"path": str(place), "n_bytes": place.stat().st_size} for place in places],
        }
        if as_json:
            show.as_json("impute", told, run)
        else:
            show_filled(told, run)


def _n_components(given: str) -> int | Literal["auto"]:
    if given == "auto":
        return "auto"
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise typer.BadParameter(
            f"{given!r} is neither a whole number of at least 1 nor 'auto'",
            param_hint="'--components' / '-k'",
        )
    return int(given)


def _check_rank(covariance: Covariance, rank: int | None) -> None:
    if covariance is Covariance.factor and rank is None:
        raise typer.BadParameter(
            "needs --rank R, along how many directions columns vary together: for example --rank 3",
            param_hint="'--covariance factor'",
        )
    if covariance is not Covariance.factor and rank is not None:
        raise typer.BadParameter(
            f"goes with --covariance factor, and it is {covariance.value}", param_hint="'--rank'"
        )


def _places(output: Path, draws: int, layout: DrawsLayout) -> list[Path]:
    """Name the files that will be written."""
    if not draws or layout is DrawsLayout.long:
        return [output]
    packed = output.suffix.lower() == ".gz"
    ending = "".join(output.suffixes[-2:] if packed else output.suffixes[-1:])
    stem = output.name.removesuffix(ending)
    return [output.with_name(f"{stem}_{number}{ending}") for number in range(1, draws + 1)]


def _check_names(read: TypedTable, draws: int, layout: DrawsLayout) -> None:
    if draws and layout is DrawsLayout.long and "draw" in read.kinds:
        raise DataError(
            f"{read.shown} has a column 'draw' already: there is no place for the number of the "
            "draw. Rename the column, or write files of their own (--draws-layout files)."
        )


def _note_rows(numbered: NumberedTable, run: Session, named: bool) -> None:
    import numpy as np

    if not named:
        run.note("the file does not name its columns: they are called column_1, column_2, …")
    silent = int(np.isnan(numbered.matrix).all(axis=1).sum())
    if silent:
        run.note(
            f"{show.count(silent, 'row')} with nothing observed: filled with what is expected of "
            "any row."
        )


def _frames(
    numbered: NumberedTable,
    imputer: MixtureImputer,
    draws: int,
    std_columns: bool,
    rounding: dict[str, Any],
) -> Iterator[pl.DataFrame]:
    """Give the filled tables one after the other."""
    from mixmend.files.numbered import from_numbers

    if draws:
        drawn = imputer.impute_samples(numbered.matrix, draws)
        return (from_numbers(numbered, one, **rounding) for one in drawn)
    std = imputer.transform_std(numbered.matrix) if std_columns else None
    filled = imputer.transform(numbered.matrix)
    return iter([from_numbers(numbered, filled, std=std, **rounding)])


def _write(
    places: list[Path], frames: Iterator[pl.DataFrame], layout: DrawsLayout, run: Session
) -> None:
    from mixmend.files.tables import write_table

    if len(places) == 1 and layout is DrawsLayout.long:
        write_table(places[0], _numbered(frames))
        run.written.append(str(places[0]))
        return
    for place, frame in zip(places, frames, strict=True):
        write_table(place, [frame])
        run.written.append(str(place))


def _numbered(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    import polars as pl

    for number, frame in enumerate(frames, 1):
        yield frame.select(pl.lit(number, pl.Int64).alias("draw"), pl.all())
