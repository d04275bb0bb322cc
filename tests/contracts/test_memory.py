"""No table of n × d × d numbers is ever made, however the holes are strewn."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from peak_memory import PEAK, told_by_the_system

PROGRAM = (
    PEAK
    + """
import json, warnings
import numpy as np
import mixmend as mm

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)


def table(n):
    X = rng.normal(size=(n, 100))
    X[rng.random(X.shape) < 0.3] = np.nan
    return X


gm = mm.GaussianMixture(2, "{covariance_type}", max_iter=1, random_state=0{more})
gm.fit(table(300)).complete(table(300), True)  # the kernels are loaded
X = table(5000)
before = peak_kilobytes()
gm.fit(X)
fitted = peak_kilobytes()
gm.complete(X, True)
print(json.dumps([fitted - before, peak_kilobytes() - fitted]))
"""
)


@pytest.mark.slow
@told_by_the_system
@pytest.mark.parametrize(("covariance_type", "more"), [("full", ""), ("factor", ", n_factors=5")])
def test_random_holes_take_no_matrix_for_every_row(covariance_type, more):
    program = PROGRAM.format(covariance_type=covariance_type, more=more)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    square = 5000 * 100 * 100 * 8 / 2**10  # 381 MB
    assert max(json.loads(done.stdout)) < square / 4
