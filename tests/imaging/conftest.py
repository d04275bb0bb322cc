"""Pictures that the tests of palettes share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def soft_picture() -> np.ndarray:
    """60 × 80 pixels of smooth colours with grain: some thousands of distinct ones."""
    y, x = np.mgrid[0:60, 0:80] / 80.0
    light = np.stack([0.5 + 0.4 * np.sin(5 * x + 2 * y), 0.3 + 0.6 * y, 0.8 - 0.7 * x * y], axis=2)
    grain = np.random.default_rng(3).normal(0, 0.02, light.shape)
    return np.rint(255 * np.clip(light + grain, 0, 1)).astype(np.uint8)
