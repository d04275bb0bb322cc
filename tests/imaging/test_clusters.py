"""K-means of weighted colours against plain NumPy and the library's own K-means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mixmend as mm
from mixmend.imaging import clusters
from mixmend.imaging.clusters import Points
from mixmend.kernels import colours as kernels


def points_like(rng, n: int, whole: bool = False) -> Points:
    values = np.zeros((n, 4))
    values[:, :3] = rng.integers(0, 12, (n, 3)) if whole else 255 * rng.random((n, 3))
    return Points(values, rng.integers(1, 9, n).astype(float))


def all_distances(values, centres):
    return ((values[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)


@given(seed=st.integers(0, 10_000), n_centres=st.integers(1, 40), whole=st.booleans())
def test_assignment_is_that_of_all_distances_whatever_the_guesses(seed, n_centres, whole):
    rng = np.random.default_rng(seed)
    points = points_like(rng, 300, whole)  # whole coordinates have ties
    centres = points_like(rng, n_centres, whole).values
    guesses = rng.integers(0, n_centres, 300)
    found = clusters.assign(points, centres, clusters.neighbours_of(centres), guesses)
    distances = all_distances(points.values, centres)
    np.testing.assert_array_equal(found.labels, distances.argmin(axis=1))
    np.testing.assert_allclose(found.smallest, distances.min(axis=1), rtol=1e-12, atol=1e-9)
    sizes = np.bincount(found.labels, points.weights, n_centres)
    np.testing.assert_array_equal(found.sizes, sizes)
    for k in range(n_centres):
        own = found.labels == k
        mean = np.average(points.values[own], axis=0, weights=points.weights[own]) if own.any() \
            else centres[k]  # fmt: skip
        np.testing.assert_allclose(found.following[k], mean, atol=1e-9)
    others = distances.copy()
    others[np.arange(300), found.labels] = np.inf
    assert (found.bounds <= np.sqrt(others.min(axis=1)) + 1e-6).all()


def test_rounds_that_trust_the_round_before_are_the_same(rng):
    points, centres = points_like(rng, 2000), points_like(rng, 30).values
    earlier, neighbours = None, None
    for _ in range(12):
        neighbours = clusters.neighbours_of(centres, neighbours)
        gaps = np.sqrt(all_distances(centres, centres))
        assert (np.diff(np.take_along_axis(gaps, neighbours.order, axis=1)) >= -1e-9).all()
        found = clusters.assign(points, centres, neighbours, None, earlier)
        np.testing.assert_array_equal(
            found.labels, all_distances(points.values, centres).argmin(axis=1)
        )
        drift = float(np.sqrt(((found.following - centres) ** 2).sum(axis=1)).max())
        centres, earlier = found.following, (found, drift)
    labels = found.labels.copy()
    wrong = clusters.assign(points, centres[::-1].copy(), neighbours, None, (found, 0.0))
    assert (wrong.labels != 29 - labels).any()  # a drift that is understated is noticed


@pytest.mark.filterwarnings("ignore:K-means did not converge in 1 rounds")
def test_settled_centres_are_those_of_the_librarys_k_means(rng):
    points = points_like(rng, 1500)
    start = points.values[:12]
    centres, labels, cost = clusters.lloyd(points, start, tol=0.0, max_iter=500)
    known = mm.KMeans(12, init=centres[:, :3], n_init=1, max_iter=1, tol=0.0)
    known.fit(points.values[:, :3], sample_weight=points.weights)
    np.testing.assert_array_equal(labels, known.labels_)
    assert cost == pytest.approx(known.inertia_, rel=1e-6)
    np.testing.assert_allclose(centres[:, :3], known.cluster_centers_, atol=0.05)


def test_each_round_lowers_the_distortion(rng):
    points = points_like(rng, 1500)
    costs = [
        clusters.lloyd(points, points.values[:9], tol=0.0, max_iter=rounds)[2]
        for rounds in range(8)
    ]
    assert (np.diff(costs) < 0).all()


def test_centres_without_points_move_to_the_worst_served(rng):
    points = points_like(rng, 200)
    start = np.repeat(points.values[:1], 5, axis=0)
    _, labels, _ = clusters.lloyd(points, start, tol=0.0, max_iter=50)
    assert (np.bincount(labels, minlength=5) > 0).all()


def test_variance_cuts_part_what_is_apart():
    blobs = np.repeat(np.array([[0.0, 0], [100, 0], [0, 100], [100, 130]]), 5, axis=0)
    values = np.zeros((20, 4))
    values[:, :2] = blobs + np.tile(np.arange(5.0), 4)[:, None]
    centres = clusters.variance_cuts(Points(values, np.ones(20)), 4)
    means = values.reshape(4, 5, 4).mean(axis=1)
    np.testing.assert_allclose(sorted(centres.tolist()), sorted(means.tolist()), atol=1e-9)
    all_of_them = clusters.variance_cuts(Points(values, np.ones(20)), 20)
    np.testing.assert_allclose(sorted(all_of_them.tolist()), sorted(values.tolist()), atol=1e-9)


def test_seeds_are_distinct_points_and_good_ones(rng):
    points = points_like(rng, 400)
    seeds = clusters.spread_seeds(points, 20, rng)
    assert len(np.unique(seeds, axis=0)) == 20
    assert (all_distances(seeds, points.values).min(axis=1) == 0).all()
    cost = points.weights @ all_distances(points.values, seeds).min(axis=1)
    plain = [
        points.weights
        @ all_distances(points.values, points.values[rng.choice(400, 20)]).min(axis=1)
        for _ in range(20)
    ]
    assert cost < np.mean(plain)


def test_merged_points_keep_mass_and_mean(rng):
    points = points_like(rng, 500)
    for keys in (rng.integers(0, 40, 500), rng.integers(0, 40, 500) + (1 << 30)):
        cells, place = clusters.merged(points, keys)
        assert len(cells.weights) == 40
        np.testing.assert_allclose(cells.weights @ cells.values, points.weights @ points.values)
        for cell in (0, 39):
            own = place == cell
            assert len(np.unique(keys[own])) == 1
            assert cells.weights[cell] == points.weights[own].sum()


def plain_dithering(pixels, centres, bounds):
    wanted = pixels.copy()
    height, width = wanted.shape[:2]
    indices = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            value = np.clip(wanted[y, x], *bounds)
            indices[y, x] = all_distances(value[None], centres)[0].argmin()
            error = (value - centres[indices[y, x]]) * [1, 1, 1, 0]  # opacity stays
            for dy, dx, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if 0 <= x + dx < width and y + dy < height:
                    wanted[y + dy, x + dx] += error * share / 16
    return indices


def test_error_diffusion_is_floyd_and_steinbergs(rng):
    pixels = 255 * rng.random((14, 11, 4))
    centres = 255 * rng.random((9, 4))
    bounds = np.array([[0.0] * 4, [255.0] * 4])
    expected = plain_dithering(pixels, centres, bounds)
    neighbours = clusters.neighbours_of(centres)
    for cut in (14, 5):  # the errors are carried from one call to the next
        indices, carried = np.zeros((14, 11), np.uint8), np.zeros((13, 4))
        for part in (slice(0, cut), slice(cut, 14)):
            kernels.diffuse(pixels[part], centres, neighbours, bounds, carried, indices[part])
        assert (indices != expected).mean() < 0.01  # sums of errors in another order may tie
