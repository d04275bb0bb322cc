"""The steps that mixmend is compared with, written as well as their tools allow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse


class SparseProductsStep:
    """E+M step of a spherical mixture by four scipy.sparse products and NumPy, in float32.

    ``sum (x - mu)^2 = sum x^2 - 2 X mu^T + I (mu^2)^T`` over observed cells; the M-step's
    sums are ``X^T post`` and ``I^T post``. CSR times dense and its transpose (which scipy
    runs as CSC times dense) were the fastest forms of those tried. With ``threads=2`` the
    two products of each half run side by side (scipy releases the interpreter lock).
    """

    def __init__(self, pointers, indices, values, shape, threads: int = 1):
        small = pointers[-1] < 2**31
        pointers = pointers.astype(np.int32) if small else pointers
        self.X = sparse.csr_array((values, indices, pointers), shape=shape)
        self.seen = sparse.csr_array((np.ones_like(values), indices, pointers), shape=shape)
        self.counts = np.diff(pointers).astype(np.float32)[:, None]
        self.squares = np.add.reduceat(np.append(values * values, np.float32(0)), pointers[:-1]) * (
            self.counts[:, 0] > 0
        )
        self.squares = self.squares[:, None]
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def _both(self, f, g):
        if self.pool is None:
            return f(), g()
        first, second = self.pool.submit(f), self.pool.submit(g)
        return first.result(), second.result()

    def step(self, weights, means, variances):
        """One step; returns new (weights, means, variances) and the log-likelihood."""
        mu = np.ascontiguousarray(means.T, dtype=np.float32)
        v = variances.astype(np.float32)
        cross, own = self._both(lambda: self.X @ mu, lambda: self.seen @ (mu * mu))
        cross *= -2
        cross += own
        cross += self.squares  # squared distances, in place
        distances = cross
        own[:] = distances
        own *= -0.5 / v
        own += np.log(weights).astype(np.float32) - 0.5 * self.counts * np.log(2 * np.pi * v)
        peak = own.max(axis=1, keepdims=True)
        own -= peak
        # below exp(-60) nothing changes, and denormal numbers would make the products that
        # follow five times slower
        np.maximum(own, -60, out=own)
        np.exp(own, out=own)
        evidence = own.sum(axis=1, keepdims=True)
        own /= evidence
        likelihood = float((peak + np.log(evidence)).sum(dtype=np.float64))
        first, support = self._both(lambda: self.X.T @ own, lambda: self.seen.T @ own)
        new = np.where(support > 0, first / np.maximum(support, 1e-30), mu)
        shift = new - mu
        residual = np.einsum("uk,uk->k", own, distances, dtype=np.float64)
        residual -= np.einsum("ik,ik->k", support, shift * shift, dtype=np.float64)
        cells = np.einsum("uk,u->k", own, self.counts[:, 0], dtype=np.float64)
        rows = own.sum(axis=0, dtype=np.float64)
        return rows / rows.sum(), new.T, np.maximum(residual / cells, 0.25), likelihood


def python_loop_step(X, weights, means, variances):
    """E+M step of the same mixture by a loop over rows, as a course's solution has it."""
    n, _ = X.shape
    k = len(weights)
    post = np.zeros((n, k))
    likelihood = 0.0
    for u in range(n):
        seen = np.flatnonzero(X[u])
        f = np.empty(k)
        for j in range(k):
            gap = X[u, seen] - means[j, seen]
            f[j] = np.log(weights[j] + 1e-16)
            f[j] -= 0.5 * len(seen) * np.log(2 * np.pi * variances[j])
            f[j] -= gap @ gap / (2 * variances[j])
        peak = f.max()
        total = peak + np.log(np.exp(f - peak).sum())
        post[u] = np.exp(f - total)
        likelihood += total
    new_weights = post.sum(axis=0) / n
    new_means = means.copy()
    new_variances = np.zeros(k)
    seen = (X != 0).astype(float)
    for j in range(k):
        support = post[:, j] @ seen
        enough = support >= 1
        new_means[j, enough] = (post[:, j] @ X)[enough] / support[enough]
        squares = cells = 0.0
        for u in range(n):
            where = np.flatnonzero(X[u])
            gap = X[u, where] - new_means[j, where]
            squares += post[u, j] * (gap @ gap)
            cells += post[u, j] * len(where)
        new_variances[j] = max(squares / cells, 0.25)
    return new_weights, new_means, new_variances, likelihood
