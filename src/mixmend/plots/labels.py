"""Where the components' labels go: beside their outlines, off each other and off the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CELL = 4.0  # pixels; the grid on which covered points are counted
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_GAPS = (3.0, 14.0, 30.0, 55.0, 90.0, 135.0, 190.0)
_SWEEPS = 6
_STARTS = 8


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float


class Placement(NamedTuple):
    """Where one label went.

    Attributes
    ----------
    box : Box
        The label's rectangle.
    anchor : ndarray, shape (2,)
        The point of the outline that it stands beside.
    """

    box: Box
    anchor: Array


class Scenery:
    """What lies beneath the labels: how many points and lines each rectangle would cover."""

    def __init__(self, frame: Box, points: Array, lines: Array) -> None:
        self.frame = frame
        edges = [
            np.arange(low, high + _CELL, _CELL)
            for low, high in ((frame.left, frame.right), (frame.bottom, frame.top))
        ]
        # what counts is the share of the points that a label would hide
        ink = _counts(points, edges) * 400.0 / max(len(points), 40) + 0.1 * _counts(lines, edges)
        self._below = np.pad(ink.cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def covered(self, boxes: Array) -> Array:
        """Ink beneath each of the boxes, shape (m, 4)."""
        last = np.array(self._below.shape) - 1
        low = np.floor((boxes[:, :2] - [self.frame.left, self.frame.bottom]) / _CELL)
        high = np.ceil((boxes[:, 2:] - [self.frame.left, self.frame.bottom]) / _CELL)
        x0, y0 = np.clip(low, 0, last).astype(int).T
        x1, y1 = np.clip(high, 0, last).astype(int).T
        sums = self._below
        ink: Array = sums[x1, y1] - sums[x0, y1] - sums[x1, y0] + sums[x0, y0]
        return ink


def place(
    outlines: Sequence[Array],
    centres: Array,
    sizes: Array,
    frame: Box,
    points: Array,
    lines: Array,
) -> list[Placement]:
    """Find a place for every label, all in pixels.

    Each label tries 24 directions and seven distances around its own outline. Labels are
    placed in turn, the best place given the others, until none wants to move; of several
    orders the one that ends best counts. Overlapping another label costs most, then leaving
    the frame, covering a centre, points or outlines, and being far away.

    Parameters
    ----------
    outlines : sequence of ndarray, each of shape (m, 2)
        Points along the outline of each component.
    centres : ndarray, shape (K, 2)
        Their means.
    sizes : ndarray, shape (K, 2)
        Width and height of each label.
    frame : Box
        What the labels have to stay inside.
    points, lines : ndarray, shapes (n, 2) and (m, 2)
        What they had better not cover: the data, and points along drawn lines.

    Returns
    -------
    list of Placement, length K
    """
    scenery = Scenery(frame, points, lines)
    options = [
        _options(outline, centre, size)
        for outline, centre, size in zip(outlines, centres, sizes, strict=True)
    ]
    costs = [_own_cost(boxes, far, scenery, centres) for boxes, _, far in options]
    chosen = _settled([boxes for boxes, _, _ in options], costs, sizes)
    return [
        Placement(Box(*boxes[at].tolist()), anchors[at])
        for (boxes, anchors, _), at in zip(options, chosen, strict=True)
    ]


def _settled(boxes: list[Array], costs: list[Array], sizes: Array) -> list[int]:
    """Choose boxes by moving one label at a time, from several starts."""
    K = len(boxes)
    best, least = [int(cost.argmin()) for cost in costs], np.inf
    for start in range(_STARTS):
        order = np.random.default_rng(start).permutation(K)
        chosen = [int(cost.argmin()) for cost in costs]
        for _ in range(_SWEEPS):
            before = list(chosen)
            for k in order:
                clash = _clashes(boxes, chosen, int(k), boxes[k], float(np.prod(sizes[k])))
                chosen[k] = int((costs[k] + 60.0 * clash).argmin())
            if chosen == before:
                break
        total = 0.0
        for k in range(K):
            mine = boxes[k][chosen[k]][None]
            clash = _clashes(boxes, chosen, k, mine, float(np.prod(sizes[k])))
            total += float(costs[k][chosen[k]] + 30.0 * clash[0])
        if total < least:
            best, least = chosen, total
    return best


def _clashes(
    boxes: list[Array], chosen: list[int], k: int, candidates: Array, area: float
) -> Array:
    """How much, and how often, each candidate for label k overlaps the other labels."""
    others = np.array([boxes[j][chosen[j]] for j in range(len(boxes)) if j != k]).reshape(-1, 4)
    shared = _overlap(candidates, others)
    clash: Array = (shared / area + (shared > 0)).sum(axis=1)
    return clash


def _options(outline: Array, centre: Array, size: Array) -> tuple[Array, Array, Array]:
    """Boxes, the outline's points they stand beside, and how far from those they are."""
    directions = np.column_stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    # the outline's support in each direction, and half the label's
    reach = (outline - centre) @ directions.T
    touching = outline[reach.argmax(axis=0)]
    boxes, anchors, far = [], [], []
    for gap in _GAPS:
        middles = touching + directions * gap + np.sign(directions.round(9)) * size / 2
        boxes.append(np.hstack([middles - size / 2, middles + size / 2]))
        anchors.append(touching)
        far.append(np.full(len(directions), gap))
    return np.concatenate(boxes), np.concatenate(anchors), np.concatenate(far)


def _own_cost(boxes: Array, far: Array, scenery: Scenery, centres: Array) -> Array:
    frame = scenery.frame
    outside = (
        np.maximum(frame.left - boxes[:, 0], 0)
        + np.maximum(frame.bottom - boxes[:, 1], 0)
        + np.maximum(boxes[:, 2] - frame.right, 0)
        + np.maximum(boxes[:, 3] - frame.top, 0)
    )
    on_centre = (
        ((boxes[:, None, :2] < centres + 3) & (centres - 3 < boxes[:, None, 2:]))
        .all(axis=2)
        .sum(axis=1)
    )
    cost: Array = (
        30.0 * (outside > 0) + outside + 25.0 * on_centre + scenery.covered(boxes) + far / 20.0
    )
    return cost


def _overlap(boxes: Array, others: Array) -> Array:
    """Areas shared by boxes (a, 4) and others (b, 4), with two pixels of air: shape (a, b)."""
    low = np.maximum(boxes[:, None, :2], others[:, :2] - 2)
    high = np.minimum(boxes[:, None, 2:], others[:, 2:] + 2)
    area: Array = np.maximum(high - low, 0).prod(axis=2)
    return area


def _counts(points: Array, edges: list[Array]) -> Array:
    inside = points[np.isfinite(points).all(axis=1)]
    counts: Array = np.histogram2d(inside[:, 0], inside[:, 1], bins=edges)[0]
    return counts
