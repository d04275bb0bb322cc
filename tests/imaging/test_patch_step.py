from __future__ import annotations

import numba
import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.imaging import patch_step
from mixmend.imaging.patches import extract_patches, patch_grid, sum_patches
from mixmend.imaging.tree import joined, nodes_over


@pytest.fixture(params=[False, True], ids=["with means", "means removed"])
def prior(request, rng):
    return oracle.random_prior(rng, n_components=5, remove_mean=request.param)


@pytest.mark.parametrize(("stride", "offset"), [(1, (0, 0)), (2, (1, 0))])
@pytest.mark.parametrize("noise", [0.05**2, 0.01**2])
def test_components_and_estimates_are_those_of_the_plain_formulas(
    prior, rng, stride, offset, noise
):
    image = oracle.picture(rng)
    grid = patch_grid(image.shape, 3, stride, offset)
    patches = extract_patches(image, grid)
    joint = oracle.log_joint(patches, prior, noise)
    tables = patch_step.stage_tables(patch_step.basis_of(prior), noise)
    sums, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
    best, found = joint.max(axis=1), joint[np.arange(len(joint)), winners.ravel()]
    np.testing.assert_allclose(found, best, atol=2e-3)  # single precision may swap near-ties
    assert len(np.unique(winners)) > 2
    expected = sum_patches(oracle.estimates(patches, prior, 1 / noise, winners.ravel()), grid)
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-4)


def test_what_is_tried_first_does_not_matter(prior, rng):
    image = oracle.picture(rng)
    grid = patch_grid(image.shape, 3)
    tables = patch_step.stage_tables(patch_step.basis_of(prior), 0.03**2)
    sums, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
    guesses = rng.integers(-1, 5, winners.shape).astype(np.int32)
    again, same = patch_step.patch_sums(image, grid, tables, guesses)
    np.testing.assert_array_equal(same, winners)
    np.testing.assert_array_equal(again, sums)


def test_assignments_differ_as_their_densities_do(rng):
    prior = oracle.random_prior(rng)
    image, noise = oracle.picture(rng), 0.1**2
    grid = patch_grid(image.shape, 3)
    patches, basis = extract_patches(image, grid), patch_step.basis_of(prior)
    expected = {
        "marginal": oracle.log_joint(patches, prior, noise),
        "prior": oracle.log_joint(patches, prior, 0.0),
    }
    dets = np.linalg.slogdet(prior.covariances)[1]
    noisy = np.linalg.slogdet(prior.covariances + noise * np.eye(9))[1]
    expected["joint"] = expected["marginal"] + 0.5 * (noisy - dets)
    agreed = {}
    for assignment, joint in expected.items():
        tables = patch_step.stage_tables(basis, noise, assignment)
        _, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
        found = joint[np.arange(len(joint)), winners.ravel()]
        np.testing.assert_allclose(found, joint.max(axis=1), rtol=1e-5, atol=2e-3)
        agreed[assignment] = winners.tobytes()
    assert len(set(agreed.values())) == 3


def test_log_density_is_that_of_the_mixture(prior, rng):
    image = oracle.picture(rng)
    grid = patch_grid(image.shape, 3)
    tables = patch_step.stage_tables(patch_step.basis_of(prior), 0.0)
    found = patch_step.log_density(image, grid, tables, patch_step.no_winners(grid))
    expected = oracle.log_density(extract_patches(image, grid), prior)
    assert found == pytest.approx(expected, rel=1e-4)


def test_results_do_not_depend_on_the_number_of_threads(rng):
    prior = oracle.random_prior(rng)
    image = oracle.picture(rng, (90, 70))
    grid = patch_grid(image.shape, 3)
    tables = patch_step.stage_tables(patch_step.basis_of(prior), 0.03**2)
    before, outcomes = numba.get_num_threads(), []
    try:
        for threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(threads)
            sums, _ = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
            outcomes.append(sums)
    finally:
        numba.set_num_threads(before)
    for other in outcomes:
        np.testing.assert_array_equal(other, outcomes[0])


def test_a_component_of_no_weight_is_never_chosen(rng):
    some = oracle.random_prior(rng, n_components=3)
    weights = np.array([0.5, 0.0, 0.5])
    prior = type(some).from_mixture(weights, some.means, some.covariances, 3, False)
    image = oracle.picture(rng)
    grid = patch_grid(image.shape, 3)
    tables = patch_step.stage_tables(patch_step.basis_of(prior), 0.03**2)
    _, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
    assert 1 not in winners


# ------------------------------------------------------------------------------ low ranks


