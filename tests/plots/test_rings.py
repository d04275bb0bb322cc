from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from matplotlib.image import imread

from mixmend.plots.rings import Arcs, draw_rings, ring_radius, visible_shares


def turns(path, hole=0.55):
    """Where an arc starts and how far it goes, as fractions of a turn, from its vertices."""
    vertices = path.vertices[:-1]
    outer = vertices[np.isclose(np.linalg.norm(vertices, axis=1), 1.0)]
    angle = np.unwrap(np.arctan2(outer[:, 0], outer[:, 1])) / (2 * np.pi)
    return angle[0] % 1.0, angle[-1] - angle[0]


def area(path):
    x, y = path.vertices[:-1].T
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def test_arcs_are_proportional_to_responsibilities_and_follow_one_another():
    post = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.1, 0.0, 0.9]])
    arcs = Arcs(post)
    assert arcs.points.tolist() == [0, 0, 0, 1, 2, 2]
    assert arcs.components.tolist() == [0, 1, 2, 1, 0, 2]
    starts, lengths = np.transpose([turns(path) for path in arcs.paths])
    np.testing.assert_allclose(lengths, [0.5, 0.25, 0.25, 1.0, 0.1, 0.9], atol=1e-12)
    np.testing.assert_allclose(starts, [0.0, 0.5, 0.75, 0.0, 0.0, 0.1], atol=1e-12)


def test_arcs_have_the_area_of_their_share_of_the_ring():
    post = np.array([[0.3, 0.7], [0.02, 0.98]])
    ring = np.pi * (1 - 0.55**2)
    areas = [area(path) for path in Arcs(post).paths]
    np.testing.assert_allclose(areas, ring * post.ravel(), rtol=0.03)


posts = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(0, 1)
).map(lambda p: (p + 1e-12) / (p + 1e-12).sum(axis=1, keepdims=True))


@given(posts)
def test_every_ring_closes_and_loses_only_what_cannot_be_seen(post):
    shares = visible_shares(post)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-12)
    assert ((shares == 0) | (shares >= 1e-3 - 1e-12)).all()
    assert np.abs(shares - post).max() <= 1e-3 * post.shape[1]
    arcs = Arcs(post)
    assert len(arcs.paths) == np.count_nonzero(shares)
    whole = np.bincount(arcs.points, weights=[turns(path)[1] for path in arcs.paths])
    np.testing.assert_allclose(whole, 1.0, atol=1e-9)


@pytest.mark.parametrize("scale", [(1e-3, 1e-3), (1.0, 1.0), (1e6, 1e-3), (1e-6, 1e9)])
@pytest.mark.parametrize("shape", [(4.0, 4.0), (8.0, 2.0)])
def test_rings_are_round_in_pixels_at_any_scale(scale, shape):
    figure = Figure(figsize=shape, dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, scale[0]), ylim=(0, scale[1]))
    ax.set_axis_off()
    centre = np.array(scale)[:, None] / 2
    draw_rings(ax, *centre, np.array([[0.4, 0.6]]), ["#FF0000", "#0000FF"], radius=36.0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    buffer.seek(0)
    pixels = imread(buffer)[..., :3]
    inked = pixels.min(axis=2) < 0.5
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    diameter = 2 * 36.0 * 100 / 72
    assert np.ptp(rows) + 1 == pytest.approx(diameter, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(diameter, abs=2)
    assert rows.mean() == pytest.approx(50 * shape[1], abs=1)
    red = (pixels[..., 0] > 0.8) & inked
    assert red.sum() / inked.sum() == pytest.approx(0.4, abs=0.02)
    # from 12 o'clock clockwise: the first component is on the right
    assert red[int(50 * shape[1]), int(50 * shape[0] + 40)]


def test_one_collection_holds_all_rings_in_the_order_of_the_points(rng):
    ax = Figure().add_subplot()
    post = rng.dirichlet(np.full(4, 0.1), size=500)
    rings = draw_rings(ax, *rng.normal(size=(2, 500)), post, ["#000000"] * 4, radius=3.0)
    assert len(ax.collections) == 1
    assert len(rings.get_paths()) == np.count_nonzero(visible_shares(post))
    assert len(rings.get_offsets()) == len(rings.get_paths())
    assert rings.get_sizes().tolist() == [9.0]


def test_more_points_have_smaller_rings():
    radii = [ring_radius(n) for n in (1, 250, 2000, 20_000, 10**6)]
    assert radii == sorted(radii, reverse=True)
    assert (radii[0], radii[-1]) == (6.0, 1.5)
