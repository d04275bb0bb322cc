"""Draw the pictures of README.md from made data: ``python docs/make_images.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mixmend as mm

FOLDER = Path(__file__).parent / "images"
N_ROWS, N_COLUMNS, SHARE_OBSERVED, NOISE = 90, 60, 0.25, 0.5


def made_ratings() -> tuple[np.ndarray, np.ndarray]:
    """Return ratings of three kinds of viewers for four kinds of films, and the films' kinds."""
    rng = np.random.default_rng(4)
    tastes = np.array([[4.6, 2.2, 3.4, 1.6], [1.8, 4.4, 2.6, 3.6], [3.2, 3.0, 1.5, 4.7]])
    viewers = rng.integers(0, 3, N_ROWS)
    films = rng.integers(0, 4, N_COLUMNS)
    effects = 0.35 * rng.standard_normal((N_ROWS, 1)) + 0.4 * rng.standard_normal(N_COLUMNS)
    ratings = tastes[viewers][:, films] + effects + NOISE * rng.standard_normal((N_ROWS, N_COLUMNS))
    ratings[rng.random(ratings.shape) > SHARE_OBSERVED] = np.nan
    return np.clip(np.round(2 * ratings) / 2, 0.5, 5.0), films


def draw_completion() -> None:
    """Draw the matrix with holes, completed, and how sure each cell is."""
    ratings, films = made_ratings()
    mixture = mm.GaussianMixture(3, prior="default", center="biases", n_init=5, random_state=0).fit(
        ratings
    )
    filled, std = mixture.complete(ratings, return_std=True)
    figure = mm.plots.plot_completion(
        ratings,
        filled,
        std,
        row_clusters=mixture.predict(ratings),
        column_clusters=films,
        value_name="rating",
    )
    figure.savefig(FOLDER / "completion.png", dpi=110)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    draw_completion()
