"""Points drawn as small rings whose arcs are their responsibilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform, Transform
from numpy.typing import NDArray

Array = NDArray[np.float64]

# An arc below a thousandth of the ring is a few hundredths of a pixel long.
LEAST_SHARE = 1e-3
_SEGMENTS = 40  # of a full ring: chords depart from the circle by 0.3 % of its radius
_HOLE = 0.55


class Arcs:
    """Arcs of all rings: paths about the origin, with radius 1, and whose they are.

    Attributes
    ----------
    paths : list of Path
        Annular sectors, from 12 o'clock and clockwise in the order of the components.
    points : ndarray of int, shape (n_arcs,)
        The point that each arc belongs to; increasing.
    components : ndarray of int, shape (n_arcs,)
        The component whose responsibility the arc shows.
    shares : ndarray, shape (n_arcs,)
        The share of the full turn; they sum to 1 over the arcs of a point.
    """

    def __init__(self, post: Array, hole: float = _HOLE) -> None:
        shares = visible_shares(post)
        ends = np.cumsum(shares, axis=1)
        self.points, self.components = np.nonzero(shares)
        self.shares = shares[self.points, self.components]
        stop = ends[self.points, self.components]
        self.paths = _sectors(stop - self.shares, stop, hole)


def visible_shares(post: Array) -> Array:
    """Responsibilities with what is too small to see given to the point's largest one.

    Parameters
    ----------
    post : ndarray, shape (n, K)
        Rows sum to 1.

    Returns
    -------
    ndarray, shape (n, K)
        Rows sum to 1; each number is 0 or at least 0.001.
    """
    kept = np.where(post >= LEAST_SHARE, post, 0.0)
    rows = np.arange(len(post))
    largest = post.argmax(axis=1)
    kept[rows, largest] = 0.0
    kept[rows, largest] = 1.0 - kept.sum(axis=1)
    return kept


def draw_rings(
    ax: Axes,
    x: Array,
    y: Array,
    post: Array,
    colors: Sequence[str],
    *,
    radius: float,
    transform: Transform | None = None,
    alpha: float = 1.0,
) -> PathCollection:
    """Draw one ring per point, in one collection, in the order of the points.

    Parameters
    ----------
    ax : Axes
    x, y : ndarray, shape (n,)
        Where the rings' centres are, in the units of ``transform``.
    post : ndarray, shape (n, K)
        Responsibilities; rows sum to 1.
    colors : sequence of str, length K
    radius : float
        Outer radius in points (1/72 inch): rings are round and equally large whatever the
        scale of the data and the shape of the axes.
    transform : Transform, optional
        Of the centres; the data's by default.
    alpha : float
        Opacity, from 0 to 1.

    Returns
    -------
    PathCollection
    """
    arcs = Arcs(post)
    collection = PathCollection(
        arcs.paths,
        sizes=[radius**2],
        offsets=np.column_stack([x, y])[arcs.points],
        offset_transform=ax.transData if transform is None else transform,
        facecolors=np.array(colors)[arcs.components].tolist(),
        edgecolors="none",
        linewidths=0.0,
        alpha=alpha,
        zorder=2.0,
    )
    collection.set_transform(IdentityTransform())  # the paths themselves are not in data units
    collection.set_label("_rings")
    ax.add_collection(collection, autolim=False)
    return collection


def ring_radius(n: int) -> float:
    """Radius in points that keeps n rings apart: 4.3 for 250 points, 1.5 for 20 000."""
    return float(np.clip(4.3 * (250 / max(n, 1)) ** 0.25, 1.5, 6.0))


def _sectors(start: Array, stop: Array, hole: float) -> list[Path]:
    """Annular sectors between fractions of a turn, as paths, built together by their size."""
    paths: list[Path | None] = [None] * len(start)
    n_segments = np.maximum(2, np.ceil((stop - start) * _SEGMENTS).astype(int))
    for count in np.unique(n_segments):
        which = np.flatnonzero(n_segments == count)
        turn = start[which, None] + (stop - start)[which, None] * np.linspace(0, 1, count + 1)
        angle = 2 * np.pi * turn
        outer = np.stack([np.sin(angle), np.cos(angle)], axis=2)
        rim = np.concatenate([outer, hole * outer[:, ::-1], outer[:, :1]], axis=1)
        codes = np.full(rim.shape[1], Path.LINETO, dtype=Path.code_type)
        codes[0], codes[-1] = Path.MOVETO, Path.CLOSEPOLY
        for at, vertices in zip(which, rim, strict=True):
            paths[at] = Path(vertices, codes)
    return [path for path in paths if path is not None]
