"""What all tests share: where the reference data are, and reproducible randomness."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "mixmend", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mixmend")

_MOST_WORKERS = 4  # each holds its own compiled kernels and, at times, a gigabyte


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes ``-n auto`` starts: one a core that this process may use, but few."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MOST_WORKERS)


SHARED = Path(
    os.environ.get("MIXMEND_SHARED", Path(__file__).resolve().parents[1].parent / "shared")
)


@pytest.fixture(scope="session")
def shared_path() -> Callable[[str], Path]:
    """Path of a reference file, e.g. ``shared_path("data/ratings/mitx686x/toy_data.txt")``.

    Skips the test, with the reason, where the reference data are not beside the checkout.
    """

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"reference file {relative} not found under {SHARED} (MIXMEND_SHARED)")
        return path

    return find


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240611)
