"""Imputers on real tables with hidden cells: errors, honesty and time, side by side.

First the setting that the literature uses: scikit-learn's breast cancer table,
standardised, half of its cells hidden completely at random by ``numpy.random.seed(1234)``,
mean squared error on them. Then six tables x five masks x three rates. Peers are
scikit-learn's imputers, random forests in turn (as missForest) and, where they are
installed, miceforest and hyperimpute's missForest, GAIN and MIWAE; what is not is said.

    python benchmarks/bench_imputation.py --store results.jsonl
    python benchmarks/bench_imputation.py --store results.jsonl --only knn,MixtureImputer

Each model's results on a table, mask and rate are a line of the store, and are not computed
again: a run that was broken off goes on, and models can be added one by one.

    NUMBA_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/bench_imputation.py --times 5

fills each table, 30 % of its cells hidden at random, with all models in turn five times, and
gives the least processor time of each: on a busy machine that says more than a clock.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import mixmend as mm
from mixmend.evaluation import MASKS, Masked, evaluate_imputers
from mixmend.evaluation.harness import fresh
from mixmend.evaluation.imputation_table import Failure, ImputationResult, ImputationTable, Scenario
from mixmend.evaluation.table import FoldResult, SplitFacts

TABLES = ("linnerud", "iris", "wine", "diabetes", "breast_cancer", "digits")
RATES = (0.1, 0.3, 0.5)
ROWS = {"breast_cancer": 450, "digits": 300}
"""Most rows, so that the slowest peers end within the hour."""


class MiceForest:
    """Chained gradient-boosted trees; it fills what it was fitted to."""

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


class HyperImpute:
    """One of hyperimpute's plugins by name; it fills what it was fitted to."""

    def __init__(self, plugin):
        self.plugin = plugin

    def fit(self, X):
        """Fill X and keep it."""
        import pandas
        from hyperimpute.plugins.imputers import Imputers

        filled = Imputers().get(self.plugin).fit_transform(pandas.DataFrame(X))
        self.filled = np.asarray(filled, np.float64)
        return self

    def transform(self, X):
        """Give what was filled."""
        return self.filled


def models() -> tuple[dict[str, object], list[str]]:
    """Everything that is compared, by name, and what is not installed."""
    forest = RandomForestRegressor(n_estimators=30, max_features=1 / 3, random_state=0, n_jobs=2)
    known: dict[str, object] = {
        "mean": SimpleImputer(keep_empty_features=True),
        "knn": KNNImputer(n_neighbors=10, keep_empty_features=True),
        "iterative": IterativeImputer(max_iter=20, random_state=0, keep_empty_features=True),
        "forest": IterativeImputer(forest, max_iter=5, random_state=0, keep_empty_features=True),
        "MixtureImputer": partial(mm.MixtureImputer, random_state=0),
        "MixtureImputer auto": partial(mm.MixtureImputer, "auto", random_state=0),
    }
    absent = []
    if importlib.util.find_spec("miceforest"):
        known["miceforest"] = MiceForest
    else:
        absent.append("miceforest")
    for plugin in ("missforest", "gain", "miwae"):
        if importlib.util.find_spec("hyperimpute"):
            known[f"hyperimpute {plugin}"] = partial(HyperImpute, plugin)
        else:
            absent.append(f"hyperimpute {plugin}")
    return known, absent


def table(name: str) -> np.ndarray:
    """Load a table as floats; columns that hardly vary are left out, and rows beyond a limit."""
    if name == "linnerud":
        X = np.hstack(datasets.load_linnerud(return_X_y=True))
    else:
        X = getattr(datasets, f"load_{name}")(return_X_y=True)[0]
    X = np.asarray(X, np.float64)
    if name == "digits":  # pixels at the rim are 0 in nearly all pictures
        X = X[:, X.std(axis=0) > 0.5]
    return X[np.random.default_rng(0).permutation(len(X))[: ROWS.get(name, len(X))]]


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


def times(chosen: dict[str, object], names: list[str], repeats: int) -> Iterator[str]:
    """Lines of a table: least processor seconds to fit and fill, and how many times ours."""
    ours = "MixtureImputer auto"
    yield "| model | " + " | ".join(names) + " |"
    yield "|---" + "|--:" * len(names) + "|"
    least: dict[tuple[str, str], float] = {}
    for data in names:
        values = MASKS["mcar"](table(data), 0.3, random_state=0).values
        values = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0)
        for _ in range(repeats):
            for name, model in chosen.items():
                estimator = fresh(name, model, ("transform",))
                start = time.process_time()
                estimator.fit(values.copy()).transform(values.copy())
                spent = time.process_time() - start
                least[name, data] = min(spent, least.get((name, data), np.inf))
    for name in chosen:
        cells = []
        for data in names:
            text = f"{least[name, data]:.3g}"
            if ours in chosen and name != ours:
                text += f" ({least[name, data] / least[ours, data]:.2g} x)"
            cells.append(text)
        yield f"| {name} | {' | '.join(cells)} |"


