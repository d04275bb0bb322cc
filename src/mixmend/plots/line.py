"""One column of a mixture and its data on a line, under the mixture's density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from mixmend.plots.labels import Box
from mixmend.plots.palette import FAINT, GREY, dark
from mixmend.plots.plane import Components, description
from mixmend.plots.points import Points
from mixmend.plots.rings import draw_rings, ring_radius
from mixmend.plots.style import add_note, settle
from mixmend.plots.writing import pixels_of, write_beside

Array = NDArray[np.float64]

_STRIP = 0.15  # of the axes, at the foot, for the points
_BAR = 0.017  # of the axes, for the bar of each component
_STEP = (5**0.5 - 1) / 2  # the golden section: even, and never in line with the data


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
    grid = np.linspace(low, high, 1200)
    heights = []
    for ax, data, parts in zip(axes, points, components, strict=True):
        ax.set(xlabel=data.names[0], ylabel="density", xlim=(low, high))
        add_note(ax, data.notes)
        heights.append(_draw_density(ax, data.values[:, 0], parts, grid))
    top = 1.18 * max(heights)
    strip = max(_strip(len(parts.means)) for parts in components)
    for ax, parts in zip(axes, components, strict=True):
        ax.set_ylim(-top * strip / (1 - strip), top)
        ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
        ax.axhline(0, color=GREY, lw=0.8, zorder=1)
        _draw_spreads(ax, parts, deviations, strip)
    settle(axes[0])
    for ax, data, parts, colors in zip(axes, points, components, ring_colors, strict=True):
        x = data.values[:, 0]
        jitter = (np.arange(len(x)) * _STEP) % 1.0 if len(x) > 40 else np.full(len(x), 0.5)
        draw_rings(
            ax,
            x,
            np.asarray(_STRIP * (0.10 + 0.80 * jitter)),
            data.post,
            colors,
            radius=ring_radius(len(x)) if radius is None else radius,
            transform=blended_transform_factory(ax.transData, ax.transAxes),
            alpha=0.95 if len(x) <= 2000 else 0.75,
        )
        if annotate:
            _write_labels(ax, parts, grid)


def _limits(
    points: Sequence[Points], components: Sequence[Components], deviations: Sequence[float]
) -> tuple[float, float]:
    values = np.concatenate([data.values[:, 0] for data in points])
    edges = [values]
    widest = max(deviations, default=1.0)
    for parts in components:
        spread = widest * np.sqrt(parts.covariances[:, 0, 0])
        edges += [parts.means[:, 0] - spread, parts.means[:, 0] + spread]
    every = np.concatenate(edges)
    low, high = float(every.min()), float(every.max())
    room = 0.03 * (high - low) if high > low else 1e-3 * max(abs(low), 1.0)
    return low - room, high + room


def _draw_density(ax: Axes, x: Array, parts: Components, grid: Array) -> float:
    """Draw the mixture's density, its components' shares of it, and the data's histogram."""
    height = 0.0
    if len(x) >= 30:
        n_bins = int(np.clip(2 * len(x) ** (1 / 3), 10, 80))
        counts, _, _ = ax.hist(
            x, bins=n_bins, density=True, color="#ECEEF1", edgecolor=FAINT, lw=0.5, zorder=0.8
        )
        height = float(np.max(counts))
    shares = [_share(parts, k, grid) for k in range(len(parts.means))]
    total = np.nansum(shares, axis=0)
    if len(shares) > 1:
        ax.plot(grid, total, color="#9AA0A8", lw=3.4, zorder=1.8, label="_mixture")
    for k, (share, color) in enumerate(zip(shares, parts.colors, strict=True)):
        visible = np.where(share > 2e-3 * total.max(), share, np.nan)
        ax.fill_between(grid, visible, color=color, alpha=0.14, lw=0, zorder=1.5)
        ax.plot(grid, visible, color=color, lw=1.7, zorder=2.2, label=f"_component {k}")
    return max(height, float(total.max())) or 1.0


def _draw_spreads(ax: Axes, parts: Components, deviations: Sequence[float], top: float) -> None:
    """Mean and standard deviations of each component as a bar of its own, under the density."""
    transform = blended_transform_factory(ax.transData, ax.transAxes)
    for k, (mean, color) in enumerate(zip(parts.means[:, 0], parts.colors, strict=True)):
        deviation = parts.covariances[k, 0, 0] ** 0.5
        level = top - _BAR * (k + 1)
        for order, how_many in enumerate(deviations):
            ax.plot(
                [mean - how_many * deviation, mean + how_many * deviation],
                [level, level],
                transform=transform,
                color=color,
                lw=3.6 if order == 0 else 1.3,
                solid_capstyle="butt",
                zorder=2.6,
                label=f"_spread {k} at {how_many:g}",
            )
        ax.plot(mean, level, "|", transform=transform, color=dark(color), ms=8, mew=2, zorder=2.8)


def _strip(K: int) -> float:
    """Share of the axes under the density: bars of the components, then the points."""
    return _STRIP + _BAR * (K + 1)


def _share(parts: Components, k: int, x: Array) -> Array:
    """Weight times density of a component."""
    density: Array = parts.weights[k] * _normal(x, parts.means[k, 0], parts.covariances[k, 0, 0])
    return density


def _normal(x: Array, mean: float, variance: float) -> Array:
    if variance <= 0:
        return np.full_like(x, np.nan)  # a spike has no height to draw
    density: Array = np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    return density


def _write_labels(ax: Axes, parts: Components, grid: Array) -> None:
    """Labels beside the tops of the components' curves."""
    to_pixels = pixels_of(ax)
    curves, tops = [], []
    total = np.zeros_like(grid)
    for k, (mean,) in enumerate(parts.means):
        share = np.nan_to_num(_share(parts, k, grid))
        total += share
        curves.append(to_pixels(np.column_stack([grid, share])))
        tops.append(to_pixels(np.array([mean, share.max()])))
    around = np.array([(-5.0, 0.0), (5.0, 0.0), (0.0, 5.0), (0.0, -2.0)])
    box = ax.get_window_extent()
    floor = float(to_pixels(np.zeros(2))[1])
    write_beside(
        ax,
        [description(parts, k) for k in range(len(parts.means))],
        parts.colors,
        [top + around for top in tops],
        np.array(tops),
        Box(box.x0 + 2, floor + 4, box.x1 - 2, box.y1 - 2),
        np.empty((0, 2)),
        np.concatenate([*curves, to_pixels(np.column_stack([grid, total]))]),
    )
