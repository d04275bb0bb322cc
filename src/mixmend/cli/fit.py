"""``mixmend fit``: from a file of ratings to a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.choices import FACTORS
from mixmend.cli.features import read_features
from mixmend.cli.learning import learn
from mixmend.cli.options import Holdout, Json, Modelling, RatingsFile, Reading
from mixmend.cli.places import check_destination, describe, describe_in_words
from mixmend.cli.session import session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(fit))


def fit(
    ratings: RatingsFile,
    reading: Reading,
    modelling: Modelling,
    output: Annotated[
        Path,
        typer.Option(
            "--model-file",
            "-m",
            metavar="MODEL",
            help="Where to save the model, by custom a .mixmend file.",
            show_default=False,
        ),
    ],
    holdout: Holdout = 0.1,
    as_json: Json = False,
) -> None:
    """Fit a mixture to RATINGS and save it to MODEL, for predict and recommend."""
    with session() as run:
        from mixmend.files.models import save

        check_destination(output, sources=[ratings], table=False)
        with run.stage(f"reading {ratings}"):
            obs = reading.read(ratings)
        used = modelling.model in FACTORS
        features = read_features(modelling, reading, obs, run, used=used)
        learned = learn(obs, modelling, run, holdout, keep=True, features=features)
        with run.stage(f"writing {output}"):
            save(
                learned.model,
                output,
                provenance={"ratings": describe(ratings, obs), "heldout": learned.check},
            )
            run.written.append(str(output))
        run.stop_if_interrupted()
        report = {
            "ratings": describe(ratings, obs),
            **learned.report(),
            "output": {"path": str(output), "bytes": output.stat().st_size},
        }
        if as_json:
            show.as_json("fit", report, run)
            return
        learned.show_candidates()
        show.facts(
            [
                ("read", describe_in_words(obs)),
                *learned.facts(),
                ("file", f"{output} ({show.size(output.stat().st_size)})"),
                ("time", show.duration(sum(run.seconds.values()))),
            ]
        )