# ------------------------------------------------------------------ results on disk


def stored(store: Path) -> list[dict]:
    """The lines of the store."""
    return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []


def computed(chosen: dict[str, object], wanted: list[Scenario], repeats: int, store: Path) -> None:
    """Add to the store what it lacks."""
    done = {(line["model"], *_scenario(line)) for line in stored(store)}
    for scenario in wanted:
        X = table(scenario.data)
        for name, model in chosen.items():
            if (name, *scenario) in done:
                continue
            found = evaluate_imputers(
                {name: model}, {scenario.data: X}, scenario.mask, scenario.rate, repeats
            )
            line = {
                "model": name,
                **scenario._asdict(),
                "results": [result.measures._asdict() for result in found.results],
                "fail": [failure.message for failure in found.failures],
            }
            with store.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(name, *scenario, flush=True)


def gathered(lines: list[dict], wanted: list[Scenario]) -> ImputationTable:
    """The results in the store of scenarios that every model was measured in."""
    names = list(dict.fromkeys(line["model"] for line in lines))
    met: dict[Scenario, set[str]] = {}
    for line in lines:
        met.setdefault(_scenario(line), set()).add(line["model"])
    whole = [scenario for scenario in wanted if met.get(scenario, set()) >= set(names)]
    results, failures = [], []
    splits: dict[Scenario, tuple[SplitFacts, ...]] = {}
    for scenario in whole:
        own = [line for line in lines if _scenario(line) == scenario]
        draws = max(len(line["results"]) + len(line["fail"]) for line in own)
        splits[scenario] = tuple(SplitFacts(i + 1, 0, 0, 0, 0, 0) for i in range(draws))
        for line in own:
            for measured in line["results"]:
                fold = FoldResult(**{**measured, "model": line["model"]})
                results.append(ImputationResult(scenario, fold, None, ()))
            failures += [Failure(line["model"], scenario, 0, text) for text in line["fail"]]
    return ImputationTable(tuple(names), tuple(results), tuple(failures), splits, 0.9)


def _scenario(line: dict) -> Scenario:
    return Scenario(line["data"], line["mask"], line["rate"])


def summaries(found: ImputationTable) -> Iterator[str]:
    """Lines of a table: rows near the best, coverage by kind of mask, and time, by model."""
    near = found.near_best()
    yield "| model | best or within 1 s.e. | 90 % coverage: all | without MNAR | mcar | median s |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name in found.models:
        own = [r for r in found.results if r.measures.model == name]
        if not own:
            continue
        shares = []
        for masks in (tuple(MASKS), ("mcar", "mar", "mar-threshold"), ("mcar",)):
            kept = [r.measures.coverage for r in own if r.scenario.mask in masks]
            mean = float(np.mean(kept)) if kept else np.nan
            shares.append("–" if np.isnan(mean) else f"{100 * mean:.1f} %")
        seconds = np.median([r.measures.fit_seconds + r.measures.predict_seconds for r in own])
        yield f"| {name} | {100 * near[name]:.0f} % | {' | '.join(shares)} | {seconds:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--masks", default=",".join(MASKS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="names of the models to run; all by default")
    parser.add_argument("--without", default="", help="names of models to leave out")
    parser.add_argument("--store", type=Path, default=Path("imputation.jsonl"))
    parser.add_argument("--times", type=int, default=0, help="measure times only, so often")
    parser.add_argument("--no-usual", action="store_true", help="skip the first table")
    options = parser.parse_args()
    known, absent = models()
    names = options.only.split(",") if options.only else list(known)
    left_out = options.without.split(",")
    chosen = {name: known[name] for name in names if name in known and name not in left_out}
    if absent:
        print(f"not installed: {', '.join(absent)}\n")
    if options.times:
        print("\n".join(times(chosen, options.tables.split(","), options.times)))
        return
    if not options.no_usual:
        print("Breast cancer, standardised, half of the cells hidden, seed 1234\n")
        print(breast_cancer(chosen), flush=True)
    wanted = [
        Scenario(name, mask, float(rate))
        for name in options.tables.split(",")
        for mask in options.masks.split(",")
        for rate in options.rates.split(",")
    ]
    computed(chosen, wanted, options.repeats, options.store)
    lines = [line for line in stored(options.store) if line["model"] in chosen]
    found = gathered(lines, wanted)
    print(f"\n{found.to_markdown()}\n")
    print("\n".join(summaries(found)))
    for name in options.tables.split(","):
        part = gathered(lines, [scenario for scenario in wanted if scenario.data == name])
        print(f"\n{name}: {part.note()}")


if __name__ == "__main__":
    main()
