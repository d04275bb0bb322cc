"""Two columns of a mixture and its data in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from mixmend.plots.labels import Box
from mixmend.plots.numbers import grouped, mean_and_deviation, plain, tuple_of
from mixmend.plots.outlines import correlation, outline, points_along
from mixmend.plots.palette import PAPER, dark
from mixmend.plots.points import Points
from mixmend.plots.rings import draw_rings, ring_radius
from mixmend.plots.style import SMALL_SIZE, add_note, halo, settle
from mixmend.plots.writing import pixels_of, write_beside

Array = NDArray[np.float64]

_STRIP = 0.055  # of the axes, for points of which one coordinate is missing
_MOST_UNEQUAL = 6.0  # spans further apart than this are not drawn to the same unit


class Components(NamedTuple):
    """Components in the columns that are drawn.

    Attributes
    ----------
    means : ndarray, shape (K, q)
    covariances : ndarray, shape (K, q, q)
    weights : ndarray, shape (K,)
    spherical : bool
        Whether one standard deviation says it all.
    colors : list of str, length K
    """

    means: Array
    covariances: Array
    weights: Array
    spherical: bool
    colors: list[str]


def draw(
    axes: Sequence[Axes],
    points: Sequence[Points],
    components: Sequence[Components],
    ring_colors: Sequence[Sequence[str]],
    deviations: Sequence[float],
    annotate: bool,
    radius: float | None,
) -> None:
    """Draw one or more mixtures, each on its axes, all on one scale."""
    low, high = _limits(points, components, deviations)
    for ax, data in zip(axes, points, strict=True):
        ax.set(xlabel=data.names[0], ylabel=data.names[1])
        add_note(ax, _about_strips(data) + data.notes)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    settle(axes[0])
    _share_unit(axes, low, high)
    for ax, data, parts, colors in zip(axes, points, components, ring_colors, strict=True):
        size = ring_radius(len(data.values)) if radius is None else radius
        _draw_points(ax, data, colors, size)
        _draw_outlines(ax, parts, deviations)
        if annotate:
            _write_labels(ax, data, parts, deviations)


def description(components: Components, k: int) -> str:
    """Mean, standard deviation and weight of a component, as written beside it."""
    deviations = np.sqrt(np.diagonal(components.covariances[k]))
    written = [
        mean_and_deviation(float(mean), float(deviation))
        for mean, deviation in zip(components.means[k], deviations, strict=True)
    ]
    mean = f"{k}: μ = " + tuple_of(mean for mean, _ in written)
    weight = f"p = {float(components.weights[k]):.2f}"
    if components.spherical:
        return f"{mean}\nσ = {written[0][1]}, {weight}"
    spread = "σ = " + tuple_of(deviation for _, deviation in written)
    rho = correlation(components.covariances[k])
    if rho != 0:
        weight = f"ρ = {plain(rho, 2)}, {weight}"
    return f"{mean}\n{spread}\n{weight}"


# ---------------------------------------------------------------------- the scale


def _limits(
    points: Sequence[Points], components: Sequence[Components], deviations: Sequence[float]
) -> tuple[Array, Array]:
    """Corners that hold all data, all means and, unless they are far out, the outlines."""
    inside = np.concatenate(
        [data.values for data in points] + [parts.means for parts in components]
    )
    low, high = np.nanmin(inside, axis=0), np.nanmax(inside, axis=0)
    room = 0.35 * (high - low)
    first = min(deviations, default=0.0)
    for parts in components:
        spread = first * np.sqrt(np.diagonal(parts.covariances, axis1=1, axis2=2))
        spread = np.where(room > 0, np.minimum(spread, room), spread)
        low = np.minimum(low, (parts.means - spread).min(axis=0))
        high = np.maximum(high, (parts.means + spread).max(axis=0))
    flat = high <= low
    size = np.where(flat, np.maximum(np.abs(low), 1.0) * 1e-3, high - low)
    low, high = low - 0.06 * size, high + 0.06 * size
    size = high - low
    for axis in range(2):  # room for the strip in which the other coordinate is missing
        if any(np.isnan(data.values[:, axis]).any() for data in points):
            low[axis] -= size[axis] * _STRIP / (1 - _STRIP)
    return low, high


def _share_unit(axes: Sequence[Axes], low: Array, high: Array) -> None:
    """Give both axes the same unit where that leaves neither column squeezed to a line."""
    spans = high - low
    box = axes[0].get_window_extent()
    unit = spans / [box.width, box.height]
    if unit.max() > _MOST_UNEQUAL * unit.min():
        return
    grow = (unit.max() / unit - 1) * spans / 2
    for ax in axes:
        ax.set(
            xlim=(low[0] - grow[0], high[0] + grow[0]),
            ylim=(low[1] - grow[1], high[1] + grow[1]),
        )
        # the limits fit the box already: nothing moves until the figure changes its shape
        ax.set_aspect("equal", adjustable="box")


# ---------------------------------------------------------------------- what is drawn


def _draw_points(ax: Axes, data: Points, colors: Sequence[str], radius: float) -> None:
    x, y = data.values.T
    alpha = 0.95 if len(x) <= 2000 else 0.75
    both = ~np.isnan(x) & ~np.isnan(y)
    draw_rings(ax, x[both], y[both], data.post[both], colors, radius=radius, alpha=alpha)
    for missing, along in ((np.isnan(x), 1), (np.isnan(y), 0)):
        if not missing.any():
            continue
        width, height = (_STRIP, 1.0) if along else (1.0, _STRIP)
        strip = Rectangle(
            (0, 0), width, height, transform=ax.transAxes, color="#EBEDF0", lw=0, zorder=0.5
        )
        strip.set_label("_missing " + "xy"[1 - along])
        ax.add_patch(strip)
        across = np.full(int(missing.sum()), _STRIP / 2)
        known = (y if along else x)[missing]
        transform = (
            blended_transform_factory(ax.transAxes, ax.transData)
            if along
            else blended_transform_factory(ax.transData, ax.transAxes)
        )
        draw_rings(
            ax,
            across if along else known,
            known if along else across,
            data.post[missing],
            colors,
            radius=radius,
            transform=transform,
            alpha=alpha,
        )


def _about_strips(data: Points) -> list[str]:
    """Say what the grey strips hold."""
    counts = np.isnan(data.values).sum(axis=0)
    said = [
        f"{grouped(int(count))} without {name} ({where})"
        for count, name, where in zip(counts, data.short_names, ("left", "below"), strict=True)
        if count
    ]
    return ["in the grey: " + ", ".join(said)] if said else []


def _draw_outlines(ax: Axes, parts: Components, deviations: Sequence[float]) -> None:
    for k, color in enumerate(parts.colors):
        for order, how_many in enumerate(deviations):
            patch = PathPatch(
                outline(parts.means[k], parts.covariances[k], how_many),
                facecolor="none",
                edgecolor=dark(color),
                linewidth=2.0 if order == 0 else 1.1,
                linestyle="-" if order == 0 else (0, (4, 2.5)),
                path_effects=halo(3.6 if order == 0 else 2.2),
                zorder=3.0,
            )
            patch.set_label(f"_outline {k} at {how_many:g}")
            ax.add_patch(patch)
        ax.text(
            float(parts.means[k, 0]),
            float(parts.means[k, 1]),
            str(k),
            color=PAPER,
            fontsize=SMALL_SIZE,
            fontweight="bold",
            ha="center",
            va="center",
            clip_on=True,
            zorder=5.0,
            bbox={
                "boxstyle": "circle,pad=0.22",
                "facecolor": dark(color),
                "edgecolor": PAPER,
                "linewidth": 1.2,
            },
        )


def _write_labels(ax: Axes, data: Points, parts: Components, deviations: Sequence[float]) -> None:
    to_pixels = pixels_of(ax)
    drawn = [
        to_pixels(points_along(mean, covariance, how_many))
        for how_many in (deviations or (1.0,))
        for mean, covariance in zip(parts.means, parts.covariances, strict=True)
    ]
    box = ax.get_window_extent()
    strip = [_STRIP if np.isnan(column).any() else 0.0 for column in data.values.T]
    write_beside(
        ax,
        [description(parts, k) for k in range(len(parts.means))],
        parts.colors,
        drawn[: len(parts.means)],
        to_pixels(parts.means),
        Box(
            box.x0 + 2 + strip[0] * box.width,
            box.y0 + 2 + strip[1] * box.height,
            box.x1 - 2,
            box.y1 - 2,
        ),
        to_pixels(data.values),
        np.concatenate(drawn),
    )
