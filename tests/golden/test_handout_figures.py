"""Every published figure of the handout, to a relative 1e-8 (or to the places it has)."""

from __future__ import annotations

import numpy as np
import pytest

MITX = "data/ratings/mitx686x/"


def to_places(*values):
    return pytest.approx(values, abs=0.5e-4)


def exactly(*values):
    return pytest.approx(values, rel=1e-8)


@pytest.fixture(scope="session")
def table(shared_path):
    """Reads one of the handout's text matrices."""
    return lambda name: np.loadtxt(shared_path(MITX + name))


@pytest.fixture
def worked(layer):
    X = np.array([-1.0, 0.0, 4.0, 5.0, 6.0])[:, None]
    start = layer.GaussianMixture(
        np.array([[6.0], [7.0]]), np.array([1.0, 4.0]), np.array([0.5, 0.5])
    )
    return X, start


def best(fits, key):
    return max(fits, key=key)


# ------------------------------------------------------------------ two components on a line


def test_worked_example_start_and_first_step(layer, worked):
    X, start = worked
    post, log_likelihood = layer.naive_estep(X, start)
    after = layer.naive_mstep(X, post)
    assert (log_likelihood,) == to_places(-24.5125)
    assert tuple(after.mu[:, 0]) == to_places(5.1317, 1.4710)
    assert tuple(np.sqrt(after.var)) == to_places(0.7846, 2.6395)


def test_worked_example_at_convergence(layer, worked):
    X, start = worked
    mixture, _, _ = layer.naive_run(X, start, np.full((5, 2), 0.5))
    assert tuple(mixture.mu[:, 0]) == to_places(5, -0.5)
    assert tuple(mixture.var) == to_places(0.6667, 0.25)
    assert tuple(mixture.p) == to_places(0.6, 0.4)


# ------------------------------------------------------------------ toy data, complete


@pytest.mark.shared
def test_toy_kmeans_distortions(layer, table):
    X = table("toy_data.txt")
    least = [
        min(layer.kmeans_run(X, *layer.init(X, K, s))[2] for s in range(5)) for K in range(1, 5)
    ]
    assert tuple(least) == exactly(
        5462.297452340001, 1684.9079502962372, 1329.5948671544297, 1035.4998265394659
    )


@pytest.mark.shared
def test_toy_log_likelihoods_and_bic(layer, table):
    X = table("toy_data.txt")
    fits = [
        best([layer.naive_run(X, *layer.init(X, K, s)) for s in range(5)], lambda fit: fit[2])
        for K in range(1, 5)
    ]
    assert tuple(fit[2] for fit in fits) == exactly(
        -1307.22343176, -1175.71462937, -1138.89089969, -1138.6011757
    )
    bics = [layer.bic(X, mixture, log_likelihood) for mixture, _, log_likelihood in fits]
    assert tuple(bics) == exactly(-1315.50562314, -1195.03974258, -1169.25893474, -1180.01213258)
    assert 1 + int(np.argmax(bics)) == 3


@pytest.mark.shared
def test_toy_first_estep(layer, table):
    X = table("toy_data.txt")
    mixture, _ = layer.init(X, 3, 0)
    assert (layer.naive_estep(X, mixture)[1],) == to_places(-1388.0818)


# ------------------------------------------------------------------ twenty rows with holes


@pytest.mark.shared
def test_incomplete_rows_start_step_and_end(layer, table):
    X = table("test_incomplete.txt")
    mixture, post = layer.init(X, 4, 0)
    first, start = layer.estep(X, mixture)
    _, after_one = layer.estep(X, layer.mstep(X, first, mixture))
    _, _, end = layer.run(X, mixture, post)
    assert (start, after_one, end) == exactly(-152.16319226, -103.43699945, -84.98451993)


@pytest.mark.shared
def test_course_solutions_print_the_parameters_one_step_after_their_likelihood(layer, table):
    X = table("test_incomplete.txt")
    mixture, post, log_likelihood = layer.run(X, *layer.init(X, 4, 0), update_last=True)
    assert log_likelihood == pytest.approx(-84.98451993042474, rel=1e-12)
    assert mixture.mu[0] == pytest.approx(
        [2.00570178, 4.99062403, 3.13772745, 4.00124767, 1.16193276], abs=1e-8
    )
    assert mixture.var == pytest.approx([0.25, 0.25, 0.44961685, 0.27930039], abs=1e-8)
    assert mixture.p == pytest.approx([0.27660973, 0.35431424, 0.26752518, 0.10155086], abs=1e-8)
    assert post[3] == pytest.approx(
        [1.85331147e-04, 1.94115053e-03, 9.97873518e-01, 2.57285049e-14], rel=1e-7
    )
    filled = layer.fill_matrix(X, mixture)
    assert layer.rmse(filled, table("test_complete.txt")) == pytest.approx(
        0.3152301205749675, rel=1e-10
    )


@pytest.mark.shared
def test_the_mixture_returned_is_the_one_of_the_likelihood_returned(layer, table):
    X = table("test_incomplete.txt")
    mixture, post, log_likelihood = layer.run(X, *layer.init(X, 4, 0))
    again, same = layer.estep(X, mixture)
    assert same == log_likelihood
    np.testing.assert_array_equal(again, post)


# ------------------------------------------------------------------ 1200 × 1200 ratings


@pytest.mark.shared
def test_netflix_one_component(layer, table):
    X = table("netflix_incomplete.txt")
    fits = [layer.run(X, *layer.init(X, 1, seed)) for seed in range(5)]
    mixture, _, log_likelihood = best(fits, lambda fit: fit[2])
    assert (log_likelihood, layer.bic(X, mixture, log_likelihood)) == exactly(
        -1521060.95398525, -1525318.54512513
    )


@pytest.mark.shared
def test_netflix_twelve_components(layer, table):
    X = table("netflix_incomplete.txt")
    fits = [layer.run(X, *layer.init(X, 12, seed)) for seed in range(5)]
    assert tuple(fit[2] for fit in fits) == exactly(
        -1399803.04665691,
        -1390234.42234694,
        -1416862.40115128,
        -1393521.39298978,
        -1416733.80837635,
    )
    mixture, _, log_likelihood = best(fits, lambda fit: fit[2])
    filled = layer.fill_matrix(X, mixture)
    assert (
        layer.bic(X, mixture, log_likelihood),
        layer.rmse(filled, table("netflix_complete.txt")),
    ) == exactly(-1441364.51144814, 0.48047111268956827)
    np.testing.assert_array_equal(filled[X != 0], X[X != 0])
