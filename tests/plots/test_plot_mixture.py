from __future__ import annotations

import io
import time

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

import mixmend as mm
from mixmend.errors import DataError
from mixmend.plots import MixtureView, component_colors, plot_kmeans_and_em, plot_mixture
from mixmend.plots.labels import Box, place
from mixmend.plots.outlines import full_covariances, outline, points_along, root


def labelled(artists, prefix):
    return [a for a in artists if str(a.get_label()).startswith(prefix)]


def rings(ax):
    return labelled(ax.collections, "_rings")


def notes(ax):
    return [text.get_text() for text in ax.texts if "μ" in text.get_text()]


@pytest.fixture
def three(rng):
    """Thirty points in three columns, two components."""
    X = rng.normal(size=(30, 3)) + 6.0 * (np.arange(30) % 2)[:, None]
    post = np.eye(2)[np.arange(30) % 2]
    return X, np.array([[0.0, 0, 0], [6.0, 6, 6]]), np.array([0.4, 0.6]), post


# ------------------------------------------------------------------ outlines


def test_outline_has_the_square_roots_of_the_eigenvalues_as_half_axes():
    covariance = np.array([[4.0, 1.2], [1.2, 1.0]])
    half_axes = np.sqrt(np.linalg.eigvalsh(covariance))
    mean = np.array([3.0, -7.0])
    for deviations in (1.0, 2.0):
        drawn = outline(mean, covariance, deviations)
        curve = np.concatenate([piece(np.linspace(0, 1, 500)) for piece in pieces(drawn)]) - mean
        distance = np.linalg.norm(curve, axis=1)
        assert_allclose(distance.min(), deviations * half_axes[0], rtol=1e-3)
        assert_allclose(distance.max(), deviations * half_axes[1], rtol=1e-3)
        mahalanobis = np.sqrt(np.einsum("ni,ij,nj->n", curve, np.linalg.inv(covariance), curve))
        assert_allclose(mahalanobis, deviations, rtol=1e-3)
        points = points_along(mean, covariance, deviations) - mean
        assert_allclose(
            np.linalg.norm(points @ np.linalg.inv(root(covariance)).T, axis=1), deviations
        )


def pieces(path):
    return [piece for piece, code in path.iter_bezier() if code != 1]


@pytest.mark.parametrize("scale", [(1e-3, 1e-3), (1.0, 1.0), (1e6, 1e-3), (1e-9, 1e9)])
def test_outline_keeps_the_narrow_axis_at_any_scale(scale):
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]]) * np.outer(scale, scale)
    lower = root(covariance)
    assert_allclose(lower @ lower.T, covariance, rtol=1e-12)


def test_outline_of_a_component_without_spread():
    assert_allclose(root(np.zeros((2, 2))), 0.0)
    assert_allclose(root(np.array([[0.0, 0.0], [0.0, 4.0]])), [[0, 0], [0, 2]])
    assert_allclose(root(np.full((2, 2), 9.0)), [[3, 0], [3, 0]])


def test_drawn_patches_are_the_outlines(three):
    X, means, weights, post = three
    covariances = np.array([np.diag([4.0, 1.0, 9.0]), np.eye(3)])
    ax = plot_mixture(X, means, covariances, weights, post, deviations=(1, 3), columns=(2, 0))
    patches = labelled(ax.patches, "_outline")
    assert [patch.get_label() for patch in patches] == [
        "_outline 0 at 1", "_outline 0 at 3", "_outline 1 at 1", "_outline 1 at 3",
    ]  # fmt: skip
    assert_allclose(patches[1].get_path().get_extents().size, [18, 12], rtol=1e-3)
    assert_allclose(patches[3].get_path().get_extents().size, [6, 6], rtol=1e-3)


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (2.0, None, 2 * np.eye(2)),
        ([2.0, 5.0, 7.0], None, 2 * np.eye(2)),
        ([[2.0, 3.0]] * 3, None, np.diag([2.0, 3.0])),
        ([[2.0, 1.0], [1.0, 3.0]], None, [[2.0, 1.0], [1.0, 3.0]]),
        ([[[2.0, 1.0], [1.0, 3.0]]] * 3, None, [[2.0, 1.0], [1.0, 3.0]]),
    ],
)
def test_covariances_come_in_any_usual_shape(given, kind, expected):
    full, spherical = full_covariances(given, 3, 2, kind)
    assert full.shape == (3, 2, 2)
    assert spherical == (np.ndim(given) < 2)
    assert_allclose(full[0], expected)


