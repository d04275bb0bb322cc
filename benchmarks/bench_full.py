"""EM steps of full and tied covariances against scikit-learn, and of tables with holes.

python benchmarks/bench_full.py            # 100 000 × 32, K = 16, and 1 000 000 × 20, K = 8
python benchmarks/bench_full.py --small    # a tenth of the rows

Same data, same start, same number of steps, in one run; both sides are checked to have
come to the same log-likelihood.
"""

from __future__ import annotations

import argparse
import time
import warnings
from types import SimpleNamespace

import numba
import numpy as np
from sklearn.mixture import GaussianMixture

from mixmend.em.engine import run
from mixmend.mixtures.full_family import FULL
from mixmend.mixtures.tied_family import TIED
from mixmend.observed.matrix import ObservedMatrix

STEPS = 5


def clusters(rng, n, d, n_components):
    """Overlapping clusters with covariances of their own."""
    means = rng.normal(size=(n_components, d))
    factors = rng.normal(size=(n_components, d, d)) / np.sqrt(d) + np.eye(d)
    owner = rng.integers(0, n_components, n)
    X = rng.normal(size=(n, d))
    for k in range(n_components):
        X[owner == k] = X[owner == k] @ factors[k].T + means[k]
    return X


def start_of(family, X, n_components):
    means = X[:n_components].copy()
    covariance = np.cov(X[:2000].T)
    shaped = np.stack([covariance] * n_components) if family is FULL else covariance
    return np.full(n_components, 1 / n_components), means, shaped


def seconds_per_step(family, X, start):
    """Median seconds per step of a run, and its log-likelihood per row at the end."""
    n_components = len(start[0])
    obs = ObservedMatrix.from_dense(X)
    options = SimpleNamespace(
        covariance_type=family.name, n_components=n_components, min_variance=0.0, prior=None
    )
    block = family.block(obs, n_components)
    density = family.density(options, obs)
    parameters = family.given(*start, None)
    ticks: list[float] = []
    fit = run(
        density,
        parameters,
        [block],
        tol=0,
        max_iter=STEPS,
        on_step=lambda _: ticks.append(time.perf_counter()),
    )
    return float(np.median(np.diff(ticks))), fit.objective / len(X)


def peer_seconds_per_step(family, X, start):
    """The same of scikit-learn: the time of STEPS steps less that of none."""
    weights, means, covariances = start
    peer = GaussianMixture(
        len(weights),
        covariance_type=family.name,
        reg_covar=0.0,
        tol=0.0,
        max_iter=STEPS,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    )
    ticks: list[float] = []
    e_step = peer._e_step

    def timed(X, *rest, **named):
        ticks.append(time.perf_counter())
        return e_step(X, *rest, **named)

    peer._e_step = timed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.fit(X)
    # from E-step to E-step is one step
    return float(np.median(np.diff(ticks[:STEPS]))), peer.score(X)


def holes_at_random(rng, X, share):
    out = X.copy()
    out[rng.random(X.shape) < share] = np.nan
    return out


def few_patterns(rng, X, n_patterns, share):
    masks = rng.random((n_patterns, X.shape[1])) < share
    masks[0] = False
    return np.where(masks[rng.integers(0, n_patterns, len(X))], np.nan, X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the rows")
    options = parser.parse_args()
    scale = 10 if options.small else 1
    rng = np.random.default_rng(0)
    print(f"threads {numba.get_num_threads()}\n")
    print("| table | step | time | beside |")
    print("| --- | --- | --- | --- |")
    n, d, n_components = 100_000 // scale, 32, 16
    X = clusters(rng, n, d, n_components)
    complete = {}
    for family in (FULL, TIED):
        start = start_of(family, X, n_components)
        seconds_per_step(family, X[:500], start)  # compile
        theirs, their_score = peer_seconds_per_step(family, X, start)
        mine, my_score = seconds_per_step(family, X, start)
        assert abs(my_score / their_score - 1) < 1e-8, (my_score, their_score)
        complete[family.name] = mine
        name = f"{n} × {d}, K = {n_components}"
        print(f"| {name} | scikit-learn, {family.name} | {theirs * 1e3:.1f} ms | |")
        print(
            f"| {name} | mixmend, {family.name} | {mine * 1e3:.1f} ms | "
            f"{theirs / mine:.1f} × faster |"
        )
    for share in (0.1, 0.5):
        Y = holes_at_random(rng, X, share)
        for family in (FULL, TIED):
            start = start_of(family, X, n_components)
            seconds_per_step(family, Y[:500], start)
            mine, _ = seconds_per_step(family, Y, start)
            print(
                f"| {share:.0%} missing at random | mixmend, {family.name} | {mine * 1e3:.1f} ms | "
                f"{mine / complete[family.name]:.2f} × complete |"
            )
    n, d, n_components = 1_000_000 // scale, 20, 8
    X = clusters(rng, n, d, n_components)
    start = start_of(FULL, X, n_components)
    seconds_per_step(FULL, X[:500], start)
    whole, _ = seconds_per_step(FULL, X, start)
    print(f"| {n} × {d}, K = {n_components} | mixmend, full | {whole * 1e3:.1f} ms | |")
    Y = few_patterns(rng, X, 20, 0.15)
    seconds_per_step(FULL, Y[:500], start)
    mine, _ = seconds_per_step(FULL, Y, start)
    print(f"| 20 patterns | mixmend, full | {mine * 1e3:.1f} ms | {mine / whole:.2f} × complete |")


if __name__ == "__main__":
    main()
