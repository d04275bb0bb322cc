"""A matrix before and after its holes were filled, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.observed.matrix import ObservedMatrix
from mixmend.plots.blocks import Blocks, block_means
from mixmend.plots.numbers import grouped
from mixmend.plots.palette import GREY, INK, component_colors
from mixmend.plots.points import as_dense
from mixmend.plots.style import SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, new_figure

Array = NDArray[np.float64]

_HOLE = "#E3E6EA"
_HATCH = "#BCC3CB"
_LABELLED = 24  # rows or columns up to which each one is named


class _Lines(NamedTuple):
    """Rows or columns in the order in which they are drawn."""

    order: NDArray[np.intp]
    clusters: NDArray[Any] | None
    labels: Sequence[Any]
    word: str


def plot_completion(
    before: Any,
    after: ArrayLike,
    std: ArrayLike | None = None,
    title: str | None = None,
    figure: Figure | None = None,
    *,
    row_clusters: ArrayLike | None = None,
    column_clusters: ArrayLike | None = None,
    value_name: str = "value",
    max_cells: int = 500,
) -> Figure:
    """Draw a matrix before and after completion as heat maps on one colour scale.

    Holes are hatched grey, a colour that no value has. Where the matrix has more rows or
    columns than can be shown, cells are averaged in blocks, and the figure says of what size;
    in the picture before, a block fades into the hatching the fewer of its cells were
    observed.

    Parameters
    ----------
    before : array-like, shape (n, d), or ObservedMatrix
        What was observed; NaN (or masked) is a hole.
    after : array-like, shape (n, d)
        The completed matrix; NaN is a hole that was left.
    std : array-like, shape (n, d), optional
        Standard deviations of what was filled in, drawn as a third panel with a scale of its
        own; NaN or 0 in cells that were observed.
    title : str, optional
    figure : matplotlib Figure, optional
        Where to draw; by default a new one.
    row_clusters, column_clusters : array-like of int, shapes (n,) and (d,), optional
        Clusters by which rows and columns are ordered; lines separate them, and a strip
        beside the rows shows the colours of the components.
    value_name : str
        What the values are, beside their colour scale.
    max_cells : int
        Most blocks along each side.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    DataError
        Where shapes do not agree or nothing was observed.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.plots import plot_completion
    >>> X = np.array([[1.0, np.nan, 3.0], [np.nan, 5.0, 4.0]])
    >>> figure = plot_completion(X, np.nan_to_num(X, nan=3.5))
    >>> figure.axes[0].get_title(loc="left")
    'before: 67 % observed'
    """
    matrix = before if isinstance(before, ObservedMatrix) else as_dense(before)[0]
    n, d = matrix.shape
    labelled = isinstance(before, ObservedMatrix)
    rows = _lines(row_clusters, n, before.row_labels if labelled else range(n), "row")
    columns = _lines(column_clusters, d, before.column_labels if labelled else range(d), "column")
    size = (-(-n // max_cells), -(-d // max_cells))
    seen = block_means(matrix, rows.order, columns.order, size)
    if not seen.observed.any():
        raise DataError("nothing was observed: there is no scale to draw the matrix on.")
    filled = block_means(_of_shape("after", after, (n, d)), rows.order, columns.order, size)
    panels = [(f"before: {_percent(seen.share)} observed", seen), ("after", filled)]
    scale, extend = _scale([seen.means, filled.means])

    canvas = new_figure(5.2 * (2 + (std is not None)), 5.0) if figure is None else figure
    axes = list(canvas.subplots(1, 2 + (std is not None), squeeze=False)[0])
    for ax, (name, blocks) in zip(axes, panels, strict=False):
        _draw_panel(ax, blocks, scale, "viridis", name, (n, d))
    canvas.colorbar(
        ScalarMappable(scale, "viridis"), ax=axes[:2], label=value_name, extend=extend, pad=0.015
    ).outline.set_visible(False)
    if std is not None:
        deviations = _of_shape("std", std, (n, d))
        spread = block_means(deviations, rows.order, columns.order, size, blank=0.0)
        widths, extend = _scale([spread.means], from_zero=True)
        _draw_panel(axes[2], spread, widths, "magma_r", "standard deviation", (n, d), hatched=False)
        canvas.colorbar(
            ScalarMappable(widths, "magma_r"),
            ax=axes[2],
            label=f"standard deviation of {value_name}",
            extend=extend,
            pad=0.02,
        ).outline.set_visible(False)
    for ax in axes:
        _name_lines(ax, rows, columns, first=ax is axes[0])
    if title is not None:
        canvas.suptitle(title, fontsize=TITLE_SIZE + 1, x=0.01, ha="left")
    canvas.supxlabel(
        _legend(size, seen.share < 1, std is not None), fontsize=SMALL_SIZE, color=GREY
    )
    return canvas


def _lines(clusters: ArrayLike | None, count: int, labels: Sequence[Any], word: str) -> _Lines:
    if clusters is None:
        return _Lines(np.arange(count), None, labels, word)
    given = np.asarray(clusters)
    if given.shape != (count,):
        raise DataError(
            f"{word}_clusters must hold one cluster per {word} ({count}); got shape {given.shape}."
        )
    order = np.argsort(given, kind="stable")
    return _Lines(order, given[order], labels, word)


def _of_shape(name: str, values: ArrayLike, shape: tuple[int, int]) -> Array:
    array = np.asarray(values)
    if array.shape != shape:
        raise DataError(f"{name} must have the shape of before, {shape}; got {array.shape}.")
    return array


def _scale(parts: Sequence[Array], from_zero: bool = False) -> tuple[Normalize, str]:
    """One colour scale for all parts, and at which ends values lie beyond it."""
    values = np.concatenate([part[np.isfinite(part)] for part in parts])
    if len(values) == 0:
        return Normalize(0.0, 1.0), "neither"
    low, high = np.quantile(values, [0.002, 0.998])
    low = 0.0 if from_zero else float(low)
    if high <= low:
        low, high = low - 0.5 * (not from_zero), low + 0.5
    below, above = values.min() < low - 1e-9 * abs(low), values.max() > high + 1e-9 * abs(high)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    return Normalize(low, float(high)), extend[int(below), int(above)]


def _draw_panel(
    ax: Axes,
    blocks: Blocks,
    scale: Normalize,
    colors: str,
    name: str,
    shape: tuple[int, int],
    hatched: bool = True,
) -> None:
    """One heat map; what was not observed lets the hatched ground show through."""
    ax.set_title(name, loc="left", fontsize=TEXT_SIZE + 1)
    ax.set_facecolor(_HOLE)
    if hatched:
        ax.patch.set(hatch="/////", edgecolor=_HATCH, linewidth=0)
    painted = ScalarMappable(scale, colors).to_rgba(np.nan_to_num(blocks.means))
    # even one observed cell of a block stays visible
    opacity = np.where(blocks.observed > 0, 0.25 + 0.75 * np.sqrt(blocks.observed), 0.0)
    painted[..., 3] = opacity
    image = ax.imshow(
        painted,
        extent=(0, shape[1], shape[0], 0),
        aspect="auto",
        interpolation="nearest",
        zorder=1,
    )
    image.set_label(f"_{name}")
    ax.tick_params(colors=GREY, labelsize=SMALL_SIZE, length=2)
    for spine in ax.spines.values():
        spine.set(color=GREY, linewidth=0.6)


def _name_lines(ax: Axes, rows: _Lines, columns: _Lines, first: bool) -> None:
    for axis, lines in ((ax.yaxis, rows), (ax.xaxis, columns)):
        count = len(lines.order)
        if count <= _LABELLED:
            names = [str(lines.labels[at]) for at in lines.order]
            turned = axis is ax.xaxis and max(map(len, names)) > 3
            axis.set_ticks(np.arange(count) + 0.5, names, rotation=90 if turned else 0)
        else:
            axis.set_major_locator(MaxNLocator(6, integer=True))
            axis.set_major_formatter(FuncFormatter(lambda value, _: grouped(value)))
        by_cluster = ", by cluster" if lines.clusters is not None else ""
        axis.set_label_text(f"{grouped(count)} {lines.word}s{by_cluster}", fontsize=TEXT_SIZE)
    if rows.clusters is not None:
        for edge in np.flatnonzero(np.diff(_codes(rows.clusters))) + 1:
            ax.axhline(float(edge), color=INK, lw=0.6, zorder=2)
        _draw_cluster_strip(ax, rows.clusters)
    if columns.clusters is not None:
        for edge in np.flatnonzero(np.diff(_codes(columns.clusters))) + 1:
            ax.axvline(float(edge), color=INK, lw=0.6, zorder=2)
    if not first:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)


def _draw_cluster_strip(ax: Axes, clusters: NDArray[Any]) -> None:
    """Draw the colours of the rows' clusters as a strip along the left edge."""
    codes = _codes(clusters)
    palette = np.array([to_rgb(color) for color in component_colors(int(codes.max()) + 1)])
    strip = ax.inset_axes((-0.028, 0, 0.02, 1))
    strip.imshow(palette[codes][:, None], aspect="auto", interpolation="nearest")
    strip.set_axis_off()
    strip.set_label("_clusters")
    ax.tick_params(axis="y", pad=10)


def _codes(clusters: NDArray[Any]) -> NDArray[np.intp]:
    """Clusters as positions of colours: integers as they are, anything else numbered."""
    if np.issubdtype(clusters.dtype, np.integer) and clusters.min() >= 0:
        return clusters.astype(np.intp)
    return np.unique(clusters, return_inverse=True)[1].astype(np.intp)


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _legend(size: tuple[int, int], incomplete: bool, with_std: bool) -> str:
    """Say what hatching and blocks mean."""
    plain = "; plain grey among the deviations: observed" if with_std else ""
    if size == (1, 1):
        return "hatched: missing" + plain
    cells = f"{size[0]} × {size[1]} cells"
    faded = "; paler: fewer of them observed; hatched: none" if incomplete else ""
    return f"each pixel is the mean of {cells}{faded}{plain}"