def test_a_square_of_numbers_is_diagonals_unless_said_to_be_tied():
    square = [[2.0, 1.0], [1.0, 3.0]]
    assert_allclose(full_covariances(square, 2, 2, None)[0][1], np.diag([1.0, 3.0]))
    assert_allclose(full_covariances(square, 2, 2, "tied")[0][1], square)


# ------------------------------------------------------------------ what is written


def test_means_and_deviations_are_written_beside_the_components(three):
    X, means, weights, post = three
    spherical = plot_mixture(X[:, :2], means[:, :2], [0.25, 4.0], weights, post)
    assert notes(spherical) == [
        "0: μ = (0.00, 0.00)\nσ = 0.500, p = 0.40",
        "1: μ = (6.00, 6.00)\nσ = 2.00, p = 0.60",
    ]
    diagonal = plot_mixture(X[:, :2], means[:, :2], [[0.25, 1], [4, 9]], weights, post)
    assert notes(diagonal)[0] == "0: μ = (0.00, 0.00)\nσ = (0.500, 1.00)\np = 0.40"
    tied = plot_mixture(
        X[:, :2], means[:, :2], [[4, -3], [-3, 9]], weights, post, covariance_type="tied"
    )
    assert notes(tied)[1] == "1: μ = (6.00, 6.00)\nσ = (2.00, 3.00)\nρ = −0.50, p = 0.60"
    assert notes(plot_mixture(X, means, [1, 1], weights, post, annotate=False)) == []


def test_columns_are_named(three):
    X, means, weights, post = three
    ax = plot_mixture(X, means, [1, 1], weights, post)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 0 of 3", "column 1 of 3")
    ax = plot_mixture(
        X, means, [1, 1], weights, post, "Three", labels=["a", "b", "c"], columns=(2, 1)
    )
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("c (column 2 of 3)", "b (column 1 of 3)")
    assert ax.get_title(loc="left") == "Three"
    matrix = mm.ObservedMatrix.from_dense(X[:, :2], column_labels=["height", "weight"])
    ax = plot_mixture(matrix, means[:, :2], [1, 1], weights, post)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("height", "weight")


def test_points_with_holes_are_drawn_or_counted(three):
    X, means, weights, post = three
    X = X[:, :2].copy()
    X[:4, 0] = np.nan
    X[2:9, 1] = np.nan
    ax = plot_mixture(X, means[:, :2], [1, 1], weights, post)
    assert ax.get_xlabel() == (
        "column 0\nin the grey: 2 without column 0 (left), 5 without column 1 (below)\n"
        "2 rows with neither value observed: not drawn"
    )
    inside, left, below = rings(ax)
    assert (len(inside.get_offsets()), len(left.get_offsets()), len(below.get_offsets())) == (
        21, 2, 5,
    )  # fmt: skip
    assert_allclose(left.get_offsets()[:, 1], X[:2, 1])
    assert_allclose(below.get_offsets()[:, 0], X[4:9, 0])
    # no complete point is under the strips
    pixels = ax.transAxes.inverted().transform(ax.transData.transform(inside.get_offsets()))
    assert pixels.min() > 0.055


def test_masked_values_are_holes(three):
    X, means, weights, post = three
    masked = np.ma.array(X[:, :2], mask=np.zeros((30, 2), bool))
    masked[0, 0] = np.ma.masked
    ax = plot_mixture(masked, means[:, :2], [1, 1], weights, post)
    assert "1 without column 0 (left)" in ax.get_xlabel()


def test_thinning_is_said(rng):
    X = rng.normal(size=(2500, 2))
    ax = plot_mixture(X, [[0.0, 0.0]], [1.0], [1.0], np.ones((2500, 1)), max_points=1000)
    assert len(rings(ax)[0].get_offsets()) == 1000
    assert (
        "1\N{THIN SPACE}000 of 2\N{THIN SPACE}500 rows drawn, chosen at random" in ax.get_xlabel()
    )


def test_without_responsibilities_points_are_grey(three):
    X, means, weights, _ = three
    ax = plot_mixture(X, means, [1, 1], weights, None)
    faces = np.unique(rings(ax)[0].get_facecolors()[:, :3], axis=0)
    assert_allclose(faces, [[138 / 255, 144 / 255, 153 / 255]])


def test_given_colours_radius_and_axes_are_used(three):
    X, means, weights, post = three
    mine = Figure().add_subplot()
    ax = plot_mixture(
        X, means, [1, 1], weights, post, ax=mine, colors=["#112233", "#445566"], radius=2.0
    )
    assert ax is mine
    assert rings(ax)[0].get_sizes().tolist() == [4.0]
    assert_allclose(rings(ax)[0].get_facecolors()[0, :3], np.array([0x11, 0x22, 0x33]) / 255)


