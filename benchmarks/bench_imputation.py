"""Imputers on real tables with hidden cells: errors, honesty and time, side by side.

First the setting that the literature uses: scikit-learn's breast cancer table,
standardised, half of its cells hidden completely at random by ``numpy.random.seed(1234)``,
mean squared error on them. Then six tables x five masks x three rates. Peers are
scikit-learn's imputers and, where it is installed, miceforest.

    python benchmarks/bench_imputation.py      # everything: takes hours with IterativeImputer
    python benchmarks/bench_imputation.py --tables wine,iris --repeats 2 --without iterative
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from functools import partial
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import mixmend as mm
from mixmend.evaluation import MASKS, ImputationTable, Masked, evaluate_imputers

TABLES = ("wine", "diabetes", "breast_cancer", "digits", "iris", "linnerud")
RATES = (0.1, 0.3, 0.5)


class Chosen:
    """A mixture of full covariances, its number of components chosen on held-out cells."""

    def __init__(self, counts=(1, 2, 4)):
        self.counts = counts

    def fit(self, X):
        """Choose and fit."""
        self.model = mm.select_components(
            X,
            [count for count in self.counts if count == 1 or 10 * count <= len(X)],
            "heldout",
            covariance_type="full",
            prior="default",
            n_init=1,
            random_state=0,
        ).best_estimator
        return self

    def predictive(self, X, rows, columns):
        """Predict as the chosen mixture does."""
        return self.model.predictive(X, rows, columns)


class MiceForest:
    """Chained random forests; it fills what it was fitted to."""

    def fit(self, X):
        """Fill X and keep it."""
        import miceforest
        import pandas

        frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
        kernel = miceforest.ImputationKernel(frame, num_datasets=1, random_state=0)
        kernel.mice(4)
        self.filled = kernel.complete_data(0).to_numpy()
        return self

    def transform(self, X):
        """Give what was filled."""
        return self.filled


def models() -> dict[str, object]:
    """Everything that is compared, by name."""
    known: dict[str, object] = {
        "mean": SimpleImputer(keep_empty_features=True),
        "knn": KNNImputer(n_neighbors=10, keep_empty_features=True),
        "iterative": IterativeImputer(max_iter=20, random_state=0, keep_empty_features=True),
    }
    if importlib.util.find_spec("miceforest"):
        known["miceforest"] = MiceForest
    known["MixtureImputer"] = partial(mm.MixtureImputer, random_state=0)
    known["chosen mixture"] = Chosen
    return known


def table(name: str, rows: int) -> np.ndarray:
    """Load a table as floats; columns that hardly vary are left out, and rows beyond a limit."""
    if name == "linnerud":
        X = np.hstack(datasets.load_linnerud(return_X_y=True))
    else:
        X = getattr(datasets, f"load_{name}")(return_X_y=True)[0]
    X = np.asarray(X, np.float64)
    if name == "digits":  # pixels at the rim are 0 in nearly all pictures
        X = X[:, X.std(axis=0) > 0.5]
    return X[np.random.default_rng(0).permutation(len(X))[:rows]]


def usual_mask(X, rate, random_state):
    """Hide the cells that published comparisons on this table hide; always the same."""
    np.random.seed(1234)
    flat = np.zeros(X.size, bool)
    flat[np.random.choice(X.size, int(np.floor(X.size * rate)), replace=False)] = True
    mask = flat.reshape(X.shape)
    return Masked(np.where(mask, np.nan, X), mask)


def breast_cancer(chosen: dict[str, object]) -> str:
    """Mean squared errors in the usual setting, in units of the complete data."""
    X = datasets.load_breast_cancer().data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    found = evaluate_imputers(chosen, X, {"usual": usual_mask}, 0.5, 1, standardize=False)
    lines = ["| model | MSE | 90 % coverage | seconds |", "|---|--:|--:|--:|"]
    for result in found.results:
        own = result.measures
        covered = "–" if np.isnan(own.coverage) else f"{100 * own.coverage:.1f} %"
        seconds = own.fit_seconds + own.predict_seconds
        lines.append(f"| {own.model} | {own.rmse**2:.4f} | {covered} | {seconds:.2f} |")
    lines += [f"\n{failure.model} failed: {failure.message}" for failure in found.failures]
    return "\n".join(lines)


def totals(found: ImputationTable) -> str:
    """Share of scenarios in which each model is near the best, coverage, and median time."""
    near = found.near_best()
    lines = ["| model | best or within 1 s.e. | 90 % coverage | median s |", "|---|--:|--:|--:|"]
    for name in found.models:
        own = [r.measures for r in found.results if r.measures.model == name]
        if not own:
            continue
        coverage = float(np.mean([r.coverage for r in own]))
        covered = "–" if np.isnan(coverage) else f"{100 * coverage:.1f} %"
        seconds = float(np.median([r.fit_seconds + r.predict_seconds for r in own]))
        lines.append(f"| {name} | {100 * near[name]:.0f} % | {covered} | {seconds:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--masks", default=",".join(MASKS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000, help="most rows of a table")
    parser.add_argument("--without", default="", help="names of models to leave out")
    parser.add_argument("--json", type=Path, help="write all results to this file too")
    options = parser.parse_args()
    left_out = options.without.split(",")
    chosen = {name: model for name, model in models().items() if name not in left_out}
    print("Breast cancer, standardised, half of the cells hidden, seed 1234\n")
    print(breast_cancer(chosen), flush=True)
    found = evaluate_imputers(
        chosen,
        {name: table(name, options.rows) for name in options.tables.split(",")},
        options.masks.split(","),
        [float(rate) for rate in options.rates.split(",")],
        options.repeats,
    )
    print(f"\n{found.to_markdown()}\n\n{totals(found)}")
    if options.json:
        options.json.write_text(json.dumps(found.to_dict(), indent=1))


if __name__ == "__main__":
    main()
