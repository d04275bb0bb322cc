"""``mixmend demo``: a tour on built-in data, with files and pictures to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.choices import Center
from mixmend.cli.evaluate import COLUMNS as COMPARISON_COLUMNS
from mixmend.cli.learning import Learned, learn, measured
from mixmend.cli.options import Json, Modelling, RandomState
from mixmend.cli.places import describe, describe_in_words
from mixmend.cli.session import Session, session

if TYPE_CHECKING:
    from mixmend.datasets.data import RatingsData
    from mixmend.observed.matrix import ObservedMatrix

_HOLDOUT = 0.1
_STARTS = 8
_ROWS_SHOWN = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where to put the files; made if absent."
        ),
    ] = Path("mixmend-demo"),
    random_state: RandomState = 0,
    as_json: Json = False,
) -> None:
    """Take a tour on built-in data: choose, compare, complete, draw. Less than a minute.

    Writes ratings, the completed matrix, the model and pictures into a folder, and says
    what to look at.
    """
    with session() as run:
        from mixmend.datasets import load_demo
        from mixmend.observed.holdout import split_entries

        output.mkdir(parents=True, exist_ok=True)
        with run.stage("making the ratings"):
            data = load_demo()
        obs = data.ratings
        learned = learn(obs, _options(random_state), run, _HOLDOUT)
        with run.stage("comparing it with simple models"):
            parts = split_entries(obs, _HOLDOUT, random_state=random_state)
            comparison = _comparison(learned, *parts)
        files = _written(output, data, learned, run)
        with run.stage("drawing"):
            files |= _drawn(output, learned, obs, *parts)
        best = _best_columns(learned, obs)
        if as_json:
            report = {
                "ratings": describe(output / "ratings.csv", obs),
                **learned.report(),
                "comparison": comparison,
                "files": files,
            }
            show.as_json("demo", report, run)
            return
        learned.show_candidates()
        show.facts([("ratings", f"made up: {describe_in_words(obs)}"), *learned.facts()])
        print()
        show.table(comparison, COMPARISON_COLUMNS, title="On the same held-out entries")
        print()
        columns = [
            show.Column("column", "film"),
            show.Column("mean", "expected", ".2f"),
            show.Column("std", "± std", ".2f"),
        ]
        show.table(best, columns, title=f"What {obs.row_labels[0]} would like best")
        print(f"\nDone in {show.duration(sum(run.seconds.values()))}. Look at:")
        show.facts(list(files.items()))


def _options(random_state: int) -> Modelling:
    """Try several numbers of components; leave out the choice of effects, for brevity.

    Each kind of effects is compiled by itself, which is most of the time of a first run.
    """
    return Modelling(center=Center.biases, n_init=_STARTS, random_state=random_state)


def _comparison(
    learned: Learned, train: ObservedMatrix, test: ObservedMatrix
) -> list[dict[str, Any]]:
    """Measure simple models on the entries that the mixture was measured on."""
    from mixmend.evaluation import ColumnMean, GlobalMean, RowColumnBiases

    simple = {"biases": RowColumnBiases, "column-mean": ColumnMean, "global-mean": GlobalMean}
    rows: list[dict[str, Any]] = [{"model": "mixture", **(learned.check or {})}]
    rows += [
        {"model": name, **measured(baseline().fit(train), train, test)}
        for name, baseline in simple.items()
    ]
    return rows


def _written(folder: Path, data: RatingsData, learned: Learned, run: Session) -> dict[str, str]:
    """Write the data, what fills their holes, and the model."""
    from mixmend.files.completed import write_completed, write_predictions
    from mixmend.files.models import save

    obs = data.ratings
    places = {
        folder / "ratings.csv": "the ratings",
        folder / "completed.csv": "what the holes hold: mean, standard deviation, 90 % interval",
        folder / "model.mixmend": "the model, for mixmend predict and recommend",
    }
    ratings, completed, model = places
    with run.stage(f"writing to {folder}"):
        rows, columns, values = obs.entries()
        write_predictions(
            ratings,
            {"user": obs.row_labels[rows], "item": obs.column_labels[columns], "rating": values},
        )
        chunks = learned.model.iter_complete(obs, return_std=True, interval=0.9)
        write_completed(completed, obs, chunks, decimals=3)
        save(learned.model, model, provenance={"ratings": data.name})
        run.written.extend(map(str, places))
    return {str(place): what for place, what in places.items()}


def _drawn(
    folder: Path, learned: Learned, obs: ObservedMatrix, train: ObservedMatrix, test: ObservedMatrix
) -> dict[str, str]:
    """Draw the matrix before and after, the choice of K, the trace and the calibration."""
    from sklearn.base import clone

    from mixmend import plots
    from mixmend.evaluation import metrics

    model = learned.model
    filled, std = model.complete(obs, return_std=True)
    figures: dict[str, tuple[Any, str]] = {}
    figures["completion.png"] = (
        plots.plot_completion(
            obs, filled, std, row_clusters=model.predict(obs), value_name="rating"
        ),
        "the matrix before and after, and how sure each cell is",
    )
    sizes = learned.candidates
    figures["components.png"] = (
        plots.plot_criterion(
            [row["n_components"] for row in sizes],
            [row["rmse"] for row in sizes],
            chosen=int(model.n_components),
            name="RMSE on held-out entries",
            title="How many components",
        ).figure,
        "how the number of components was chosen",
    )
    figures["trace.png"] = (
        plots.plot_trace(model.histories_, title="EM from several starts", name="objective").figure,
        "the objective at each step of EM",
    )
    rows, columns, values = test.entries()
    beliefs = clone(model).fit(train).predictive(train, rows, columns)
    honesty = metrics.calibration(beliefs, values)
    figures["calibration.png"] = (
        plots.plot_calibration(
            honesty.levels, honesty.coverage, n_entries=honesty.n, title="Do intervals hold?"
        ).figure,
        "whether predictive intervals hold what they promise",
    )
    for name, (figure, _) in figures.items():
        figure.savefig(folder / name, dpi=150)
    return {str(folder / name): what for name, (_, what) in figures.items()}


def _best_columns(learned: Learned, obs: ObservedMatrix) -> list[dict[str, Any]]:
    """Recommend to the first row."""
    first = obs.select_rows(slice(0, 1))
    columns, _ = learned.model.recommend(first, _ROWS_SHOWN)
    means, stds = learned.model.predict_entries(
        first, [0] * len(columns[0]), columns[0], return_std=True
    )
    labels = obs.column_labels[columns[0]].tolist()
    return [
        {"column": label, "mean": float(mean), "std": float(std)}
        for label, mean, std in zip(labels, means, stds, strict=True)
    ]
