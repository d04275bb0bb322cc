"""PatchPrior: how patches of pictures are distributed, as a mixture of Gaussians."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixmend.checks import require_arrays, whole
from mixmend.errors import MixmendError, ModelFileError
from mixmend.files.models import load as load_model
from mixmend.files.models import save as save_model
from mixmend.imaging import training
from mixmend.kernels.threads import fixed_order

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PatchPrior:
    """A mixture of Gaussians over the square patches of pictures in [0, 1].

    Made by `fit`, `load` or `default`; the values are not to be changed.

    Attributes
    ----------
    weights : ndarray, shape (K,)
        Shares of the components.
    means : ndarray, shape (K, p^2)
        Their means, pixels row by row.
    covariances : ndarray, shape (K, p^2, p^2)
        Their covariances.
    patch_size : int
        Side of a patch in pixels, p.
    remove_mean : bool
        Whether the mixture is that of patches without their mean, about which nothing is
        assumed then.
    n_patches : int
        Patches that it was learned from.
    half_precision : bool
        Whether it is one that `rounded` made.

    Examples
    --------
    >>> import numpy as np
    >>> from mixmend.imaging import PatchPrior
    >>> rng = np.random.default_rng(0)
    >>> steps = np.kron(rng.random((12, 12)), np.ones((8, 8)))
    >>> prior = PatchPrior.fit([steps], patch_size=3, n_components=2, n_patches=2000)
    >>> prior
    PatchPrior(2 components of 3 × 3, learned from 2000 patches)
    """

    weights: Array
    means: Array
    covariances: Array
    patch_size: int
    remove_mean: bool = True
    n_patches: int = 0
    half_precision: bool = False

    _saved_kind = "patch-prior"

    def __repr__(self) -> str:
        side = self.patch_size
        return (
            f"PatchPrior({len(self.weights)} components of {side} × {side}, "
            f"learned from {self.n_patches} patches)"
        )

    @property
    def n_components(self) -> int:
        """Number of components, K."""
        return len(self.weights)

    @classmethod
    @fixed_order()
    def fit(
        cls,
        images: Iterable[Any],
        patch_size: int = 8,
        n_components: int = 200,
        *,
        n_patches: int = 500_000,
        remove_mean: bool = True,
        random_state: Any = 0,
    ) -> Self:
        """Learn a prior from pictures, by stepwise EM over random patches.

        Parameters
        ----------
        images : iterable of array-like
            Pictures, shape (height, width) or (height, width, 3), of which the luma is
            taken: unsigned integers, or floating-point numbers in [0, 1]. NaN or masked
            pixels are bad ones: patches are learned from as far as they are known.
        patch_size : int, default 8
            Side of a patch, p.
        n_components : int, default 200
            Components of the mixture.
        n_patches : int, default 500000
            Random patches to learn from, each met once (`GaussianMixture.partial_fit`).
            With fewer than 8 for each component and pixel, covariances are drawn to that of
            all patches; a hundred and more are better.
        remove_mean : bool, default True
            Take each patch's mean off: brightness then tells nothing about texture, and
            needs no component. With bad pixels the mean is that of the others.
        random_state : int, Generator or None, default 0
            Makes the draw of patches and the start of EM reproducible.

        Returns
        -------
        PatchPrior

        Raises
        ------
        DataError
            If there is no picture, or one is no array of numbers, smaller than a patch, or
            without any good pixel.
        MixmendError
            If a number is out of its range.
        """
        size, k = whole("patch_size", patch_size, 2), whole("n_components", n_components, 1)
        n = whole("n_patches", n_patches, 1)
        if n < 10 * k:
            raise MixmendError(
                f"{n} patches are too few for {k} components. Raise n_patches to at least "
                f"{10 * k}, better a hundred times that, or ask for fewer components."
            )
        pictures = training.pictures_to_learn_from(images, size)
        model = training.learn(pictures, size, k, n, bool(remove_mean), random_state)
        return cls.from_mixture(
            model.weights_, model.means_, model.covariances_, size, bool(remove_mean), n
        )

    @classmethod
    def from_mixture(
        cls,
        weights: Array,
        means: Array,
        covariances: Array,
        patch_size: int,
        remove_mean: bool = True,
        n_patches: int = 0,
    ) -> Self:
        """A prior of given weights (K,), means (K, p^2) and covariances (K, p^2, p^2).

        With ``remove_mean``, what they say of the means of patches is taken away.

        Raises
        ------
        MixmendError
            If shapes do not fit each other or a covariance is not positive semidefinite.
        """
        d = patch_size**2
        k = len(weights)
        if np.shape(means) != (k, d) or np.shape(covariances) != (k, d, d):
            raise MixmendError(
                f"A prior of {k} components of {patch_size} × {patch_size} pixels needs means of "
                f"shape ({k}, {d}) and covariances of shape ({k}, {d}, {d}); got "
                f"{np.shape(means)} and {np.shape(covariances)}."
            )
        means = np.array(means, dtype=np.float64)
        covariances = np.array(covariances, dtype=np.float64)
        if remove_mean:
            means -= means.mean(axis=1, keepdims=True)
            covariances -= covariances.mean(axis=1, keepdims=True)
            covariances -= covariances.mean(axis=2, keepdims=True)
        covariances = 0.5 * (covariances + covariances.swapaxes(1, 2))
        least = np.linalg.eigvalsh(covariances)[:, 0]
        widths = np.einsum("kii->k", covariances)
        if np.any(least < -1e-9 * widths):
            raise MixmendError("A covariance of the prior is not positive semidefinite.")
        return cls(
            _constant(weights),
            _constant(means),
            _constant(covariances),
            int(patch_size),
            bool(remove_mean),
            int(n_patches),
        )

    # ------------------------------------------------------------------ files

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = True,
    ) -> None:
        """Save the prior as one ``.mixmend`` file, as `mixmend.save` does.

        Parameters
        ----------
        path : path-like
        provenance : mapping, optional
            What the file shall say about its origin.
        overwrite : bool, default True
            Whether a file that is already there may be replaced.
        """
        save_model(self, path, provenance=provenance, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchPrior:
        """Read a prior that `save` wrote.

        Raises
        ------
        ModelFileError
            If the file is absent, damaged, or holds a model of another kind.
        """
        model = load_model(path)
        if not isinstance(model, PatchPrior):
            raise ModelFileError(
                f"{os.fspath(path)} holds a {type(model).__name__}, not a prior of patches. "
                "Make one with PatchPrior.fit(images) and its save."
            )
        return model

    @staticmethod
    def default() -> PatchPrior:
        """The prior that comes with mixmend; docs/images.md says where it is from."""
        return _default()

    def rounded(self) -> PatchPrior:
        """The prior in half precision, whose file has an eighth of the size.

        Covariances are rounded by their Cholesky factors, so that they stay positive
        semidefinite.
        """
        covariances = _from_halves(self._halves(), self.patch_size, self.remove_mean)
        return replace(
            self,
            means=_constant(self.means.astype(np.float16)),
            covariances=_constant(covariances),
            half_precision=True,
        )

    @fixed_order()
    def _halves(self) -> NDArray[np.float16]:
        """Lower triangles of Cholesky factors, (K, q (q + 1) / 2)."""
        basis = _coordinates(self.patch_size, self.remove_mean)
        turned = np.stack([basis.T @ c @ basis for c in self.covariances])
        ridge = 1e-9 * np.einsum("kii->k", turned)[:, None, None]
        factors = np.linalg.cholesky(turned + ridge * np.eye(basis.shape[1]))
        rows, columns = np.tril_indices(basis.shape[1])
        return factors[:, rows, columns].astype(np.float16)

    def _to_saved(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {
            "n_components": self.n_components,
            "patch_size": self.patch_size,
            "remove_mean": self.remove_mean,
            "n_patches": self.n_patches,
            "half_precision": self.half_precision,
        }
        if self.half_precision:
            halves = {"means": self.means.astype(np.float16), "factors": self._halves()}
            return header, {"weights": self.weights} | halves
        named = {"means": self.means, "covariances": self.covariances}
        return header, {"weights": self.weights} | named

    @classmethod
    def _from_saved(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        k, size = int(header["n_components"]), int(header["patch_size"])
        remove_mean, halves = bool(header["remove_mean"]), bool(header["half_precision"])
        d, q = size**2, size**2 - remove_mean
        require_arrays(arrays, {"weights": (k,)}, positive=True)
        require_arrays(arrays, {"means": (k, d)})
        if halves:
            require_arrays(arrays, {"factors": (k, q * (q + 1) // 2)})
            covariances = _from_halves(arrays["factors"], size, remove_mean)
        else:
            require_arrays(arrays, {"covariances": (k, d, d)})
            covariances = arrays["covariances"]
        return cls(
            _constant(arrays["weights"]),
            _constant(arrays["means"]),
            _constant(covariances),
            size,
            remove_mean,
            int(header["n_patches"]),
            halves,
        )


def _constant(values: Any) -> Array:
    """A copy in double precision that cannot be changed."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def _coordinates(patch_size: int, remove_mean: bool) -> Array:
    """Orthonormal coordinates (d, q) of patches, of those without a mean where asked for."""
    d = patch_size**2
    if not remove_mean:
        return np.eye(d)
    return np.asarray(scipy.linalg.helmert(d).T)


@fixed_order()
def _from_halves(halves: NDArray[Any], patch_size: int, remove_mean: bool) -> Array:
    """Covariances (K, d, d) from packed factors."""
    basis = _coordinates(patch_size, remove_mean)
    q = basis.shape[1]
    factors = np.zeros((len(halves), q, q))
    rows, columns = np.tril_indices(q)
    factors[:, rows, columns] = halves
    return np.stack([(basis @ f) @ (basis @ f).T for f in factors])


@cache
def _default() -> PatchPrior:
    place = resources.files("mixmend.imaging") / "data" / "prior.mixmend"
    with resources.as_file(place) as path:
        return PatchPrior.load(Path(path))
