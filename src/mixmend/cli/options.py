"""The options that several commands share: how to read ratings, what to fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from mixmend.cli.choices import (
    FACTORS,
    Center,
    Duplicates,
    Inference,
    Init,
    InputLayout,
    Model,
    Prior,
    Select,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mixmend.observed.matrix import ObservedMatrix

_READING, _MODEL = "Reading", "Model"


_RATINGS = typer.Argument(
    metavar="RATINGS",
    help="The observed entries: CSV, TSV, '::', Parquet, Arrow, .mtx or a matrix as text, "
    "also gzipped.",
    show_default=False,
)
RatingsFile: TypeAlias = Annotated[Path, _RATINGS]
OptionalRatingsFile: TypeAlias = Annotated[Path | None, _RATINGS]
ModelFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A saved model (.mixmend).", show_default=False)
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Write the report as JSON to standard output.")
]
Interval: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--interval",
        metavar="LEVEL",
        min=0.001,
        max=0.999,
        help="Write the ends of this central predictive interval too, such as 0.9.",
    ),
]
Std: TypeAlias = Annotated[
    bool, typer.Option("--std/--no-std", help="Write predictive standard deviations.")
]
Decimals: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--decimals", metavar="N", min=0, max=17, help="Round computed numbers to N decimals."
    ),
]
Holdout: TypeAlias = Annotated[
    float,
    typer.Option(
        "--holdout",
        metavar="SHARE",
        min=0.0,
        max=0.5,
        help="Share of the entries to measure errors on; 0 measures nothing.",
    ),
]
RandomState: TypeAlias = Annotated[
    int, typer.Option("--random-state", min=0, help="Seed: the same seed, the same result.")
]
StartOption: TypeAlias = Annotated[
    Init,
    typer.Option(
        "--init",
        help="Start from spread-out rows (k-means++), from the clusters that K-means makes of "
        "them, from random responsibilities, or from rows picked at random.",
        rich_help_panel=_MODEL,
    ),
]
InferenceOption: TypeAlias = Annotated[
    Inference,
    typer.Option(
        "--inference",
        help="em: the most probable parameters. variational: their distributions; components that "
        "the rows do not ask for are left out.",
        rich_help_panel=_MODEL,
    ),
]
RowFeatures: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--row-features",
        metavar="FILE",
        help="What is known of the rows beside their entries (models als and neural): a table, its "
        "first column the rows' names, the others numbers, words or lists such as Comedy|War.",
        rich_help_panel=_MODEL,
    ),
]


@dataclass(frozen=True)
class Reading:
    """How to read a file of ratings; what is not said is found out."""

    row_name: Annotated[
        str | None,
        typer.Option(
            "--row",
            "--row-name",
            metavar="NAME",
            help="Name of the column that says the row.",
            rich_help_panel=_READING,
        ),
    ] = None
    column_name: Annotated[
        str | None,
        typer.Option(
            "--column",
            "--column-name",
            metavar="NAME",
            help="Name of the column that says the column.",
            rich_help_panel=_READING,
        ),
    ] = None
    value_name: Annotated[
        str | None,
        typer.Option(
            "--value",
            "--value-name",
            metavar="NAME",
            help="Name of the column with the values.",
            rich_help_panel=_READING,
        ),
    ] = None
    timestamp_name: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            "--timestamp-name",
            metavar="NAME",
            help="Name of the column with the time, which says what is first and last.",
            rich_help_panel=_READING,
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            help="What separates the fields: ',', ';', 'tab', 'blanks', '::', …",
            rich_help_panel=_READING,
        ),
    ] = None
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether the first line holds names; otherwise found out.",
            rich_help_panel=_READING,
        ),
    ] = None
    input_layout: Annotated[
        InputLayout,
        typer.Option(
            help="long: one entry a line. wide: one row a line, a column each.",
            rich_help_panel=_READING,
        ),
    ] = InputLayout.auto
    missing: Annotated[
        str | None,
        typer.Option(
            help="A number or text that marks a hole, besides empty cells.",
            rich_help_panel=_READING,
        ),
    ] = None
    duplicates: Annotated[
        Duplicates,
        typer.Option(
            help="When a (row, column) pair occurs again: an error, or which one counts.",
            rich_help_panel=_READING,
        ),
    ] = Duplicates.error
    encoding: Annotated[
        str, typer.Option(help="Encoding of a text file.", rich_help_panel=_READING)
    ] = "utf-8"

    def read(self, path: Path) -> ObservedMatrix:
        """Read a file of ratings accordingly."""
        from mixmend.files.ratings import read_ratings

        return read_ratings(
            path,
            value=self.value_name,
            timestamp=self.timestamp_name,
            layout=self.input_layout.value,
            missing=self.missing,
            duplicates=self.duplicates.value,
            **self._common(),
        )

    def names(self) -> dict[str, Any]:
        """Name the columns of an output: as they are called in the input, or as usual."""
        return {
            "row_name": self.row_name or "user",
            "column_name": self.column_name or "item",
            "value_name": self.value_name or "rating",
        }

    def read_pairs(self, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read a file of (row, column) pairs, by those of the options that concern it."""
        from mixmend.files.ratings import read_pairs

        return read_pairs(path, **self._common())

    def for_description(self) -> dict[str, Any]:
        """Give what of it helps to say what a file is."""
        common = self._common()
        return {name: common[name] for name in ("encoding", "separator", "header")}

    def _common(self) -> dict[str, Any]:
        return {
            "row": self.row_name,
            "column": self.column_name,
            "separator": {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator),
            "header": self.header,
            "encoding": self.encoding,
        }


