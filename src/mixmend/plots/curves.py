"""Curves that help to choose and to trust: a criterion against K, coverage against its level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.plots.numbers import axis_number, grouped
from mixmend.plots.palette import FAINT, GREY, INK, component_colors, readable
from mixmend.plots.style import SMALL_SIZE, TEXT_SIZE, add_note, axes_or_new, halo, set_title

Array = NDArray[np.float64]

_SUMMARIES = ("best", "mean")


def plot_criterion(
    ks: ArrayLike,
    values: ArrayLike,
    chosen: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    larger_is_better: bool = False,
    summary: str = "best",
    name: str = "BIC",
) -> Axes:
    """Draw a criterion against the number of components, the chosen number marked.

    Every run is a dot, a bar spans the runs of one K, and the line joins their best (as for
    BIC over seeds) or their mean (as for scores over folds).

    Parameters
    ----------
    ks : array-like of int, shape (m,)
        Numbers of components.
    values : array-like, shape (m,) or (m, n_runs)
        The criterion for each K, and run (seed, fold) where there are several. NaN where a
        run has none; such runs are counted under the picture.
    chosen : int, optional
        The K that was chosen; by default the one whose summary is best.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own.
    larger_is_better : bool
        The direction: False for BIC as estimators report it, True for held-out
        log-likelihoods and for BIC as `mixmend.functional` reports it.
    summary : {"best", "mean"}
        What stands for the runs of one K.
    name : str
        What the criterion is called.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DataError
        Where shapes do not fit, a K has no value at all, or ``chosen`` is none of ``ks``.

    Examples
    --------
    >>> from mixmend.plots import plot_criterion
    >>> ax = plot_criterion([1, 2, 3], [[2631.0, 2631.0], [2390.1, 2391.4], [2338.5, 2400.2]])
    >>> [text.get_text() for text in ax.texts]
    ['K = 3']
    """
    counts, table = np.asarray(ks), np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if counts.ndim != 1 or len(counts) == 0 or table.ndim != 2 or len(table) != len(counts):
        raise DataError(
            f"values must have one row per K; got {np.asarray(values).shape} for ks of shape "
            f"{counts.shape}."
        )
    if summary not in _SUMMARIES:
        raise DataError(f"summary must be one of {', '.join(_SUMMARIES)}; got {summary!r}.")
    empty = np.isnan(table).all(axis=1)
    if empty.any():
        raise DataError(f"K = {counts[empty][0]} has no value: leave it out of ks.")
    order = np.argsort(counts, kind="stable")
    counts, table = counts[order], table[order]
    best: Callable[..., Any] = np.nanmax if larger_is_better else np.nanmin
    line = best(table, axis=1) if summary == "best" else np.nanmean(table, axis=1)
    if chosen is None:
        chosen = int(counts[int(line.argmax() if larger_is_better else line.argmin())])
    if chosen not in counts:
        raise DataError(f"chosen must be one of ks; got {chosen}.")
    at = int(np.flatnonzero(counts == chosen)[0])

    axes = axes_or_new(ax, 6.6, 4.4)
    set_title(axes, title)
    color = component_colors(2)[1]
    if table.shape[1] > 1:
        axes.vlines(
            counts, np.nanmin(table, axis=1), np.nanmax(table, axis=1), color=FAINT, lw=5, zorder=1
        )
        for run in table.T:
            axes.plot(counts, run, ls="none", marker=".", ms=5, color=GREY, alpha=0.8, zorder=2)
    axes.plot(counts, line, color=INK, lw=1.6, marker="o", ms=4.5, zorder=3, label="_line")
    axes.axvline(chosen, color=color, lw=1.0, ls=(0, (3, 2)), zorder=0.8)
    axes.plot(
        chosen, line[at], marker="o", ms=13, mfc="none", mec=color, mew=2.2, zorder=4, label="_best"
    )
    axes.annotate(
        f"K = {chosen}",
        (chosen, line[at]),
        xytext=(0, 11 if larger_is_better else -11),
        textcoords="offset points",
        ha="center",
        va="bottom" if larger_is_better else "top",
        color=readable(color),
        fontsize=TEXT_SIZE,
        fontweight="bold",
        path_effects=halo(),
        zorder=5,
    )
    axes.margins(y=0.13)  # the label stands on the far side of the best value
    direction = "larger" if larger_is_better else "smaller"
    many = {"best": "best of runs", "mean": "mean of runs"}[summary]
    axes.set(
        xlabel="number of components K",
        ylabel=f"{name}, {direction} is better" + (f" ({many})" if table.shape[1] > 1 else ""),
    )
    if len(counts) <= 16:
        axes.set_xticks(counts)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: axis_number(value)))
    axes.grid(axis="y", color=FAINT, lw=0.5, alpha=0.7)
    absent = int(np.isnan(table).sum())
    if absent:
        add_note(axes, [f"{absent} run{'s' if absent > 1 else ''} without a value: not drawn"])
    return axes


def plot_calibration(
    nominal: ArrayLike,
    coverage: ArrayLike | Mapping[str, ArrayLike],
    n_entries: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    level: float = 0.9,
) -> Axes:
    """Draw how often intervals hold what they promise: coverage against nominal level.

    On the diagonal, intervals are honest; below it they are too narrow, above it too wide.

    Parameters
    ----------
    nominal : array-like, shape (m,)
        Levels of the intervals, between 0 and 1.
    coverage : array-like, shape (m,), or mapping of name to such
        The share of held-out entries that fell inside, for one model or several.
    n_entries : int, optional
        How many held-out entries there were. Where given, a band shows within which honest
        intervals would cover in 95 of 100 draws of so many independent entries.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own.
    level : float
        The level whose coverage the legend says in numbers.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DataError
        Where shapes do not fit, or a level or a coverage is not within 0 and 1.

    Examples
    --------
    >>> from mixmend.plots import plot_calibration
    >>> ax = plot_calibration([0.5, 0.8, 0.9], {"MAP": [0.52, 0.81, 0.893]}, n_entries=950)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['MAP: 90 % intervals hold 89.3 %', '95 % of draws of 950 entries']
    """
    levels = _shares("nominal", nominal)
    named = coverage if isinstance(coverage, Mapping) else {"": coverage}
    axes = axes_or_new(ax, 5.6, 5.4)
    set_title(axes, title)
    axes.plot([0, 1], [0, 1], color=GREY, lw=1.0, ls=(0, (4, 3)), zorder=1)
    order = np.argsort(levels)
    for (name, given), color in zip(named.items(), component_colors(len(named)), strict=True):
        held = _shares(f"coverage of {name}" if name else "coverage", given)
        if held.shape != levels.shape:
            raise DataError(
                f"coverage must have one number per level ({len(levels)}); got {len(held)}."
            )
        x, y = levels[order], held[order]
        here = float(np.interp(level, [0.0, *x, 1.0], [0.0, *y, 1.0]))
        text = f"{100 * level:g} % intervals hold {100 * here:.1f} %"
        axes.plot(
            x,
            y,
            color=color,
            lw=1.9,
            marker="o",
            ms=4.5,
            mec="white",
            mew=0.7,
            label=f"{name}: {text}" if name else text,
            zorder=3,
        )
    if n_entries is not None:
        from scipy.stats import binom

        grid = np.linspace(0, 1, 401)
        low, high = (binom.ppf(tail, n_entries, grid) / n_entries for tail in (0.025, 0.975))
        axes.fill_between(
            grid,
            np.clip(low, 0, 1),
            np.clip(high, 0, 1),
            color=FAINT,
            alpha=0.6,
            lw=0,
            zorder=0.9,
            label=f"95 % of draws of {grouped(n_entries)} entries",
        )
    for right, height, text in ((True, 0.06, "too narrow"), (False, 0.70, "too wide")):
        axes.text(
            0.97 if right else 0.03,
            height,
            text,
            transform=axes.transAxes,
            ha="right" if right else "left",
            color=GREY,
            fontsize=SMALL_SIZE,
            style="italic",
        )
    axes.set(
        xlabel="nominal level of the intervals",
        ylabel="share of held-out entries inside",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.grid(color=FAINT, lw=0.5, alpha=0.7)
    axes.legend(loc="upper left", fontsize=SMALL_SIZE, framealpha=0.9, edgecolor=FAINT)
    return axes


def _shares(name: str, values: ArrayLike) -> Array:
    """Check a list of numbers between 0 and 1."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(f"{name} must be a list of numbers; got shape {array.shape}.")
    outside = ~((array >= 0) & (array <= 1))
    if outside.any():
        raise DataError(f"{name} must lie between 0 and 1; got {array[outside][0]}.")
    return array
