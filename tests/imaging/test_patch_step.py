from __future__ import annotations

import numba
import numpy as np
import pytest

import patch_oracle as oracle
from mixmend.imaging import patch_step
from mixmend.imaging.patches import extract_patches, patch_grid, sum_patches


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
