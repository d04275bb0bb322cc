"""Single E- and M-steps computed by others, each to 1e-6."""

from __future__ import annotations

import json

import numpy as np
import pytest

STEPS = "golden/spherical_em_steps.json"


@pytest.fixture(scope="session")
def steps(shared_path):
    return json.loads(shared_path(STEPS).read_text(encoding="utf-8"))


def arrays(case, *names):
    return [np.array(case[name], dtype=np.float64) for name in names]


@pytest.mark.shared
@pytest.mark.parametrize("number", range(4))
def test_estep(layer, steps, number):
    case = steps["estep"][number]
    X, mu, var, p, expected = arrays(case, "X", "mu", "var", "p", "post")
    post, log_likelihood = layer.estep(X, layer.GaussianMixture(mu, var, p))
    np.testing.assert_allclose(post, expected, rtol=0, atol=1e-6)
    assert log_likelihood == pytest.approx(case["log_likelihood"], abs=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("elsewhere", [0.0, 7.5])
@pytest.mark.parametrize("number", range(3))
def test_mstep(layer, steps, number, elsewhere):
    case = steps["mstep"][number]
    X, post, previous, mu, var, p = arrays(case, "X", "post", "previous_mu", "mu", "var", "p")
    # null (NaN): the support rule replaces that mean, so that any value must do there
    old = layer.GaussianMixture(np.where(np.isnan(previous), elsewhere, previous), var, p)
    new = layer.mstep(X, post, old, min_variance=case["min_variance"])
    np.testing.assert_allclose(new.mu, mu, rtol=0, atol=1e-6)
    np.testing.assert_allclose(new.var, var, rtol=0, atol=1e-6)
    np.testing.assert_allclose(new.p, p, rtol=0, atol=1e-6)


@pytest.mark.shared
def test_no_case_is_left_out(steps):
    assert (len(steps["estep"]), len(steps["mstep"])) == (4, 3)
