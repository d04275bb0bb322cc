from __future__ import annotations

import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.errors import DataError, MixmendError
from mixmend.imaging.operators import Blur, Identity, LinearMap, Mask, precision_of
from mixmend.imaging.patches import evening, extract_patches, patch_grid
from mixmend.imaging.prior import PatchPrior
from mixmend.imaging.restore import Schedule, Stages, restore
from mixmend.imaging.solvers import solve

SHAPE = (12, 14)
KERNEL = np.array([[0.1, 0.2, 0.1], [0.1, 0.3, 0.1], [0.0, 0.1, 0.0]])


def dense(operator):
    """F as a matrix."""
    size = operator.shape[0] * operator.shape[1]
    units = np.eye(size).reshape(size, *operator.shape)
    return np.stack([operator.forward(unit).ravel() for unit in units], axis=1)


def operators(rng):
    rows = rng.normal(size=(40, SHAPE[0] * SHAPE[1])) / 10
    return {
        "identity": Identity(SHAPE),
        "mask": Mask(rng.random(SHAPE) < 0.6),
        "periodic blur": Blur(KERNEL, SHAPE),
        "reflecting blur": Blur(KERNEL, SHAPE, "reflect"),
        "any map": LinearMap(
            SHAPE, lambda x: rows @ x.ravel(), lambda y: (rows.T @ y).reshape(SHAPE)
        ),
    }


@pytest.mark.parametrize("name", operators(np.random.default_rng(0)))
def test_adjoints_are_the_transposes(name, rng):
    operator = operators(rng)[name]
    matrix = dense(operator)
    data = rng.normal(size=operator.forward(np.zeros(SHAPE)).shape)
    np.testing.assert_allclose(operator.adjoint(data).ravel(), matrix.T @ data.ravel(), atol=1e-12)


def test_blurs_are_those_of_scipy(rng):
    from scipy.ndimage import convolve

    image = rng.normal(size=SHAPE)
    for boundary, mode in [("periodic", "wrap"), ("reflect", "reflect")]:
        expected = convolve(image, KERNEL, mode=mode)
        found = Blur(KERNEL, SHAPE, boundary).forward(image)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("noise", ["scalar", "diagonal", "operator"])
@pytest.mark.parametrize("name", operators(np.random.default_rng(0)))
def test_all_forms_of_the_picture_step_agree(name, noise, rng):
    operator = operators(rng)[name]
    data_shape = operator.forward(np.zeros(SHAPE)).shape
    if noise == "scalar":
        matrix = np.full(np.prod(data_shape), 1 / 0.3)
        precision = precision_of(0.3, np.zeros(data_shape))
    elif noise == "diagonal":
        variances = rng.uniform(0.1, 2.0, data_shape)
        matrix = 1 / variances.ravel()
        precision = precision_of(variances, np.zeros(data_shape))
    else:
        factor = rng.normal(size=(np.prod(data_shape),) * 2) / 10
        matrix = factor @ factor.T + np.eye(len(factor))
        precision = precision_of(
            lambda y: (matrix @ y.ravel()).reshape(data_shape), np.zeros(data_shape)
        )
    weights, right = rng.uniform(0.5, 1.5, SHAPE), rng.normal(size=SHAPE)
    of_noise = matrix if matrix.ndim == 2 else np.diag(matrix)
    seen = dense(operator)
    normal = seen.T @ of_noise @ seen + np.diag(weights.ravel())
    expected = np.linalg.solve(normal, right.ravel()).reshape(SHAPE)
    for method in ("auto", "cg", "cholesky", "dual"):
        found = solve(operator, precision, weights, right, method=method, tol=1e-10)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_periodic_blurs_have_a_closed_form(rng):
    operator, precision = Blur(KERNEL, SHAPE), precision_of(0.3, np.zeros(SHAPE))
    weights, right = np.full(SHAPE, 0.7), rng.normal(size=SHAPE)
    found = solve(operator, precision, weights, right, method="fourier")
    other = solve(operator, precision, weights, right, method="cholesky")
    np.testing.assert_allclose(found, other, atol=1e-12)


def test_what_is_about_periodic_is_preconditioned_so(rng):
    """The same map without its frequencies takes half as many steps again."""
    blur, shape = Blur(np.full((5, 5), 1 / 25), (40, 30), "reflect"), (40, 30)
    precision, right = precision_of(0.01**2, np.zeros(shape)), rng.normal(size=shape)
    calls = []

    def counted(operator):
        calls.clear()
        found = solve(operator, precision, np.full(shape, 50.0), right, method="cg")
        return found, len(calls)

    def forward(picture):
        calls.append(picture)
        return blur.forward(picture)

    bare = LinearMap(shape, forward, blur.adjoint)
    known = LinearMap(shape, forward, blur.adjoint)
    object.__setattr__(known, "power", blur.power)
    (slow, many), (fast, few) = counted(bare), counted(known)
    assert few < 0.75 * many
    np.testing.assert_allclose(fast, slow, atol=1e-4 * np.abs(slow).max())


