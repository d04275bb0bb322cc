"""What ``mixmend impute`` says of the table that it filled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmend.cli import show
from mixmend.cli.session import Session

if TYPE_CHECKING:
    from mixmend.files.tables import TypedTable
    from mixmend.mixtures.imputer import MixtureImputer

COLUMNS = (
    show.Column("name", "column"),
    show.Column("kind", "holds"),
    show.Column("holes", "holes"),
    show.Column("method", "filled with"),
    show.Column("note", "note"),
)


def described(path: Path, read: TypedTable) -> dict[str, Any]:
    """The table as it was read."""
    return {
        "path": str(path),
        "rows": read.frame.height,
        "columns": read.frame.width,
        "holes": sum(read.frame.null_count().row(0)),
    }


def model_of(imputer: MixtureImputer) -> dict[str, Any]:
    """The mixture, or all that were averaged."""
    mixture, stack = imputer.mixture_, imputer.stack_
    learned = [] if stack is None else zip(stack.learners, stack.shares, strict=True)
    mixtures = [
        {
            "n_components": learner.mixture.n_components_,
            "covariance_type": learner.mixture.covariance_type,
            "normal_scores": learner.scores is not None,
            "share": float(share),
        }
        for learner, share in learned
    ]
    return {
        "n_components": _left(imputer),
        "covariance_type": imputer.covariance_type,
        "n_factors": imputer.n_factors,
        "inference": imputer.inference,
        "log_likelihood": None if mixture is None else mixture.log_likelihood_,
        "converged": None if mixture is None else mixture.converged_,
        "n_iter": None if mixture is None else mixture.n_iter_,
        "mixtures": mixtures,
        "spread": None if stack is None else stack.spread,
    }


def _left(imputer: MixtureImputer) -> int | str:
    """How many components there are: variational fits leave some out."""
    mixture = None if imputer.n_components == "auto" else imputer.mixture_
    return imputer.n_components if mixture is None else int(mixture.n_components_)


def show_filled(told: dict[str, Any], run: Session) -> None:
    """Print columns, model, files and time."""
    show.table([row | {"note": row["note"] or None} for row in told["columns"]], COLUMNS)
    print()
    model, read = told["model"], told["table"]
    size = f"{show.count(read['rows'], 'row')} × {show.count(read['columns'], 'column')}"
    paths = [place["path"] for place in told["output"]]
    fitted = "none: no column varies"
    if model["n_components"] == "auto" and model["n_iter"] is not None:
        fitted = f"average of {show.count(len(model['mixtures']), 'mixture')}"
        fitted += f", spread {model['spread']:.3g}"
    elif model["n_iter"] is not None:
        fitted = f"{show.count(model['n_components'], 'component')}, {model['covariance_type']}"
        if model["n_factors"] is not None:
            fitted += f" of rank {model['n_factors']}"
        fitted += f", log-likelihood {model['log_likelihood']:.7g}"
    show.facts(
        [
            ("read", f"{size}, {show.count(read['holes'], 'hole')}"),
            ("model", fitted),
            ("file" if len(paths) == 1 else "files", ", ".join(paths)),
            ("time", show.duration(sum(run.seconds.values()))),
        ]
    )