# ------------------------------------------------------------------ the scale


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_circles_are_round_where_the_columns_allow_one_unit(three, scale):
    X, means, weights, post = three
    ax = plot_mixture(X * scale, means * scale, np.array([1, 1]) * scale**2, weights, post)
    for size in ((7.0, 5.6), (12.0, 3.0), (3.0, 9.0)):  # also when the figure is reshaped
        ax.figure.set_size_inches(size)
        ax.figure.draw_without_rendering()
        patch = labelled(ax.patches, "_outline 0 at 1")[0]
        box = patch.get_path().transformed(ax.transData).get_extents()
        assert box.width == pytest.approx(box.height, rel=1e-3)


def test_very_unequal_columns_keep_their_own_units(three):
    X, means, weights, post = three
    unequal = np.array([1e6, 1.0, 1.0])
    ax = plot_mixture(X * unequal, means * unequal, [1, 1], weights, post)
    assert ax.get_aspect() == "auto"
    low, high = ax.get_ylim()
    assert high - low < 20


def test_all_data_and_means_are_inside_and_a_wide_component_does_not_squeeze_them(three):
    X, _, weights, post = three
    far = np.array([[0.0, 0, 0], [6.0, 40, 6]])
    ax = plot_mixture(X, far, [1.0, 1e8], weights, post)
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    assert x0 < X[:, 0].min()
    assert X[:, 0].max() < x1
    assert y0 < X[:, 1].min()
    assert y1 > 40
    assert y1 - y0 < 200


def test_one_point_and_points_all_alike():
    for X in (np.zeros((1, 2)), np.full((5, 2), 3e6)):
        ax = plot_mixture(X, X[:1], [0.0], [1.0], np.ones((len(X), 1)))
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
        ax.figure.draw_without_rendering()


def test_one_column_is_drawn_under_its_density(rng):
    X = np.concatenate([rng.normal(-3, 1, 60), rng.normal(4, 0.5, 40), [np.nan]])
    post = np.eye(2)[(X > 0).astype(int)]
    ax = plot_mixture(X, [-3.0, 4.0], [1.0, 0.25], [0.6, 0.4], post, labels=["length"])
    assert ax.get_xlabel() == "length\n1 row without a value: not drawn"
    assert ax.get_ylabel() == "density"
    assert notes(ax) == ["0: μ = −3.00\nσ = 1.00, p = 0.60", "1: μ = 4.00\nσ = 0.500, p = 0.40"]
    x, density = labelled(ax.lines, "_mixture")[0].get_data()
    # the curve is a density: its integral is what lies between the limits, nearly all of it
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=0.02)
    spread = labelled(ax.lines, "_spread 1 at 2")[0].get_xdata()
    assert_allclose(spread, [3.0, 5.0])
    assert_allclose(rings(ax)[0].get_offsets()[:, 0], X[:100])


def test_one_column_of_many(three):
    X, means, weights, post = three
    ax = plot_mixture(X, means, np.ones((2, 3)), weights, post, columns=[1])
    assert ax.get_xlabel() == "column 1 of 3"
    assert_allclose(rings(ax)[0].get_offsets()[:, 0], X[:, 1])


def test_twenty_thousand_points_are_drawn_quickly(rng):
    post = rng.dirichlet(np.full(8, 0.05), size=20_000)
    X = rng.normal(size=(20_000, 2))
    start = time.perf_counter()
    ax = plot_mixture(X, rng.normal(size=(8, 2)), np.ones(8), np.full(8, 1 / 8), post)
    ax.figure.savefig(io.BytesIO(), format="png")
    assert time.perf_counter() - start < 30  # about one second on a machine at rest
    assert len(ax.collections) == 1


# ------------------------------------------------------------------ labels keep clear


def test_labels_do_not_overlap_where_there_is_room(rng):
    centres = rng.uniform(150, 850, size=(12, 2))
    circle = np.column_stack([np.cos(np.arange(0, 6.3, 0.2)), np.sin(np.arange(0, 6.3, 0.2))])
    outlines = [centre + 30 * circle for centre in centres]
    points = rng.uniform(0, 1000, size=(500, 2))
    frame = Box(0, 0, 1000, 1000)
    placed = place(outlines, centres, np.full((12, 2), (90.0, 30.0)), frame, points, points[:0])
    for k, (one, _) in enumerate(placed):
        assert one.left >= 0
        assert one.top <= 1000
        for other, _ in placed[:k]:
            apart = (
                one.right <= other.left
                or other.right <= one.left
                or one.top <= other.bottom
                or other.top <= one.bottom
            )
            assert apart


