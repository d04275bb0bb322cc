"""The pipeline of the restaurants runs, on made triplets and on a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "restaurants.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("restaurants_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_factors_beat_effects_on_made_triplets(script, tmp_path, capsys):
    out = tmp_path / "p"
    assert script.main(["--factors", "20", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    errors = [float(line.split("RMSE ")[1][:6]) for line in said.splitlines() if "RMSE" in line]
    assert len(errors) == 4
    assert max(errors[1:]) < errors[0]
    assert sorted(path.name for path in out.iterdir()) == [
        "losses-random-start.png",
        "losses-svd-start.png",
        "losses-variational.png",
    ]


def test_a_file_that_cannot_be_read_is_said(script, tmp_path, capsys):
    assert script.main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err
