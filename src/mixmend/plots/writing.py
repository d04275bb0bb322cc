"""Labels written beside what they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mixmend.plots.labels import Box, place
from mixmend.plots.palette import PAPER, readable
from mixmend.plots.style import SMALL_SIZE, halo

Array = NDArray[np.float64]

_FONT: dict[str, Any] = {"fontsize": SMALL_SIZE, "linespacing": 1.15}
_AIR = 14.0  # pixels between an outline and its label from which a line joins them


def write_beside(
    ax: Axes,
    texts: Sequence[str],
    colors: Sequence[str],
    outlines: Sequence[Array],
    centres: Array,
    frame: Box,
    points: Array,
    lines: Array,
) -> None:
    """Write each text beside its outline; positions are pixels, as `labels.place` takes them.

    The labels hang on the outlines in the units of the data: they stay beside them when the
    limits change later.
    """
    sizes = np.array([_size(ax, text) for text in texts]).reshape(-1, 2)
    placements = place(outlines, centres, sizes, frame, points, lines)
    points_per_pixel = 72.0 / ax.figure.dpi
    to_data = ax.transData.inverted().transform
    for text, color, placed in zip(texts, colors, placements, strict=True):
        ink = readable(color)
        left, bottom, right, top = placed.box
        middle = np.array([left + right, bottom + top]) / 2
        where: dict[str, Any] = {
            "xy": tuple(to_data(placed.anchor)),
            "xytext": tuple((middle - placed.anchor) * points_per_pixel),
            "textcoords": "offset points",
            "annotation_clip": False,
        }
        edge = np.clip(placed.anchor, (left, bottom), (right, top))  # the label's nearest point
        if np.hypot(*(edge - placed.anchor)) > _AIR:
            tail = tuple((edge - placed.anchor) * points_per_pixel)
            line = {"arrowstyle": "-", "color": ink, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", **(where | {"xytext": tail}), arrowprops=line, zorder=5.5)
        ax.annotate(
            text,
            **where,
            **_FONT,
            ha="center",
            va="center",
            color=ink,
            path_effects=halo(2.0),
            bbox={"boxstyle": "round,pad=0.15", "facecolor": PAPER, "alpha": 0.78, "lw": 0},
            zorder=6.0,
        )


def pixels_of(ax: Axes) -> Callable[[Array], Array]:
    """Return what takes positions in the data's units to pixels."""
    return lambda positions: np.asarray(ax.transData.transform(positions), dtype=np.float64)


def _size(ax: Axes, text: str) -> tuple[float, float]:
    """Width and height of a label in pixels, its margin included."""
    trial = ax.text(0.5, 0.5, text, **_FONT, transform=ax.transAxes)
    extent = trial.get_window_extent()
    trial.remove()
    return extent.width + 4, extent.height + 4
