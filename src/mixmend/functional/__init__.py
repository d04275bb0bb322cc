"""The handout's own functions for K-means and spherical Gaussian mixtures.

A script written against the handout of the course runs unchanged once its imports point
here, with the same numbers, on the library's kernels::

    from mixmend.functional import init, run, fill_matrix, bic, rmse

In `estep`, `mstep`, `run` and `fill_matrix`, a 0 in the matrix means *missing*. In
`kmeans_run` and the ``naive_`` functions every cell was observed, zeros included. Everywhere
else in the library missingness is explicit; see `mixmend.GaussianMixture`.
"""

from __future__ import annotations

from mixmend.functional.complete import init, kmeans_run, naive_estep, naive_mstep, naive_run
from mixmend.functional.incomplete import estep, fill_matrix, mstep, run
from mixmend.functional.measures import bic, plot, rmse
from mixmend.functional.values import KMEANS_TOLERANCE, TOLERANCE, GaussianMixture

__all__ = [
    "KMEANS_TOLERANCE",
    "TOLERANCE",
    "GaussianMixture",
    "bic",
    "estep",
    "fill_matrix",
    "init",
    "kmeans_run",
    "mstep",
    "naive_estep",
    "naive_mstep",
    "naive_run",
    "plot",
    "rmse",
    "run",
]