def test_a_label_stands_off_the_points():
    circle = 20 * np.column_stack([np.cos(np.arange(0, 6.3, 0.2)), np.sin(np.arange(0, 6.3, 0.2))])
    centre = np.array([[200.0, 200.0]])
    crowd = np.random.default_rng(0).uniform((200, 100), (400, 300), size=(400, 2))
    (placed,) = place(
        [centre[0] + circle],
        centre,
        np.array([[80.0, 30.0]]),
        Box(0, 0, 400, 400),
        crowd,
        circle[:0],
    )
    assert placed.box.right <= 202


# ------------------------------------------------------------------ side by side


def test_kmeans_and_em_share_scale_and_colours(three):
    X, means, weights, post = three
    figure = plot_kmeans_and_em(
        X[:, :2],
        MixtureView(means[:, :2], [1, 1], weights, post),
        (means[::-1, :2], [[2, 2], [2, 2]], weights[::-1], post[:, ::-1]),
    )
    left, right = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["K-means", "EM"]
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
    # the same rows have the same colours although the components come in another order
    assert_allclose(rings(left)[0].get_facecolors(), rings(right)[0].get_facecolors())
    assert notes(right)[0].startswith("0: μ = (6.00, 6.00)\nσ = (1.41, 1.41)")


def test_different_numbers_of_components_side_by_side(three):
    X, means, weights, post = three
    extra = np.hstack([post * [0.5, 1.0], 0.5 * post[:, :1]])
    figure = plot_kmeans_and_em(
        X, (means, [1, 1], weights, post), (np.zeros((3, 3)), np.ones(3), np.ones(3) / 3, extra)
    )
    used = {tuple(c) for c in rings(figure.axes[1])[0].get_facecolors()[:, :3].round(4)}
    assert len(used) == 3
    assert component_colors(3)[0] != component_colors(3)[1]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post": np.ones((30, 3)) / 3},
         "post must have one row per row of X and one column per component, shape (30, 2); "
         "got (30, 3)."),
        ({"post": np.full((30, 2), 0.6)},
         "rows of post must be responsibilities: not negative, with sum 1; row 0 is [0.6 0.6]."),
        ({"means": np.zeros((2, 2))},
         "means must be finite, one row per component and one column per column of X (3); "
         "got shape (2, 2)."),
        ({"means": np.full((2, 3), np.nan)}, "means must be finite."),
        ({"weights": [1.0]},
         "weights must hold one number per component (2); got shape (1,)."),
        ({"covariances": np.ones(4)},
         "covariances have shape (4,), but 2 components in 3 columns need (2,) for spherical, "
         "(2, 3) for diag, (2, 3, 3) for full, (3, 3) for tied."),
        ({"covariances": np.ones(2), "covariance_type": "diag"},
         "covariances have shape (2,), but 2 components in 3 columns need (2, 3) for diag."),
        ({"covariance_type": "round"},
         "covariance_type must be one of spherical, diag, tied, full; got 'round'."),
        ({"covariances": [1.0, -1.0]},
         "variances must be finite and not negative; those of component 1 are [-1.0, -1.0, -1.0]."),
        ({"columns": (0, 3)}, "X has columns 0 to 2; columns asks for 3."),
        ({"columns": (1, 1)}, "columns must name one or two different columns; got [1, 1]."),
        ({"labels": ["a"]}, "labels must hold one name per column of X (3); got 1."),
        ({"colors": ["#000000"]}, "colors must hold one per component (2); got 1."),
        ({"X": np.zeros((2, 3, 4))},
         "X must be a matrix of shape (n, d) with d ≥ 1; got shape (2, 3, 4)."),
        ({"X": [[1.0, np.inf, 0.0]], "post": [[1.0, 0.0]]},
         "X must be finite or NaN; row 0, column 1 is infinite."),
    ],
)  # fmt: skip
def test_bad_input_says_what_is_wrong(three, change, message):
    X, means, weights, post = three
    arguments = {"X": X, "means": means, "covariances": [1, 1], "weights": weights, "post": post}
    with pytest.raises(DataError) as caught:
        plot_mixture(**(arguments | change))
    assert str(caught.value) == message


def test_text_in_the_data_is_refused(three):
    with pytest.raises(DataError, match=r"^X must hold numbers, with NaN where a value is missing"):
        plot_mixture([["a", "b"]], *three[1:3], three[2], three[3])


def test_side_by_side_needs_responsibilities(three):
    X, means, weights, post = three
    with pytest.raises(DataError) as caught:
        plot_kmeans_and_em(X, (means, [1, 1], weights, None), (means, [1, 1], weights, post))
    assert str(caught.value) == (
        "both mixtures need responsibilities (post) to share their colours."
    )
