"""What all pictures share: where they are drawn, and how axes look."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from mixmend.plots.palette import GREY, PAPER

TITLE_SIZE = 11.0
TEXT_SIZE = 9.0
SMALL_SIZE = 8.0


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of its own, ``width`` × ``height`` inches, outside pyplot's state."""
    return Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)


def axes_or_new(ax: Axes | None, width: float = 7.0, height: float = 5.6) -> Axes:
    """``ax``, or the axes of a new figure where none was given."""
    axes = new_figure(width, height).add_subplot() if ax is None else ax
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=SMALL_SIZE)
    axes.xaxis.label.set_fontsize(TEXT_SIZE)
    axes.yaxis.label.set_fontsize(TEXT_SIZE)
    return axes


def set_title(ax: Axes, title: str | None) -> None:
    """Write a title over the left edge, where one was given."""
    if title is not None:
        ax.set_title(title, loc="left", fontsize=TITLE_SIZE)


def add_note(ax: Axes, notes: Sequence[str]) -> None:
    """Say under the x-axis what the picture leaves out or does not show by itself."""
    if notes:
        ax.set_xlabel("\n".join([ax.get_xlabel(), *notes]).lstrip("\n"))


def halo(width: float = 2.5) -> list[AbstractPathEffect]:
    """Return a white rim that keeps text and lines legible over whatever lies beneath."""
    return [withStroke(linewidth=width, foreground=PAPER)]


def settle(ax: Axes) -> None:
    """Work out the layout now, so that positions in pixels can be asked for."""
    figure = ax.get_figure(root=True)
    if figure is not None:
        figure.draw_without_rendering()
