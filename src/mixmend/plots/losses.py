"""How a factor model learned: its errors on training and on validation entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mixmend.errors import DataError
from mixmend.plots.palette import FAINT, INK, component_colors
from mixmend.plots.style import SMALL_SIZE, TEXT_SIZE, axes_or_new, halo, set_title


def plot_losses(
    history: Sequence[Mapping[str, Any]],
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw training and validation errors at every evaluation, the best one marked.

    Parameters
    ----------
    history : sequence of mapping
        ``history_`` of a factor model: ``iteration``, ``train_rmse`` and, where there were
        validation entries, ``validation_rmse``.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DataError
        Where the history is empty.

    Examples
    --------
    >>> from mixmend.plots import plot_losses
    >>> steps = [{"iteration": i, "train_rmse": 1 / i, "validation_rmse": 1.0} for i in (1, 2)]
    >>> plot_losses(steps).get_ylabel()
    'root mean squared error'
    """
    if not history:
        raise DataError("there is nothing to draw: history holds no evaluation.")
    axes = axes_or_new(ax, 7.0, 4.4)
    set_title(axes, title)
    iterations = np.array([row["iteration"] for row in history])
    colors = component_colors(2)
    curves = [("train_rmse", "training", colors[0]), ("validation_rmse", "validation", colors[1])]
    for key, name, color in curves:
        if key not in history[0]:
            continue
        errors = np.array([row[key] for row in history])
        marker = "o" if len(errors) == 1 else None
        axes.plot(iterations, errors, color=color, lw=1.8, marker=marker, label=name)
        if key == "validation_rmse":
            best = int(errors.argmin())
            axes.plot(iterations[best], errors[best], "o", ms=7, color=color, mec="white", zorder=3)
            axes.annotate(
                f"{errors[best]:.4f} at step {iterations[best]}",
                (iterations[best], errors[best]),
                xytext=(0, 10),
                textcoords="offset points",
                ha="center",
                color=INK,
                fontsize=TEXT_SIZE,
                path_effects=halo(),
            )
    axes.set_xlabel("step")
    axes.set_ylabel("root mean squared error")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, lw=0.5, alpha=0.7)
    axes.margins(y=0.12)
    axes.legend(fontsize=SMALL_SIZE, frameon=True, framealpha=0.9, edgecolor=FAINT)
    return axes
