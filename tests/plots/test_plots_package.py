from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mixmend.plots as plots


def test_matplotlib_is_imported_with_the_first_picture_and_pyplot_never(tmp_path):
    code = (
        "import sys, mixmend.plots as p\n"
        "assert 'matplotlib' not in sys.modules\n"
        "p.plot_mixture([[0., 1.]], [[0., 0.]], 1.0, [1.0], [[1.0]]).figure.savefig(sys.argv[1])\n"
        "p.plot_trace([-2., -1.]); p.plot_criterion([1], [2.]); p.plot_calibration([.5], [.5])\n"
        "p.plot_completion([[1., 2.]], [[1., 2.]])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    source = str(Path(plots.__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "picture.png")],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_every_public_name_is_there_and_no_other():
    assert set(plots.__all__) == set(plots._HOMES)
    for name in plots.__all__:
        assert getattr(plots, name).__name__ == name
    assert dir(plots) == sorted(plots.__all__)
    with pytest.raises(AttributeError, match=r"module 'mixmend\.plots' has no attribute 'nothing'"):
        plots.nothing  # noqa: B018
