"""A mixture over its data: rings of responsibilities, outlines, means and deviations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mixmend.errors import DataError
from mixmend.plots import line, plane
from mixmend.plots.outlines import full_covariances
from mixmend.plots.palette import component_colors
from mixmend.plots.points import Points, choose_points
from mixmend.plots.style import axes_or_new, new_figure, set_title

Array = NDArray[np.float64]


class MixtureView(NamedTuple):
    """What there is to draw of a mixture that was fitted to some data.

    Attributes
    ----------
    means : array-like, shape (K, d)
    covariances : array-like
        Variances, shape (K,) or (K, d), or covariances, shape (K, d, d) or (d, d).
    weights : array-like, shape (K,)
    post : array-like, shape (n, K), or None
        Responsibilities of the components for the rows; None draws all points grey.
    """

    means: Any
    covariances: Any
    weights: Any
    post: Any


def plot_mixture(
    X: Any,
    means: ArrayLike,
    covariances: ArrayLike,
    weights: ArrayLike,
    post: ArrayLike | None,
    title: str | None = None,
    ax: Axes | None = None,
    *,
    columns: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    covariance_type: str | None = None,
    deviations: Sequence[float] = (1.0, 2.0),
    annotate: bool = True,
    colors: Sequence[str] | None = None,
    radius: float | None = None,
    max_points: int = 20_000,
) -> Axes:
    """Draw data and a mixture: every point a ring whose arcs are its responsibilities.

    Each component is drawn as the circle or ellipse at one (solid) and two (dashed) standard
    deviations, its number at its mean, and its mean, standard deviation and weight written
    beside it. Rings have a size in points: they are round at any scale of the data. Where the
    two columns' scales allow it, both axes have the same unit, so that circles are round too.

    A point of which only one coordinate was observed stands in the grey strip along that
    coordinate's axis; rows that cannot be drawn are counted under the picture. One column is
    drawn on a line, under the density of the mixture.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,), or ObservedMatrix
        The data; NaN (or masked) is missing.
    means : array-like, shape (K, d)
    covariances : array-like
        Variances, shape (K,) (spherical) or (K, d) (diagonal), or covariances, shape
        (K, d, d) (full) or (d, d) (tied), in squared units of the data.
    weights : array-like, shape (K,)
        Mixing weights.
    post : array-like, shape (n, K), or None
        Responsibilities; rows sum to 1. None draws all points grey.
    title : str, optional
    ax : matplotlib Axes, optional
        Where to draw; by default a figure of its own.
    columns : one or two int, optional
        The columns drawn, by position; the first two by default. Means and deviations are
        those of the components' marginals there.
    labels : sequence of str, length d, optional
        Names of the columns; those of an ObservedMatrix or data frame by default.
    covariance_type : {"spherical", "diag", "tied", "full"}, optional
        What ``covariances`` are, where their shape leaves it open.
    deviations : sequence of float
        At how many standard deviations outlines are drawn; the first one is solid.
    annotate : bool
        Whether means, standard deviations and weights are written beside the components.
    colors : sequence of str, length K, optional
        By default `component_colors`.
    radius : float, optional
        Of the rings, in points (1/72 inch); by default smaller the more points there are.
    max_points : int
        More rows than this are thinned evenly at random, and the picture says so.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    DataError
        Where shapes do not fit together, responsibilities do not sum to 1, or data, means or
        covariances are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import mixmend as mm
    >>> X = np.array([[0.0, 0.0], [1.0, 0.0], [8.0, 9.0], [9.0, np.nan]])
    >>> post = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.0, 1.0]])
    >>> ax = mm.plots.plot_mixture(X, [[0.5, 0], [8.5, 9]], [1.0, 2.0], [0.5, 0.5], post)
    >>> print(ax.get_xlabel())
    column 0
    in the grey: 1 without column 1 (below)
    """
    drawing = _Drawing(
        X,
        MixtureView(means, covariances, weights, post),
        columns=columns,
        labels=labels,
        covariance_type=covariance_type,
        colors=colors,
        max_points=max_points,
    )
    axes = axes_or_new(ax)
    set_title(axes, title)
    drawing.draw([axes], [drawing], deviations, annotate, radius)
    return axes


def plot_kmeans_and_em(
    X: Any,
    kmeans: MixtureView | Sequence[Any],
    em: MixtureView | Sequence[Any],
    titles: Sequence[str] = ("K-means", "EM"),
    figure: Figure | None = None,
    *,
    columns: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    deviations: Sequence[float] = (1.0, 2.0),
    annotate: bool = True,
    radius: float | None = None,
    max_points: int = 20_000,
) -> Figure:
    """Draw K-means and EM on the same data side by side, on the same scale.

    A component has the same colour in both pictures: EM's components take the colours of
    the clusters with which they share most rows.

    Parameters
    ----------
    X : array-like, shape (n, d) or (n,), or ObservedMatrix
        The data; NaN (or masked) is missing.
    kmeans, em : MixtureView
        The mixture fitted to K-means' clusters, and EM's: means, covariances, weights and
        responsibilities, each as `plot_mixture` takes them.
    titles : two str
        Over the left and the right picture.
    figure : matplotlib Figure, optional
        Where to draw; by default a new one.
    columns, labels, deviations, annotate, radius, max_points : optional
        As for `plot_mixture`.

    Returns
    -------
    matplotlib Figure
        Its two axes are those of K-means and of EM.

    Raises
    ------
    DataError
        As `plot_mixture`, and where one of the two has no responsibilities.
    """
    views = (MixtureView(*kmeans), MixtureView(*em))
    if any(view.post is None for view in views):
        raise DataError("both mixtures need responsibilities (post) to share their colours.")
    left_colors, right_colors = matched_colors(views[0].post, views[1].post)
    drawings = [
        _Drawing(
            X,
            view,
            columns=columns,
            labels=labels,
            covariance_type=None,
            colors=colors,
            max_points=max_points,
        )
        for view, colors in zip(views, (left_colors, right_colors), strict=True)
    ]
    canvas = new_figure(12.0, 5.6) if figure is None else figure
    both = [axes_or_new(axes) for axes in canvas.subplots(1, 2)]
    for axes, title in zip(both, titles, strict=True):
        set_title(axes, title)
    drawings[0].draw(both, drawings, deviations, annotate, radius)
    return canvas


def matched_colors(first: ArrayLike, second: ArrayLike) -> tuple[list[str], list[str]]:
    """Colours for two sets of responsibilities for the same rows, alike where rows are shared.

    Parameters
    ----------
    first, second : array-like, shapes (n, K) and (n, L)

    Returns
    -------
    lists of str, of lengths K and L
    """
    from scipy.optimize import linear_sum_assignment

    here, there = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if here.ndim != 2 or there.ndim != 2 or len(here) != len(there):
        raise DataError(
            "the responsibilities of both mixtures must be matrices with a row per row of X; "
            f"got shapes {here.shape} and {there.shape}."
        )
    K, L = here.shape[1], there.shape[1]
    palette = component_colors(max(K, L))
    mine, theirs = linear_sum_assignment(here.T @ there, maximize=True)
    pairs = dict(zip(theirs.tolist(), mine.tolist(), strict=True))
    spare = iter([k for k in range(max(K, L)) if k not in pairs.values()])
    return palette[:K], [palette[pairs[k] if k in pairs else next(spare)] for k in range(L)]


class _Drawing:
    """Checked points and components of one picture, in the columns that are drawn."""

    points: Points

    def __init__(
        self,
        X: Any,
        view: MixtureView,
        *,
        columns: Sequence[int] | None,
        labels: Sequence[str] | None,
        covariance_type: str | None,
        colors: Sequence[str] | None,
        max_points: int,
    ) -> None:
        means = np.asarray(view.means, dtype=np.float64)
        if means.ndim == 1:
            means = means[:, None]
        weights = np.asarray(view.weights, dtype=np.float64)
        K = len(means)
        self.points = choose_points(X, view.post, K, columns, labels, max_points)
        d = self.points.n_columns
        if means.shape != (K, d) or not np.isfinite(means).all():
            raise DataError(
                f"means must be finite, one row per component and one column per column of X "
                f"({d}); got shape {means.shape}."
                if means.shape != (K, d)
                else "means must be finite."
            )
        if weights.shape != (K,):
            raise DataError(
                f"weights must hold one number per component ({K}); got shape {weights.shape}."
            )
        full, spherical = full_covariances(view.covariances, K, d, covariance_type)
        chosen = list(self.points.columns)
        palette = component_colors(K) if colors is None else list(colors)
        if len(palette) != K:
            raise DataError(f"colors must hold one per component ({K}); got {len(palette)}.")
        self.components = plane.Components(
            means[:, chosen],
            full[:, chosen][:, :, chosen],
            weights,
            spherical or len(chosen) == 1,
            palette,
        )
        self.ring_colors = palette if view.post is not None else ["#8A9099"]

    def draw(
        self,
        axes: Sequence[Axes],
        drawings: Sequence[_Drawing],
        deviations: Sequence[float],
        annotate: bool,
        radius: float | None,
    ) -> None:
        draw = line.draw if len(self.points.columns) == 1 else plane.draw
        draw(
            axes,
            [drawing.points for drawing in drawings],
            [drawing.components for drawing in drawings],
            [drawing.ring_colors for drawing in drawings],
            deviations,
            annotate,
            radius,
        )
