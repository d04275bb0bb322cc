"""EM steps of full and tied covariances against scikit-learn, and of tables with holes.

python benchmarks/bench_full.py            # 100 000 × 32, 1 000 000 × 20 and 1 800 × 64
python benchmarks/bench_full.py --small    # a tenth of the rows

Same data, same start, same number of steps, in one run; both sides are checked to have
come to the same log-likelihood. Sides take turns, and the least time of a step counts: what
other programs do to a machine only ever adds. Before that, a process of its own fits a table
with holes and says by how much its memory grew.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
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
TURNS = 2


def clusters(rng, n, d, n_components):
    """Overlapping clusters with covariances of their own."""
    means = rng.normal(size=(n_components, d))
    factors = rng.normal(size=(n_components, d, d)) / np.sqrt(d) + np.eye(d)
    owner = rng.integers(0, n_components, n)
    X = rng.normal(size=(n, d))
    for k in range(n_components):
        X[owner == k] = X[owner == k] @ factors[k].T + means[k]
    return X


def start_of(family, X, n_components, apart=1.0):
    means = X.mean(axis=0) + apart * (X[:n_components] - X.mean(axis=0))
    covariance = np.cov(X[:2000].T)
    shaped = np.stack([covariance] * n_components) if family is FULL else covariance
    return np.full(n_components, 1 / n_components), means, shaped


def seconds_per_step(family, X, start, steps=STEPS):
    """Least seconds per step of a run, and its log-likelihood per row at the end."""
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
        max_iter=steps,
        on_step=lambda _: ticks.append(time.perf_counter()),
    )
    return float(np.diff(ticks).min()), fit.objective / len(X)


def peer_seconds_per_step(family, X, start):
    """The same of scikit-learn."""
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
    return float(np.diff(ticks[:STEPS]).min()), peer.score(X)


def holes_at_random(rng, X, share):
    out = X.copy()
    out[rng.random(X.shape) < share] = np.nan
    return out


def few_patterns(rng, X, n_patterns, share):
    masks = rng.random((n_patterns, X.shape[1])) < share
    masks[0] = False
    return np.where(masks[rng.integers(0, n_patterns, len(X))], np.nan, X)


def in_turns(*sides):
    """Least seconds of each side over TURNS, and what each came to."""
    turns = [[side() for side in sides] for _ in range(TURNS)]
    return [(min(t[i][0] for t in turns), turns[0][i][1]) for i in range(len(sides))]


def memory_of_fit(n, d, n_components) -> None:
    """How much memory a full fit of a table with holes takes at its peak."""
    rng = np.random.default_rng(0)
    X = few_patterns(rng, rng.normal(size=(n, d)), n // 10, 0.2)
    start = np.full(n_components, 1 / n_components), X[:n_components], np.eye(d)
    start = (start[0], np.nan_to_num(start[1]), np.stack([start[2]] * n_components))
    seconds_per_step(FULL, X[:500], start)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds_per_step(FULL, X, start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    whole, peak = n * d * d * 8, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"peak memory of a full fit, {n} × {d}, K = {n_components}, {n // 10} patterns: "
        f"{peak / 1e6:.0f} MB, compiler and all, {grown / 1e6:.0f} MB of it for the fit; the data "
        f"take {X.nbytes / 1e6:.0f} MB, n × d × d numbers would take {whole / 1e6:.0f} MB\n"
    )
    assert grown < 0.25 * whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tenth of the rows")
    parser.add_argument("--memory", action="store_true", help="only the memory of a fit")
    options = parser.parse_args()
    scale = 10 if options.small else 1
    if options.memory:
        memory_of_fit(200_000 // scale, 32, 8)
        return
    # first of all: a process is counted the memory that its parent held
    child = [sys.executable, __file__, "--memory", *(["--small"] if options.small else [])]
    subprocess.run(child, check=True)
    rng = np.random.default_rng(0)
    print(f"threads {numba.get_num_threads()}\n")
    print("| table | step | time | ratio |")
    print("| --- | --- | --- | --- |")
    n, d, n_components = 100_000 // scale, 32, 16
    X = clusters(rng, n, d, n_components)
    name = f"{n} × {d}, K = {n_components}"
    for family in (FULL, TIED):
        start = start_of(family, X, n_components)
        holed = {f"{share:.0%} missing": holes_at_random(rng, X, share) for share in (0.1, 0.5)}
        for table in (X, *holed.values()):
            seconds_per_step(family, table[:500], start)  # compile
        found = in_turns(
            lambda: peer_seconds_per_step(family, X, start),  # noqa: B023
            lambda: seconds_per_step(family, X, start),  # noqa: B023
            *(lambda Y=Y: seconds_per_step(family, Y, start) for Y in holed.values()),  # noqa: B023
        )
        (theirs, their_score), (mine, my_score), *rest = found
        assert abs(my_score / their_score - 1) < 1e-8, (my_score, their_score)
        report(name, f"scikit-learn, {family.name}", theirs, "")
        report("", f"mixmend, {family.name}", mine, f"{theirs / mine:.1f} × scikit-learn's speed")
        for what, (seconds, _) in zip(holed, rest, strict=True):
            report("", f"mixmend, {what}", seconds, f"{seconds / mine:.2f} × our complete step")
    n, d, n_components = 1_000_000 // scale, 20, 8
    X = clusters(rng, n, d, n_components)
    Y = few_patterns(rng, X, 20, 0.15)
    for family in (FULL, TIED):
        start = start_of(family, X, n_components)
        for table in (X[:500], Y[: n // 20]):
            seconds_per_step(family, table, start)
        (whole, _), (mine, _) = in_turns(
            lambda: seconds_per_step(family, X, start),  # noqa: B023
            lambda: seconds_per_step(family, Y, start),  # noqa: B023
        )
        report(f"{n} × {d}, K = {n_components}", f"mixmend, {family.name}", whole, "")
        report("", "mixmend, 20 patterns", mine, f"{mine / whole:.2f} × our complete step")
    # few rows for each component: what is done once per component and step shows
    n, d, n_components = 1_800, 64, 8
    X = clusters(rng, n, d, n_components)
    for family in (FULL, TIED):
        # close together, or some component would get fewer rows than it has columns
        start = start_of(family, X, n_components, 0.3)
        (theirs, their_score), (mine, my_score) = in_turns(
            lambda: peer_seconds_per_step(family, X, start),  # noqa: B023
            lambda: seconds_per_step(family, X, start),  # noqa: B023
        )
        assert abs(my_score / their_score - 1) < 1e-8, (my_score, their_score)
        report(f"{n} × {d}, K = {n_components}", f"scikit-learn, {family.name}", theirs, "")
        report("", f"mixmend, {family.name}", mine, f"{theirs / mine:.1f} × scikit-learn's speed")


def report(table: str, step: str, seconds: float, ratio: str) -> None:
    print(f"| {table} | {step} | {seconds * 1e3:.1f} ms | {ratio} |")


if __name__ == "__main__":
    main()
