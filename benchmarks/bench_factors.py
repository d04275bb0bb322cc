"""Alternating least squares against cmfrec, implicit and Surprise, on MovieLens 1M.

    pip install cython findblas scipy && pip install --no-build-isolation cmfrec
    pip install implicit scikit-surprise
    python benchmarks/bench_factors.py FOLDER/movielens_1m            # ratings.csv.gz lies there
    python benchmarks/bench_factors.py FOLDER/movielens_1m --large    # and 10 million made up

A peer that is not installed is left out. A sweep's time is the difference between fits of
many and of few sweeps, divided by the difference of the sweeps: what a fit does once is in
neither. Processor time counts both threads; it bears a busy machine better than wall time does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit asks for it
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait take no processor time

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import factor_peers as peers
import numpy as np

import mixmend as mm

LAMBDA = 10.0


class Took(NamedTuple):
    """Seconds by the clock and of both processors."""

    wall: float
    processor: float

    def __sub__(self, other: Took) -> Took:  # type: ignore[override]
        return Took(self.wall - other.wall, self.processor - other.processor)

    def per(self, count: int) -> Took:
        """A share of it."""
        return Took(self.wall / count, self.processor / count)


def timed(work: Callable[[], object]) -> tuple[Took, object]:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return Took(time.perf_counter() - wall, time.process_time() - processor), result


def least(times: list[Took]) -> Took:
    return Took(min(t.wall for t in times), min(t.processor for t in times))


def mixmend_fit(solver: str, rank: int) -> peers.Fit:
    def fit(train: mm.ObservedMatrix, n_sweeps: int) -> peers.Predict:
        model = mm.MatrixFactorization(
            rank,
            regularization=LAMBDA,
            center="biases",
            init="svd",  # random starts end up to 0.005 apart, this one among the best of them
            max_iter=n_sweeps,
            tol=0,
            solver=solver,
            random_state=0,
        ).fit(train)
        return lambda rows, columns: model.predict_entries(train, rows, columns)

    return fit


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def error(predict: peers.Predict, test: mm.ObservedMatrix) -> float:
    rows, columns, values = test.entries()
    return float(np.sqrt(np.mean((predict(rows, columns) - values) ** 2)))


def sweeps(
    train: mm.ObservedMatrix, test: mm.ObservedMatrix, rank: int, count: list[int], repeats: int
) -> None:
    """Time per sweep at equal lambda, and held-out error after equally many sweeps."""
    fits: dict[str, peers.Fit] = {
        f"mixmend, {solver}": mixmend_fit(solver, rank) for solver in ("cholesky", "cg")
    }
    if installed("cmfrec"):
        for use_float in (False, True):
            name = f"cmfrec, Cholesky, float{32 if use_float else 64}"
            fits[name] = peers.cmfrec_fit(rank, LAMBDA, use_float)
    few: dict[str, list[Took]] = {name: [] for name in fits}
    many: dict[str, list[Took]] = {name: [] for name in fits}
    errors = {}
    for fit in fits.values():
        fit(train, 1)  # compiled, and threads started
    for _ in range(repeats):
        for name, fit in fits.items():
            few[name].append(timed(lambda fit=fit: fit(train, count[0]))[0])
            took, predict = timed(lambda fit=fit: fit(train, count[1]))
            many[name].append(took)
            errors[name] = error(predict, test)
    each = {name: (least(many[name]) - least(few[name])).per(count[1] - count[0]) for name in fits}
    if installed("implicit"):
        name = "implicit, cg, float32"
        each[name] = least([peers.implicit_sweep(train, rank, timed, Took) for _ in range(repeats)])
        errors[name] = np.nan
    print(f"\nrank {rank}, lambda {LAMBDA:g}, effects of rows and columns, {count[1]} sweeps\n")
    print("| solver | s a sweep, wall | processor | × cholesky, wall | processor | RMSE |")
    print("| --- | --- | --- | --- | --- | --- |")
    base = each["mixmend, cholesky"]
    for name, took in each.items():
        print(
            f"| {name} | {took.wall:.3f} | {took.processor:.3f} | {took.wall / base.wall:.2f} | "
            f"{took.processor / base.processor:.2f} | {errors[name]:.4f} |",
            flush=True,
        )


def same_start(train: mm.ObservedMatrix, test: mm.ObservedMatrix, rank: int, n_sweeps: int) -> None:
    """Errors of both from the factors that cmfrec has after one sweep: the problem has many minima.

    Both solve columns first, so sweeps correspond; cmfrec draws its start anew in each fit, but
    the same one up to rounding.
    """
    from mixmend.factors.problem import checked, pose
    from mixmend.factors.starts import begin
    from mixmend.factors.steps import Side, ridge_step

    options = mm.MatrixFactorization(
        rank, regularization=LAMBDA, center="biases", solver="cholesky"
    )
    problem = pose(train, checked(options))
    once = peers.cmfrec_model(train, rank, LAMBDA, 1)
    rows = np.column_stack([once.A_, once.user_bias_]).astype(np.float64)
    state = begin(problem, np.random.default_rng(0))._replace(rows=Side(rows))
    for _ in range(n_sweeps - 1):
        state = ridge_step(problem, state)
    theirs = peers.cmfrec_model(train, rank, LAMBDA, n_sweeps)
    mine = state.rows.values, state.columns.values
    others = (
        np.column_stack([theirs.A_, theirs.user_bias_]),
        np.column_stack([theirs.B_, theirs.item_bias_]),
    )
    mean = float(train.entries()[2].mean())
    said = []
    for name, sides in (("mixmend", mine), ("cmfrec", others)):

        def predict(r: np.ndarray, c: np.ndarray, sides: Any = sides) -> np.ndarray:
            (p, q) = sides[0][r], sides[1][c]
            return mean + (p[:, :-1] * q[:, :-1]).sum(axis=1) + p[:, -1] + q[:, -1]

        squares = error(predict, train) ** 2 * train.n_observed
        objective = squares + LAMBDA * sum(float((side**2).sum()) for side in sides)
        said.append(f"{name} {error(predict, test):.4f} (objective {objective:.0f})")
    print(f"\nfrom cmfrec's first sweep, RMSE after {n_sweeps}: {', '.join(said)}", flush=True)


def to_error(train: mm.ObservedMatrix, test: mm.ObservedMatrix) -> None:
    """Time to the held-out error that Surprise reaches."""
    if not installed("surprise"):
        return

    def ours(goal: float) -> tuple[Took, float, int]:
        for steps in range(1, 60):
            took, model = timed(
                lambda steps=steps: mm.MatrixFactorization(
                    10,
                    center="biases",
                    inference="variational",
                    init="svd",
                    max_iter=steps,
                    tol=0,
                    random_state=0,
                ).fit(train)
            )
            reached = error(lambda r, c, model=model: model.predict_entries(train, r, c), test)
            if reached <= goal:
                return took, reached, steps
        return took, reached, steps

    ours(np.inf)  # compiled
    print("\n| library | wall | processor | RMSE | mixmend to that, wall | processor | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    took, predict = timed(lambda: peers.surprise_fit(train))
    goal = error(predict, test)
    mine, reached, steps = ours(goal)
    print(
        f"| Surprise, SVD, 100 factors, 20 epochs | {took.wall:.2f} | {took.processor:.2f} | "
        f"{goal:.4f} | {mine.wall:.2f} ({steps} steps, {reached:.4f}) | {mine.processor:.2f} | "
        f"{took.wall / mine.wall:.1f}, {took.processor / mine.processor:.1f} |",
        flush=True,
    )


def new_row(train: mm.ObservedMatrix) -> None:
    """From five ratings of a new row to its ten recommendations."""
    model = mm.MatrixFactorization(
        50, regularization=LAMBDA, center="biases", max_iter=2, tol=0, random_state=0
    ).fit(train)
    new = mm.ObservedMatrix.from_triplets(
        np.zeros(5, np.int64), [1, 50, 100, 500, 1000], [5.0, 4, 3, 5, 2], shape=(1, train.shape[1])
    )
    model.recommend(new)
    took = [timed(lambda: model.recommend(new))[0] for _ in range(500)]
    print(
        f"\n5 ratings of a new row to 10 of {train.shape[1]} columns, rank 50: least "
        f"{least(took).wall * 1e3:.2f} ms, median {np.median([t.wall for t in took]) * 1e3:.2f} ms"
    )


def large(repeats: int) -> None:
    """A sweep over 10 million made-up ratings."""
    obs = mm.datasets.make_ratings(69_878, 10_677, 10_000_000, random_state=0)
    print("\n10 million ratings, 69 878 × 10 677\n\n| rank | solver | s a sweep | processor |")
    print("| --- | --- | --- | --- |")
    for rank in (50, 128):
        for solver in ("cholesky", "cg"):
            once = a_step(solver, rank)
            took = least([once(obs) for _ in range(repeats)])
            print(f"| {rank} | {solver} | {took.wall:.2f} | {took.processor:.2f} |", flush=True)


def a_step(solver: str, rank: int) -> Callable[[mm.ObservedMatrix], Took]:
    """A single step timed from inside: fits of 10 million entries need not be repeated."""
    from mixmend.factors.problem import checked, pose
    from mixmend.factors.starts import begin
    from mixmend.factors.steps import ridge_step

    def once(obs: mm.ObservedMatrix) -> Took:
        model = mm.MatrixFactorization(rank, regularization=LAMBDA, center="biases", solver=solver)
        problem = pose(obs, checked(model))
        state = ridge_step(problem, begin(problem, np.random.default_rng(0)))
        return timed(lambda: ridge_step(problem, state))[0]

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ranks", type=int, nargs="*", default=[50, 128])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sweeps", type=int, nargs=2, default=[2, 8], help="of the two fits")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    obs = mm.read_ratings(options.folder / "ratings.csv.gz")
    train, test = mm.split_entries(obs, 0.1, random_state=0)
    print(f"{train.n_observed} ratings, {train.shape[0]} × {train.shape[1]}; 10 % held out")
    for rank in options.ranks:
        sweeps(train, test, rank, options.sweeps, options.repeats)
        if installed("cmfrec"):
            same_start(train, test, rank, options.sweeps[1])
    to_error(train, test)
    new_row(train)
    if options.large:
        large(options.repeats)


if __name__ == "__main__":
    main()