def test_forms_that_do_not_suit_are_refused(rng):
    precision, ones = precision_of(1.0, np.zeros(SHAPE)), np.ones(SHAPE)
    with pytest.raises(MixmendError) as caught:
        solve(Blur(KERNEL, SHAPE, "reflect"), precision, ones, ones, method="fourier")
    assert str(caught.value) == (
        "The picture step has no 'fourier' form here: 'diagonal' needs a mask or the picture "
        "itself with noise of independent pixels, 'fourier' a periodic blur with one variance "
        "and patches that wrap around. Use method='auto'."
    )
    large = np.ones((70, 70))
    with pytest.raises(MixmendError) as caught:
        solve(Identity((70, 70)), precision, large, large, method="dual")
    assert str(caught.value) == (
        "The dense forms take pictures of at most 4096 pixels; this one has 4900. Use method='cg'."
    )


# ------------------------------------------------------------------------------ stages


@pytest.mark.parametrize("remove_mean", [False, True])
def test_one_component_leads_to_the_wiener_filter_of_the_picture(rng, remove_mean):
    """With K = 1 and one gamma the stages descend to the minimum of a quadratic."""
    prior = oracle.random_prior(rng, n_components=1, remove_mean=remove_mean)
    y, noise, gamma = oracle.picture(rng, SHAPE), 0.05**2, 1.0
    grid = patch_grid(SHAPE, 3)
    cut, d = oracle.patch_matrix(grid), 9
    project = np.eye(d) - remove_mean * np.full((d, d), 1 / d)
    inner = project @ np.linalg.inv(prior.covariances[0] + noise / gamma * np.eye(d)) @ project
    per_patch = np.kron(np.eye(grid.n_patches), inner)
    normal = np.eye(y.size) / noise + cut.T @ per_patch @ cut / d
    right = y.ravel() / noise + cut.T @ np.tile(inner @ prior.means[0], grid.n_patches) / d
    expected = np.linalg.solve(normal, right).reshape(SHAPE)
    stages = Stages(Schedule((gamma,) * 100), even=False)
    found = restore(y, Identity(SHAPE), noise, prior, stages).image
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found - y).max() > 0.01


@pytest.mark.parametrize("even", [False, True])
def test_a_stage_is_the_closed_form(rng, even):
    prior = oracle.random_prior(rng)
    y, noise, beta = oracle.picture(rng, SHAPE), 0.05**2, 0.7
    mask = rng.random(SHAPE) < 0.5
    grid = patch_grid(SHAPE, 3)
    stages = Stages(Schedule((3.0,)), beta=beta, even=even)
    found = restore(y, Mask(mask), noise, prior, stages, start=y)
    gamma = 3.0 / noise
    patches = extract_patches(y, grid)
    z = oracle.estimates(patches, prior, gamma, found.winners.ravel())
    cut, share = oracle.patch_matrix(grid), beta * gamma / 9
    full = (evening(SHAPE, 3, 1).ravel() if even else np.ones(y.size))[:, None]
    normal = np.diag(mask.ravel() / noise) + share * full * (cut.T @ cut)
    right = (mask * y).ravel() / noise + share * full[:, 0] * (cut.T @ z.ravel())
    np.testing.assert_allclose(found.image.ravel(), np.linalg.solve(normal, right), atol=1e-5)


def test_pictures_that_wrap_around_have_patches_that_do(rng):
    """A periodic picture that is shifted gives the result, shifted."""
    prior, y = oracle.random_prior(rng), oracle.picture(rng, SHAPE)
    stages = Stages(Schedule((1.0, 4.0)))
    operator = Blur(KERNEL, SHAPE)
    found = restore(y, operator, 0.01, prior, stages).image
    moved = restore(np.roll(y, (3, 5), (0, 1)), operator, 0.01, prior, stages).image
    np.testing.assert_allclose(moved, np.roll(found, (3, 5), (0, 1)), atol=1e-5)


def test_the_objective_is_that_of_the_formula(rng):
    prior = oracle.random_prior(rng)
    y, noise = oracle.picture(rng, SHAPE), 0.05**2
    stages = Stages(Schedule((1.0, 4.0, 16.0)), beta=0.5, trace=True)
    found = restore(y, Identity(SHAPE), noise, prior, stages)
    patches = extract_patches(found.image, patch_grid(SHAPE, 3))
    expected = ((y - found.image) ** 2).sum() / (2 * noise)
    expected -= 0.5 * oracle.log_density(patches, prior) / 9
    assert len(found.objective) == 4
    assert found.objective[-1] == pytest.approx(expected, rel=1e-4)
    assert found.objective[-1] < found.objective[0]


