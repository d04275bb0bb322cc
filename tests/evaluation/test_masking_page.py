"""docs/missingness.md: its examples run, and what it says of masks is so."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

from mixmend.evaluation import MASKS, mask_mnar
from mixmend.evaluation.drawing import calibrated
from mixmend.mixtures.options import COVARIANCE_TYPES

PATH = Path(__file__).resolve().parents[2] / "docs" / "missingness.md"
PAGE = PATH.read_text(encoding="utf-8")
HEADING = "## Check it on cells that you have"


def run(text: str) -> doctest.TestResults:
    examples = doctest.DocTestParser().get_doctest(text, {}, PATH.name, str(PATH), 0)
    return doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(examples)


@pytest.fixture(autouse=True)
def _no_window():
    pytest.importorskip("matplotlib").use("Agg")


@pytest.mark.skipif(
    not {"full", "diag"} <= set(COVARIANCE_TYPES), reason="needs covariance_type 'full' and 'diag'"
)
def test_the_example_of_dependence_runs():
    result = run(PAGE[: PAGE.index(HEADING)])
    assert result.attempted == 12
    assert result.failed == 0


def test_the_example_of_checking_runs():
    result = run(
        ">>> import numpy as np\n>>> import mixmend as mm\n\n" + PAGE[PAGE.index(HEADING) :]
    )
    assert result.attempted == 14
    assert result.failed == 0


def test_every_mask_is_described():
    described = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `m")]
    assert described == list(MASKS)


def test_self_masking_is_as_strong_as_the_page_says():
    z = np.array([-1.0, 0.0, 1.0])
    chance = calibrated(2.0 * z, 0.3)
    np.testing.assert_allclose(np.diff(np.log(chance / (1 - chance))), 2.0)
    X = np.random.default_rng(0).normal(size=(200_000, 1))
    mask = mask_mnar(X, 0.3, allow_empty=True).mask
    shares = [mask[np.abs(X - at) < 0.1].mean() for at in (-0.5, 0.5)]
    odds = np.log(np.array(shares) / (1 - np.array(shares)))
    assert np.diff(odds)[0] == pytest.approx(2.0, abs=0.15)
