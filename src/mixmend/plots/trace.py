"""How runs of an algorithm went: the log-likelihood at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.plots.numbers import axis_number, grouped
from mixmend.plots.palette import FAINT, GREY, INK, component_colors
from mixmend.plots.style import SMALL_SIZE, axes_or_new, set_title

Array = NDArray[np.float64]

_SCALES = ("auto", "linear", "gap")
_NAMED = 8  # runs that the legend names; the rest are counted


class _Run(NamedTuple):
    name: str
    values: Array
    converged: bool | None


def plot_trace(
    history: Any,
    converged: bool | Sequence[bool] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    scale: str = "auto",
    name: str = "log-likelihood",
) -> Axes:
    """Draw the log-likelihood per step of one or several runs.

    The best run is drawn bold. A full circle marks where a run converged, a cross where it
    stopped without. The legend names the best eight runs with what they reached.

    Parameters
    ----------
    history : sequence of float, sequence of such sequences, or mapping of name to sequence
        The log-likelihood at each step, of one run or of several.
    converged : bool or sequence of bool, optional
        Whether each run converged; unmarked by default.
    labels : sequence of str, optional
        Names of the runs; "run 0", "run 1", … by default.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own.
    scale : {"auto", "linear", "gap"}
        "linear" draws the values; "gap" draws how far each falls short of the best value of
        all, on a logarithmic axis, which shows what happens late in runs that gain most in
        their first steps. "auto" takes "gap" where no run's later steps would take up a
        tenth of the linear picture.
    name : str
        What the values are.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DataError
        Where a run is empty or holds a value that is not finite, the number of labels or of
        marks does not fit, or ``scale`` is none of the three.

    Examples
    --------
    >>> from mixmend.plots import plot_trace
    >>> ax = plot_trace([[-90.0, -50.0, -49.0], [-95.0, -60.0]], converged=[True, False])
    >>> ax.get_xlabel()
    'step'
    """
    runs = _runs(history, converged, labels)
    if scale not in _SCALES:
        raise DataError(f"scale must be one of {', '.join(_SCALES)}; got {scale!r}.")
    best = max(float(run.values.max()) for run in runs)
    gap = scale == "gap" or (scale == "auto" and _starts_far_below(runs))
    positive = [float(g) for run in runs for g in best - run.values if g > 0]
    gap = gap and bool(positive)
    floor = 0.5 * min(positive, default=1.0)

    axes = axes_or_new(ax, 7.5, 4.8)
    set_title(axes, title)
    order = sorted(range(len(runs)), key=lambda r: -float(runs[r].values[-1]))
    colors = _colors(len(runs), order)
    for r in reversed(order):  # the best one on top
        _draw_run(axes, runs[r], colors[r], r == order[0], (best, floor) if gap else None)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, lw=0.5, alpha=0.7)
    if gap:
        axes.set_yscale("log")
        axes.set_ylabel(f"{name}: gap to the best, {_written(best)}")
        axes.axhline(floor, color=FAINT, lw=1.0, ls=(0, (2, 2)))
        axes.annotate(
            "0",
            (0, floor),
            xycoords=("axes fraction", "data"),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            color=GREY,
            fontsize=SMALL_SIZE,
        )
        axes.set_ylim(bottom=floor / 1.6)
    else:
        axes.set_ylabel(name)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: axis_number(value)))
    _add_legend(axes, [runs[r] for r in order], [colors[r] for r in order])
    return axes


def _runs(
    history: Any, converged: bool | Sequence[bool] | None, labels: Sequence[str] | None
) -> list[_Run]:
    if isinstance(history, Mapping):
        names = [str(key) for key in history] if labels is None else list(labels)
        series = list(history.values())
    else:
        series = list(history)
        if series and np.ndim(series[0]) == 0:
            series = [series]
        names = [f"run {r}" for r in range(len(series))] if labels is None else list(labels)
    if len(names) != len(series):
        raise DataError(f"labels must name every run ({len(series)}); got {len(names)}.")
    if isinstance(converged, bool | np.bool_):
        converged = [bool(converged)] * len(series)
    marks = [None] * len(series) if converged is None else [bool(mark) for mark in converged]
    if len(marks) != len(series):
        raise DataError(
            f"converged must say it for every run ({len(series)}); got {len(marks)} marks."
        )
    if not series:
        raise DataError("there is nothing to draw: history holds no run.")
    runs = []
    for name, values, mark in zip(names, series, marks, strict=True):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1 or array.size == 0:
            raise DataError(f"{name} must hold at least one step; got shape {array.shape}.")
        if not np.isfinite(array).all():
            step = int(np.flatnonzero(~np.isfinite(array))[0])
            raise DataError(f"{name} is not finite at step {step + 1}: {array[step]}.")
        runs.append(_Run(name, array, mark))
    return runs


def _starts_far_below(runs: Sequence[_Run]) -> bool:
    """Whether all that runs gain after their fifth step is a tenth of the range of all values."""
    late = [float(np.ptp(run.values[5:])) for run in runs if len(run.values) > 5]
    if not late:
        return False
    everything = np.concatenate([run.values for run in runs])
    return max(late) < 0.1 * float(np.ptp(everything))


def _colors(n_runs: int, order: Sequence[int]) -> list[str]:
    """One colour per run; beyond twelve, one for the best and grey for the others."""
    if n_runs <= 12:
        return component_colors(n_runs)
    return [component_colors(1)[0] if r == order[0] else "#A9AFB6" for r in range(n_runs)]


def _draw_run(ax: Axes, run: _Run, color: str, bold: bool, gap: tuple[float, float] | None) -> None:
    steps = np.arange(1, len(run.values) + 1)
    height = run.values if gap is None else np.maximum(gap[0] - run.values, gap[1])
    ax.plot(
        steps,
        height,
        color=color,
        lw=2.4 if bold else 1.2,
        marker="." if len(steps) == 1 else None,
        label=f"_{run.name}",
        zorder=2.5,
    )
    if run.converged is not None:
        ax.plot(
            steps[-1],
            height[-1],
            ls="none",
            marker="o" if run.converged else "X",
            ms=7 if bold else 5.5,
            color=color,
            mec="white",
            mew=0.8,
            label=f"_end of {run.name}",
            zorder=3.5,
            clip_on=False,
        )


def _add_legend(ax: Axes, runs: Sequence[_Run], colors: Sequence[str]) -> None:
    handles = []
    for place, (run, color) in enumerate(zip(runs[:_NAMED], colors, strict=False)):
        steps = f"{len(run.values)} step" + ("s" if len(run.values) != 1 else "")
        text = f"{run.name}: {_written(float(run.values[-1]))}, {steps}"
        handles.append(Line2D([], [], color=color, lw=2.4 if place == 0 else 1.2, label=text))
    if len(runs) > _NAMED:
        color = colors[-1] if len(runs) > 12 else GREY
        handles.append(Line2D([], [], color=color, lw=1.2, label=f"{len(runs) - _NAMED} more"))
    for marker, text, wanted in (("o", "converged", True), ("X", "not converged", False)):
        if any(run.converged is wanted for run in runs):
            handles.append(
                Line2D([], [], ls="none", marker=marker, color=INK, mec="white", label=text)
            )
    ax.legend(handles=handles, fontsize=SMALL_SIZE, frameon=True, framealpha=0.9, edgecolor=FAINT)


def _written(value: float) -> str:
    """Write a log-likelihood with thousands apart and about seven digits."""
    size = abs(value)
    decimals = 0 if size >= 1e6 else 1 if size >= 1e4 else 2 if size >= 10 else 4
    return grouped(value, decimals)
