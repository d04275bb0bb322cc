"""The application: every command under its name."""

from __future__ import annotations

from typing import Annotated

import typer

from mixmend._version import __version__
from mixmend.cli import (
    complete,
    demo,
    denoise,
    doctor,
    evaluate,
    fit,
    impute,
    info,
    predict,
    quantize,
    recommend,
    similar,
)

app = typer.Typer(
    name="mixmend",
    help=(
        "Fill the holes of a matrix, and say how sure that is.\n\n"
        "Mixtures of Gaussians are fitted to what was observed: ratings, lab panels, surveys, "
        "sensor tables. Start with 'mixmend demo', then 'mixmend complete RATINGS -o OUT'."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mixmend {__version__}")
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and leave."
        ),
    ] = False,
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            help="Show Python's traceback of an error (also: MIXMEND_DEBUG=1). "
            "May stand anywhere on the line.",
        ),
    ] = False,
) -> None:
    """Do nothing: ``--version`` is answered early, ``--traceback`` before the parsing."""


for _module in (
    demo,
    complete,
    impute,
    fit,
    predict,
    recommend,
    similar,
    evaluate,
    quantize,
    denoise,
    info,
    doctor,
):
    _module.register(app)
