"""The handout's way of work: K-means and EM on toy data, then a ratings matrix completed.

    python examples/handout.py                       made data of the course's shapes
    python examples/handout.py FOLDER                the course's own files from a folder
    python examples/handout.py FOLDER --out pictures

The functions are the handout's own, from `mixmend.functional`; a 0 in a ratings matrix means
that nobody rated. FOLDER holds toy_data.txt, netflix_incomplete.txt, netflix_complete.txt.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from mixmend import datasets, plots
from mixmend.functional import (
    GaussianMixture,
    bic,
    estep,
    fill_matrix,
    init,
    kmeans_run,
    mstep,
    naive_run,
    plot,
    rmse,
    run,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the whole exercise; returns the exit code."""
    parser = argparse.ArgumentParser(description="The handout's exercise, step by step.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the course's data")
    parser.add_argument("--out", type=Path, default=Path("handout-pictures"), help="for pictures")
    parser.add_argument("--seeds", type=int, default=5, help="starts of each fit")
    parser.add_argument("--size", type=int, default=1200, help="rows and columns of made ratings")
    options = parser.parse_args(arguments)
    try:
        toy, ratings, truth = (
            make_data(options.size) if options.folder is None else read_data(options.folder)
        )
    except OSError as error:
        print(f"The course's data could not be read: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    compare_on_toy_data(toy, options.seeds, options.out)
    follow_single_steps(ratings, options.out)
    complete_ratings(ratings, truth, options.seeds, options.out)
    print(f"\npictures are in {options.out.resolve()}")
    return 0


def read_data(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Toy data, ratings with zeros for holes, and the complete ratings of the course."""
    names = ("toy_data.txt", "netflix_incomplete.txt", "netflix_complete.txt")
    toy, ratings, truth = (np.loadtxt(folder / name) for name in names)
    return toy, ratings, truth


def make_data(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three clouds of 250 points; ratings by ``size`` people of which 23 % are hidden."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(3, size=250, p=[0.4, 0.35, 0.25])
    centres = np.array([[5.5, 0.3], [-2.0, -0.5], [-2.2, 1.8]])
    toy = centres[kinds] + np.array([2.0, 2.0, 0.6])[kinds, None] * rng.normal(size=(250, 2))
    truth = datasets.make_ratings(size, size, density=1.0, random_state=0).to_dense()
    ratings = np.where(rng.random(truth.shape) < 0.23, 0.0, truth)
    return toy, ratings, truth.astype(float)


# ---------------------------------------------------------------- complete rows


def compare_on_toy_data(X: np.ndarray, seeds: int, out: Path) -> None:
    """K-means and EM for one to four components, and what BIC makes of them."""
    print(f"Toy data, {X.shape[0]} × {X.shape[1]}, best of {seeds} starts")
    print(f"{'K':>3} {'distortion':>14} {'log-likelihood':>16} {'BIC':>16}")
    scores = []
    for K in range(1, 5):
        starts = [init(X, K, seed) for seed in range(seeds)]
        kmeans = min((kmeans_run(X, *start) for start in starts), key=lambda fit: fit[2])
        fits = [naive_run(X, *start) for start in starts]
        em = max(fits, key=lambda fit: fit[2])
        scores.append([bic(X, mixture, value) for mixture, _, value in fits])
        print(f"{K:>3} {kmeans[2]:>14.6f} {em[2]:>16.8f} {max(scores[-1]):>16.8f}")
        for name, (mixture, post, _) in (("kmeans", kmeans), ("em", em)):
            title = f"{'K-means' if name == 'kmeans' else 'EM'}, K = {K}"
            save(plot(X, mixture, post, title).figure, out / f"toy-{name}-{K}.png")
        save(
            plots.plot_kmeans_and_em(X, view(kmeans[0], kmeans[1]), view(em[0], em[1])),
            out / f"toy-both-{K}.png",
        )
    chosen = 1 + int(np.argmax([max(row) for row in scores]))
    print(f"BIC chooses K = {chosen}")
    axes = plots.plot_criterion(
        range(1, 5), scores, larger_is_better=True, title="Toy data: BIC against K"
    )
    save(axes.figure, out / "toy-bic.png")


def view(mixture: GaussianMixture, post: np.ndarray) -> plots.MixtureView:
    """What there is to draw of a mixture."""
    return plots.MixtureView(mixture.mu, mixture.var, mixture.p, post)


# ---------------------------------------------------------------- incomplete rows


def follow_single_steps(X: np.ndarray, out: Path, K: int = 4, steps: int = 12) -> None:
    """The loop of the handout by hand: an E-step, an M-step, and again."""
    print(f"\nRatings, {X.shape[0]} × {X.shape[1]}: {steps} steps of EM by hand, K = {K}")
    traces = {}
    for seed in range(3):
        mixture, _ = init(X, K, seed)
        trace = []
        for _ in range(steps):
            post, log_likelihood = estep(X, mixture)
            mixture = mstep(X, post, mixture)
            trace.append(log_likelihood)
        traces[f"seed {seed}"] = trace
        print(f"seed {seed}: {trace[0]:.2f} at the start, {trace[-1]:.2f} after {steps - 1} steps")
    axes = plots.plot_trace(traces, title=f"Ratings: EM step by step, K = {K}")
    save(axes.figure, out / "ratings-trace.png")


def complete_ratings(X: np.ndarray, truth: np.ndarray, seeds: int, out: Path) -> None:
    """Fit one and twelve components, fill the holes, and measure against the truth."""
    print(f"\nRatings completed, best of {seeds} starts")
    print(f"{'K':>3} {'log-likelihood':>20} {'BIC':>20} {'RMSE of all cells':>20}")
    for K in (1, 12):
        fits = [run(X, *init(X, K, seed)) for seed in range(seeds)]
        mixture, post, log_likelihood = max(fits, key=lambda fit: fit[2])
        filled = fill_matrix(X, mixture)
        score, error = bic(X, mixture, log_likelihood), rmse(filled, truth)
        print(f"{K:>3} {log_likelihood:>20.8f} {score:>20.8f} {error:>20.15f}")
    figure = plots.plot_completion(
        np.where(X == 0, np.nan, X),
        filled,
        title=f"Ratings completed with K = {K}",
        row_clusters=post.argmax(axis=1),
        value_name="rating",
    )
    save(figure, out / "ratings-completed.png")


def save(figure, path: Path) -> None:
    """Write a picture."""
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
