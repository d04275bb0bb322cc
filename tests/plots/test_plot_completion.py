from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.testing import assert_allclose

import mixmend as mm
from mixmend.errors import DataError
from mixmend.plots import component_colors, plot_completion
from mixmend.plots.blocks import block_means


def image(ax):
    return np.asarray(ax.images[0].get_array())


@pytest.fixture
def holed(rng):
    X = rng.integers(1, 6, size=(7, 9)).astype(float)
    X[rng.random(X.shape) < 0.4] = np.nan
    return X


# ------------------------------------------------------------------ blocks


def by_hand(X, rows, columns, size):
    ordered = X[rows][:, columns]
    means, shares = [], []
    for top in range(0, len(X), size[0]):
        for left in range(0, X.shape[1], size[1]):
            block = ordered[top : top + size[0], left : left + size[1]]
            seen = block[np.isfinite(block)]
            means.append(seen.mean() if seen.size else np.nan)
            shares.append(seen.size / block.size)
    return means, shares


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 4), (7, 9), (10, 2)])
@pytest.mark.parametrize("sparse", [False, True])
def test_blocks_are_means_of_what_was_observed_in_them(holed, rng, size, sparse):
    rows, columns = rng.permutation(7), rng.permutation(9)
    matrix = mm.ObservedMatrix.from_dense(holed)
    if sparse:
        matrix = mm.ObservedMatrix.from_sparse(matrix.to_sparse())
    for given in (matrix, holed):
        blocks = block_means(given, rows, columns, size)
        means, shares = by_hand(holed, rows, columns, size)
        assert_allclose(blocks.means.ravel(), means)
        assert_allclose(blocks.observed.ravel(), shares)
        assert blocks.share == pytest.approx(np.isfinite(holed).mean())


def test_a_large_matrix_is_not_copied_as_a_whole():
    big = np.ones((4000, 2000), np.float32)
    tracemalloc.start()
    block_means(big, np.arange(4000), np.arange(2000), (8, 8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < big.nbytes / 4


# ------------------------------------------------------------------ pictures


def test_holes_show_the_hatched_ground_and_values_share_one_scale(holed):
    after = np.nan_to_num(holed, nan=2.5)
    figure = plot_completion(holed, after, title="Ratings", value_name="stars")
    left, right, scale = figure.axes
    assert left.get_title(loc="left") == f"before: {100 * np.isfinite(holed).mean():.0f} % observed"
    assert right.get_title(loc="left") == "after"
    assert figure.get_suptitle() == "Ratings"
    assert figure.get_supxlabel() == "hatched: missing"
    assert scale.get_ylabel() == "stars"
    assert_allclose(image(left)[..., 3], np.isfinite(holed))
    assert_allclose(image(right)[..., 3], 1.0)
    seen = np.isfinite(holed)
    assert_allclose(image(left)[seen], image(right)[seen])  # the same colour for the same value
    assert left.patch.get_hatch()
    # no value has the colour of a hole
    ground = np.array(to_rgb(left.get_facecolor()))
    assert np.abs(image(right)[..., :3] - ground).sum(axis=2).min() > 0.3


def test_deviations_are_a_third_panel_without_what_was_observed(holed):
    std = np.where(np.isfinite(holed), 0.0, 0.7)
    figure = plot_completion(holed, np.nan_to_num(holed, nan=2.5), std)
    panels = [ax for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"]
    assert [ax.get_title(loc="left") for ax in panels][2] == "standard deviation"
    assert_allclose(image(panels[2])[..., 3], ~np.isfinite(holed))
    assert not panels[2].patch.get_hatch()
    assert figure.get_supxlabel() == ("hatched: missing; plain grey among the deviations: observed")


def test_rows_and_columns_are_ordered_by_cluster():
    X = np.arange(12.0).reshape(4, 3)
    figure = plot_completion(X, X, row_clusters=[1, 0, 1, 0], column_clusters=["b", "a", "b"])
    left = figure.axes[0]
    plain = image(plot_completion(X, X).axes[0])
    assert_allclose(image(left), plain[[1, 3, 0, 2]][:, [1, 0, 2]])
    assert [text.get_text() for text in left.get_yticklabels()] == ["1", "3", "0", "2"]
    assert left.get_ylabel() == "4 rows, by cluster"
    edges = [line.get_data() for line in left.lines]
    assert edges[0][1][0] == 2
    assert edges[1][0][0] == 1
    strip = next(ax for ax in left.child_axes if ax.get_label() == "_clusters")
    expected = [to_rgb(component_colors(2)[k]) for k in (0, 0, 1, 1)]
    assert_allclose(image(strip)[:, 0], expected)


def test_labels_of_small_matrices_are_written(holed):
    matrix = mm.ObservedMatrix.from_dense(holed, column_labels=[f"film {i}" for i in range(9)])
    figure = plot_completion(matrix, np.nan_to_num(holed, nan=3.0))
    texts = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert texts == [f"film {i}" for i in range(9)]
    assert figure.axes[0].get_ylabel() == "7 rows"


def test_large_matrices_are_averaged_and_that_is_said(rng):
    n, d = 640, 330
    rows, columns = rng.integers(0, n, 9000), rng.integers(0, d, 9000)
    matrix = mm.ObservedMatrix.from_triplets(
        rows, columns, rng.normal(size=9000), (n, d), duplicates="first"
    )
    figure = plot_completion(matrix, np.zeros((n, d)), max_cells=100)
    assert image(figure.axes[0]).shape == (92, 83, 4)
    assert figure.get_supxlabel() == (
        "each pixel is the mean of 7 × 4 cells; paler: fewer of them observed; hatched: none"
    )
    assert figure.axes[0].get_title(loc="left") == "before: 4.2 % observed"
    assert figure.axes[0].get_xlim() == (0, 330)
    opacity = image(figure.axes[0])[..., 3]
    there = (matrix.entries()[0] // 7) * 83 + matrix.entries()[1] // 4
    without = np.setdiff1d(np.arange(92 * 83), there)
    np.testing.assert_array_equal(np.flatnonzero(opacity.ravel() == 0), without)
    assert opacity[opacity > 0].min() > 0.25
    complete = plot_completion(np.ones((300, 5)), np.ones((300, 5)), max_cells=100)
    assert complete.get_supxlabel() == "each pixel is the mean of 3 × 1 cells"


def test_outliers_do_not_take_the_whole_scale(rng):
    X = rng.normal(size=(60, 60))
    X[0, 0] = 1e9
    figure = plot_completion(X, X)
    low, high = figure.axes[-1].get_ylim()
    assert high < 10
    assert low < -1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"after": np.zeros((2, 2))}, "after must have the shape of before, (2, 3); got (2, 2)."),
        ({"std": np.zeros(3)}, "std must have the shape of before, (2, 3); got (3,)."),
        ({"before": np.full((2, 3), np.nan)},
         "nothing was observed: there is no scale to draw the matrix on."),
        ({"row_clusters": [0, 1, 2]},
         "row_clusters must hold one cluster per row (2); got shape (3,)."),
        ({"column_clusters": [0]},
         "column_clusters must hold one cluster per column (3); got shape (1,)."),
    ],
)  # fmt: skip
def test_bad_input(change, message):
    arguments = {"before": np.ones((2, 3)), "after": np.ones((2, 3))}
    with pytest.raises(DataError) as caught:
        plot_completion(**(arguments | change))
    assert str(caught.value) == message
