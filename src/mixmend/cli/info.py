"""``mixmend info``: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixmend.cli import show
from mixmend.cli.bundles import unbundled
from mixmend.cli.options import Json, Reading
from mixmend.cli.places import describe, describe_in_words
from mixmend.cli.session import session

if TYPE_CHECKING:
    from mixmend.observed.matrix import ObservedMatrix

_LABELS_SHOWN = 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unbundled(info))


def info(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A file of ratings or a saved model.", show_default=False
        ),
    ],
    reading: Reading,
    as_json: Json = False,
) -> None:
    """Say what is in a file of ratings or in a saved model."""
    with session() as run:
        from mixmend.files.describe import describe_file

        with run.stage(f"looking at {file}"):
            told = describe_file(file, **reading.for_description())
        report: dict[str, Any] = {"file": told}
        if told["format"] == "model":
            pairs = _about_model(told)
        else:
            with run.stage(f"reading {file}"):
                obs = reading.read(file)
            report["matrix"] = describe(file, obs) | _numbers(obs)
            pairs = _about_matrix(told, obs, report["matrix"])
        if as_json:
            show.as_json("info", report, run)
        else:
            show.facts([("file", f"{file} ({show.size(told['bytes'])})"), *pairs])


def _numbers(obs: ObservedMatrix) -> dict[str, Any]:
    """Summarise values, and how the entries are spread over rows and columns."""
    import numpy as np

    values = obs.by_row.values
    out: dict[str, Any] = {"values": None}
    if obs.n_observed:
        distinct = np.unique(values[:100_000])
        out["values"] = {
            "min": float(values.min()),
            "max": float(values.max()),
            "mean": float(values.mean(dtype=np.float64)),
            "std": float(values.std(dtype=np.float64)),
            "levels": distinct.tolist() if len(distinct) <= 12 else None,
        }
    for axis, counts in (("row", obs.row_counts), ("column", obs.column_counts)):
        out[f"entries_per_{axis}"] = {
            "min": int(counts.min(initial=obs.n_observed)),
            "median": float(np.median(counts)) if len(counts) else None,
            "max": int(counts.max(initial=0)),
            "empty": int(np.count_nonzero(counts == 0)),
        }
    for axis, labels in (("row", obs.row_labels), ("column", obs.column_labels)):
        out[f"{axis}_labels"] = [str(label) for label in labels[:_LABELS_SHOWN].tolist()]
    return out


def _about_matrix(
    told: dict[str, Any], obs: ObservedMatrix, numbers: dict[str, Any]
) -> list[tuple[str, object]]:
    kind = ", ".join(str(told[key]) for key in ("format", "layout", "compression") if told.get(key))
    values = numbers["values"]
    pairs: list[tuple[str, object]] = [
        ("format", kind),
        ("separator", told.get("separator")),
        ("matrix", describe_in_words(obs)),
    ]
    if values is not None:
        spread = f"{values['min']:g} to {values['max']:g}, mean {values['mean']:.4g}"
        pairs.append(("values", f"{spread}, standard deviation {values['std']:.4g}"))
        if values["levels"] is not None:
            pairs.append(("levels", ", ".join(f"{level:g}" for level in values["levels"])))
    for axis in ("row", "column"):
        spread = numbers[f"entries_per_{axis}"]
        empty = f", {show.grouped(spread['empty'])} empty" if spread["empty"] else ""
        text = (
            f"{spread['min']} to {show.grouped(spread['max'])}, median {spread['median']:g}{empty}"
        )
        pairs.append((f"entries per {axis}", text))
        pairs.append((f"{axis} labels", ", ".join(numbers[f"{axis}_labels"]) + ", …"))
    return pairs


def _about_model(told: dict[str, Any]) -> list[tuple[str, object]]:
    own = told.get("model", {})
    parameters = own.get("parameters", {})
    provenance = told.get("provenance", {})
    source = provenance.get("ratings")
    if isinstance(source, dict):
        source = f"{source['path']} ({source['rows']} × {source['columns']})"
    heldout = provenance.get("heldout") or {}
    return [
        ("kind", told.get("kind")),
        ("components", parameters.get("n_components", parameters.get("n_clusters"))),
        ("factors", parameters.get("n_factors")),
        ("center", parameters.get("center")),
        ("columns", own.get("n_features")),
        ("log-likelihood", own.get("log_likelihood")),
        ("converged", own.get("converged")),
        ("fitted to", source),
        ("held-out RMSE", f"{heldout['rmse']:.4f}" if heldout else None),
        ("created", told.get("created")),
        ("by", f"mixmend {told.get('mixmend_version')}"),
    ]