def test_the_border_is_smoothed_like_the_inside(rng):
    """Of flat pictures in noise a prior of flat patches leaves as much noise at either place."""
    prior = PatchPrior.from_mixture([1.0], np.zeros((1, 9)), 1e-6 * np.eye(9)[None], 3, True)
    y = rng.normal(scale=0.1, size=(60, 60))
    left = {}
    for even in (False, True):
        stages = Stages(Schedule((1.0,)), even=even)
        found = restore(y, Identity(y.shape), 0.01, prior, stages).image
        rim = np.ones(y.shape, bool)
        rim[1:-1, 1:-1] = False
        left[even] = (found - y)[rim].std() / (found - y)[~rim].std()
    # a border pixel is in a third of the patches: (1/3) / (1 + 1/3) instead of 1 / (1 + 1)
    assert left[False] == pytest.approx(0.5, abs=0.1)
    assert left[True] == pytest.approx(1.0, abs=0.15)


def test_scaling_picture_noise_and_prior_together_scales_the_result(rng):
    prior, y = oracle.random_prior(rng), oracle.picture(rng, SHAPE)
    large = PatchPrior.from_mixture(
        prior.weights, 8 * prior.means, 64 * prior.covariances, 3, False
    )
    stages = Stages(Schedule((1.0, 4.0, 16.0)))
    found = restore(y, Identity(SHAPE), 0.01, prior, stages).image
    scaled = restore(8 * y, Identity(SHAPE), 0.64, large, stages).image
    np.testing.assert_allclose(scaled, 8 * found, atol=1e-4)


def test_strides_move_with_the_state(rng):
    prior, y = oracle.random_prior(rng), oracle.picture(rng, (40, 44))
    schedule = Schedule((1.0, 4.0, 16.0))
    few = [
        restore(y, Identity(y.shape), 0.01, prior, Stages(schedule, stride=2, random_state=s))
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(few[0].image, few[1].image)
    assert np.abs(few[0].image - few[2].image).max() > 1e-6
    assert few[0].grid.n_patches < 0.3 * 38 * 42


def test_data_that_count_must_be_numbers(rng):
    prior, y = oracle.random_prior(rng), oracle.picture(rng, SHAPE)
    holed = y.copy()
    holed[3, 4] = np.nan
    stages = Stages(Schedule((1.0,)))
    with pytest.raises(DataError) as caught:
        restore(holed, Identity(SHAPE), 0.01, prior, stages)
    assert str(caught.value) == (
        "1 of 168 data are NaN or infinite. Give them an infinite noise variance, "
        "or leave them out by a mask."
    )
    variances = np.where(np.isnan(holed), np.inf, 0.01)
    found = restore(holed, Identity(SHAPE), variances, prior, stages, start=y).image
    known = Mask(~np.isnan(holed))
    same = restore(np.nan_to_num(holed), known, 0.01, prior, stages, start=y).image
    np.testing.assert_allclose(found, same, atol=1e-12)


def test_bad_options_are_named(rng):
    with pytest.raises(DataError) as caught:
        precision_of(np.array([1.0, 0.0]), np.zeros(2))
    assert str(caught.value) == "Noise variances must be positive; one is 0."
    with pytest.raises(DataError) as caught:
        precision_of(np.ones(3), np.zeros(2))
    assert str(caught.value) == (
        "The noise variances have shape (3,) and the data (2,). "
        "Give one number, or one for each datum."
    )
    with pytest.raises(MixmendError) as caught:
        Schedule((1.0, -1.0))
    assert str(caught.value) == (
        "A schedule needs penalties that are positive and finite; got (1.0, -1.0)."
    )
    with pytest.raises(DataError) as caught:
        Blur(np.ones((2, 3)), SHAPE)
    assert str(caught.value) == (
        "A blur kernel must have two odd sides, so that it has a middle; got shape (2, 3). "
        "Pad it with zeros."
    )
    with pytest.raises(DataError) as caught:
        Blur(np.ones((13, 3)), SHAPE)
    assert str(caught.value) == (
        "The kernel of 13 × 3 is larger than the picture of 12 × 14 pixels. "
        "Crop one or give more of the other."
    )
    with pytest.raises(MixmendError, match="assignment must be one of 'marginal', 'joint'"):
        Stages(Schedule((1.0,)), assignment="likely")  # type: ignore[arg-type]
    for name in ("rank", "beam"):
        with pytest.raises(MixmendError) as caught:
            Stages(Schedule((1.0,)), **{name: 0})
        assert str(caught.value) == f"{name} must be a whole number of at least 1; got 0."


def test_all_coordinates_and_nodes_are_exact_and_fewer_are_heeded(rng):
    prior = oracle.random_prior(rng, n_components=30, remove_mean=True)
    y = oracle.picture(rng) + rng.normal(0, 0.05, (14, 75))

    def found(**options):
        stages = Stages(Schedule((1.0, 4.0)), **options)
        return restore(y, Identity(y.shape), 0.05**2, prior, stages).image

    exact = found()
    np.testing.assert_allclose(found(rank=8, beam=4), exact, atol=1e-6)
    # nothing says that random covariances, unlike photographs', are told apart by so little
    for options in ({"rank": 5}, {"beam": 1}):
        assert np.abs(found(**options) - exact).max() > 1e-4