def without_correlations_beyond(basis, rank):
    """The components whose distances a search of this rank takes: in coordinates of the basis."""
    q = basis.means.shape[1]
    centre = basis.prior.weights @ basis.means
    means, covariances = basis.means.copy(), basis.covariances.copy()
    gaps = (means - centre)[:, rank:]
    variances = np.einsum("kii->ki", covariances)[:, rank:] + gaps**2
    means[:, rank:] = centre[rank:]
    covariances[:, rank:], covariances[:, :, rank:] = 0.0, 0.0
    covariances[:, np.arange(rank, q), np.arange(rank, q)] = variances
    return means, covariances


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("assignment", patch_step.ASSIGNMENTS)
def test_a_low_rank_chooses_as_without_correlations_beyond_and_estimates_with_them(
    prior, rng, rank, assignment
):
    image, noise = oracle.picture(rng), 0.03**2
    grid, basis = patch_grid(image.shape, 3), patch_step.basis_of(prior)
    tables = patch_step.stage_tables(basis, noise, assignment, rank=rank)
    sums, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
    patches = extract_patches(image, grid)
    means = patches.mean(axis=1, keepdims=True) if prior.remove_mean else 0.0
    y = (patches - means) @ basis.vectors
    centres, covariances = without_correlations_beyond(basis, rank)
    noisy = covariances + noise * np.eye(y.shape[1])
    dets = np.linalg.slogdet(noisy if assignment == "marginal" else covariances)[1]
    gaps = y[:, None] - centres
    inverses = np.linalg.inv(covariances if assignment == "prior" else noisy)
    distances = np.einsum("nki,kij,nkj->nk", gaps, inverses, gaps)
    joint = np.log(prior.weights) - 0.5 * (dets + distances)
    found = joint[np.arange(len(joint)), winners.ravel()]
    np.testing.assert_allclose(found, joint.max(axis=1), rtol=1e-5, atol=5e-3)
    assert len(np.unique(winners)) > 1
    expected = sum_patches(oracle.estimates(patches, prior, 1 / noise, winners.ravel()), grid)
    np.testing.assert_allclose(sums, expected, rtol=1e-4, atol=1e-4)


def test_a_rank_of_all_coordinates_is_exact(prior, rng):
    image = oracle.picture(rng)
    grid, basis = patch_grid(image.shape, 3), patch_step.basis_of(prior)
    exact = patch_step.stage_tables(basis, 0.03**2)
    sums, winners = patch_step.patch_sums(image, grid, exact, patch_step.no_winners(grid))
    for rank in (basis.means.shape[1], 1000):
        tables = patch_step.stage_tables(basis, 0.03**2, rank=rank)
        again, same = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
        np.testing.assert_array_equal(same, winners)
        np.testing.assert_allclose(again, sums, rtol=1e-5, atol=1e-5)
    fewer = patch_step.stage_tables(basis, 0.03**2, rank=1)
    _, others = patch_step.patch_sums(image, grid, fewer, patch_step.no_winners(grid))
    assert (others != winners).any()


# ------------------------------------------------------------------------------ a tree


@pytest.fixture
def wide(rng):
    """A prior with more components than a few nodes have leaves, one of no weight."""
    prior = oracle.random_prior(rng, n_components=37, remove_mean=True)
    weights = prior.weights.copy()
    weights[5] = 0.0
    return type(prior).from_mixture(
        weights / weights.sum(), prior.means, prior.covariances, 3, prior.remove_mean
    )


def by_nodes(image, grid, basis, beam, rank=None):
    tree = patch_step.tree_over(basis, beam)
    tables = patch_step.stage_tables(basis, 0.03**2, rank=rank)
    nodes = patch_step.node_tables(tree, 0.03**2, rank=rank)
    none = patch_step.no_winners(grid)
    node_of = nodes_over(basis.weights, basis.means, basis.covariances)
    return node_of, *patch_step.patch_sums(image, grid, tables, none, nodes)


@pytest.mark.parametrize("rank", [None, 4])
@pytest.mark.parametrize("shape", [(14, 75), (60, 40)])
def test_a_beam_of_all_nodes_finds_what_trying_all_components_does(wide, rng, rank, shape):
    image = oracle.picture(rng, shape)
    grid, basis = patch_grid(image.shape, 3), patch_step.basis_of(wide)
    tables = patch_step.stage_tables(basis, 0.03**2, rank=rank)
    sums, winners = patch_step.patch_sums(image, grid, tables, patch_step.no_winners(grid))
    assert len(np.unique(winners)) > 5
    for beam in (5, None, 1000):
        _, again, same = by_nodes(image, grid, basis, beam, rank)
        np.testing.assert_array_equal(same, winners)
        np.testing.assert_array_equal(again, sums)


def test_each_patch_gets_the_best_component_of_its_likely_nodes_or_a_better_one(wide, rng):
    image = oracle.picture(rng, (60, 40))
    grid, basis = patch_grid(image.shape, 3), patch_step.basis_of(wide)
    patches = extract_patches(image, grid)
    with np.errstate(divide="ignore"):
        joint = oracle.log_joint(patches, wide, 0.03**2)
    y = (patches - patches.mean(axis=1, keepdims=True)) @ basis.vectors
    agreed = []
    for beam in (1, 2):
        node_of, _, winners = by_nodes(image, grid, basis, beam)
        weights, means, covariances = joined(basis.weights, basis.means, basis.covariances, node_of)
        noisy = covariances + 0.03**2 * np.eye(y.shape[1])
        gaps = y[:, None] - means
        distances = np.einsum("nki,kij,nkj->nk", gaps, np.linalg.inv(noisy), gaps)
        scores = np.log(weights) - 0.5 * (np.linalg.slogdet(noisy)[1] + distances)
        likely = np.argsort(-scores, axis=1)[:, :beam]
        among = (node_of == likely[:, :, None]).any(axis=1)
        best = np.where(among, joint, -np.inf).max(axis=1)
        found = joint[np.arange(len(joint)), winners.ravel()]
        assert (found >= best - 5e-3).all()
        agreed.append(np.mean(found >= joint.max(axis=1) - 5e-3))
    assert 0.3 < agreed[0] < agreed[1] < 1.0


def test_a_search_by_nodes_does_not_depend_on_the_number_of_threads(wide, rng):
    image = oracle.picture(rng, (90, 70))
    grid, basis = patch_grid(image.shape, 3), patch_step.basis_of(wide)
    _, expected, winners = by_nodes(image, grid, basis, 1)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        _, sums, same = by_nodes(image, grid, basis, 1)
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(same, winners)
