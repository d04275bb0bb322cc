"""Draw the pictures of README.md and the pages: ``python docs/make_images.py [NAME …]``.

From made data, and from scikit-learn's picture ``china.jpg`` (CC BY 2.0, danielbuechele).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.datasets import load_sample_image

import mixmend as mm
from mixmend.plots.style import new_figure, set_title

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


def draw_row(panels: dict[str, np.ndarray], name: str, height: float) -> None:
    """Draw pictures side by side under their titles, and save them in few colours."""
    figure = new_figure(3.3 * len(panels), height)
    for ax, (title, image) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        ax.imshow(image, interpolation="nearest")
        ax.axis("off")
        set_title(ax, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    mm.imaging.quantize(np.asarray(canvas.buffer_rgba()), 96).save(FOLDER / name)


def with_swatches(found: mm.imaging.Quantized) -> np.ndarray:
    """Put the palette under the picture, each colour as wide as its share of the pixels."""
    width = found.image.shape[1]
    edges = np.rint(width * found.counts.cumsum() / found.counts.sum()).astype(int)
    line = found.palette[np.searchsorted(edges, np.arange(width), side="right")]
    gap = np.full((6, width, 3), 255, np.uint8)
    return np.concatenate([found.image, gap, np.repeat(line[None], 24, axis=0)])


def draw_palettes() -> None:
    """Draw a photograph in five colours, by K-means and by a mixture."""
    image = load_sample_image("china.jpg")
    under = np.full((30, image.shape[1], 3), 255, np.uint8)
    panels = {"original": np.concatenate([image, under])}
    for method, title in (("kmeans", "K-means"), ("gmm", "mixture, full covariances")):
        found = mm.imaging.quantize(image, 5, method)
        panels[f"{title}: {found.psnr:.1f} dB"] = with_swatches(found)
    draw_row(panels, "palettes.png", 2.7)


def draw_samples() -> None:
    """Draw new pictures from mixtures of colours and of patches."""
    image = load_sample_image("china.jpg")[267:427, 380:620]
    panels = {
        "original": image,
        "pixels, 5 components": mm.imaging.sample_image(image),
        "patches of 8 × 8, 5 components": mm.imaging.sample_image(image, patch_size=8),
    }
    draw_row(panels, "samples.png", 2.5)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or ("completion", "palettes", "samples"):
        globals()[f"draw_{wanted}"]()