@dataclass(frozen=True)
class ReadingForRows(Reading):
    """The same for a command whose own ``--row`` says which row is meant."""

    row_name: Annotated[
        str | None,
        typer.Option(
            "--row-name",
            metavar="NAME",
            help="Name of the column that says the row.",
            rich_help_panel=_READING,
        ),
    ] = None


@dataclass(frozen=True)
class Modelling:
    """Which mixture to fit, and how."""

    model: Annotated[
        Model,
        typer.Option(
            help="A Gaussian mixture, K-means (which knows no effects and no prior), or latent "
            "factors: by alternating least squares, their strengths learned (als), by a network "
            "(neural; needs PyTorch) or by a linear autoencoder.",
            rich_help_panel=_MODEL,
        ),
    ] = Model.mixture
    components: Annotated[
        str | None,
        typer.Option(
            "--components",
            "-k",
            metavar="K[,K…]",
            help="How many components or factors; of several (1,2,4 or 1-6) the best is chosen. "
            "By default 1,2,4,8, and 5,10,20 factors (als), 16 (neural) or 5,20 (autoencoder).",
            rich_help_panel=_MODEL,
            show_default=False,
        ),
    ] = None
    select: Annotated[
        Select,
        typer.Option(
            help="Choose the number by held-out entries, by the Bayesian information criterion, or "
            "by ICL, which counts groups of rows that stand apart.",
            rich_help_panel=_MODEL,
        ),
    ] = Select.heldout
    center: Annotated[
        Center,
        typer.Option(
            help="Effects beside the components: an offset for each row, an effect of each column, "
            "both (biases); auto: what predicts held-out entries best.",
            rich_help_panel=_MODEL,
        ),
    ] = Center.auto
    prior: Annotated[
        Prior,
        typer.Option(
            help="default: means drawn towards the column means, as the data tell. none: maximum "
            "likelihood.",
            rich_help_panel=_MODEL,
        ),
    ] = Prior.default
    n_init: Annotated[
        int,
        typer.Option(min=1, help="Starts of each fit; the best is kept.", rich_help_panel=_MODEL),
    ] = 3
    init: StartOption = Init.spread
    inference: InferenceOption = Inference.em
    max_iter: Annotated[
        int, typer.Option(min=1, help="Most EM steps of a start.", rich_help_panel=_MODEL)
    ] = 500
    tol: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Stop when a step gains less than this share of the log-likelihood.",
            rich_help_panel=_MODEL,
        ),
    ] = 1e-5
    random_state: RandomState = 0
    row_features: RowFeatures = None
    column_features: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What is known of the columns beside their entries: as --row-features.",
            rich_help_panel=_MODEL,
        ),
    ] = None

    def __post_init__(self) -> None:
        self.counts()  # a mistake there shall come to light before any work is done
        check_inference(self.inference, self.prior)
        if self.model is Model.mixture:
            return
        if self.inference is not Inference.em:
            raise typer.BadParameter(
                "only mixtures have variational fits to choose", param_hint="'--inference'"
            )
        if self.model is Model.kmeans and self.init not in (Init.spread, Init.random):
            raise typer.BadParameter(
                "K-means starts with k-means++ or random", param_hint=f"'--init {self.init}'"
            )
        if self.select is not Select.heldout:
            hint = f"'--select {self.select}'"
            what = "factors are chosen by held-out entries"
            if self.model is Model.kmeans:
                what = "K-means has no likelihood"
            raise typer.BadParameter(what, param_hint=hint)
        if self.model is Model.kmeans and self.center not in (Center.auto, Center.none):
            raise typer.BadParameter("K-means knows no effects", param_hint="'--center'")
        if self.model is Model.autoencoder and self.center not in (Center.auto, Center.columns):
            raise typer.BadParameter(
                "autoencoders always stand beside the columns' means", param_hint="'--center'"
            )
        if self.model in FACTORS and self.center not in (Center.auto, Center.biases):
            raise typer.BadParameter(
                "factors always stand beside effects of rows and columns", param_hint="'--center'"
            )

    def counts(self) -> list[int]:
        """Give the numbers of components or factors to try, increasing."""
        usual = {Model.als: "5,10,20", Model.neural: "16", Model.autoencoder: "5,20"}.get(
            self.model, "1,2,4,8"
        )
        return parse_counts(usual if self.components is None else self.components)


def check_inference(inference: Inference, prior: Prior) -> None:
    """Refuse a variational fit without priors: it has nothing to begin with."""
    if inference is Inference.variational and prior is Prior.none:
        raise typer.BadParameter(
            "variational fits need a prior; choose one of the two",
            param_hint="'--inference variational' / '--prior none'",
        )


def parse_counts(text: str) -> list[int]:
    """Read ``1,2,4`` and ``1-4`` and mixtures of them.

    Examples
    --------
    >>> parse_counts("8,1-3")
    [1, 2, 3, 8]
    """
    counts: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            low, high = 1, 0
        if not 1 <= low <= high:
            raise typer.BadParameter(
                f"'{text}' is not a list of numbers of components; write 4, or 1,2,4, or 1-6",
                param_hint="'-k'",
            )
        counts.update(range(low, high + 1))
    return sorted(counts)
