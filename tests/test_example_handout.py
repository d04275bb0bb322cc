"""The handout's script runs, on made data and on the course's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "handout.py"
PICTURES = [
    *(f"toy-{kind}-{K}.png" for kind in ("kmeans", "em", "both") for K in range(1, 5)),
    "toy-bic.png",
    "ratings-trace.png",
    "ratings-completed.png",
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("handout_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_runs_on_made_data(script, tmp_path, capsys):
    assert script.main(["--size", "60", "--seeds", "2", "--out", str(tmp_path / "p")]) == 0
    said = capsys.readouterr().out
    assert "Toy data, 250 × 2, best of 2 starts" in said
    assert "BIC chooses K = 3" in said
    assert "Ratings, 60 × 60: 12 steps of EM by hand, K = 4" in said
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == sorted(PICTURES)


@pytest.mark.shared
@pytest.mark.slow
def test_it_gives_the_handouts_figures(script, shared_path, tmp_path, capsys):
    folder = shared_path("data/ratings/mitx686x/toy_data.txt").parent
    assert script.main([str(folder), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for figure in (
        "1329.594867",
        "-1138.89089969",
        "-1169.25893474",
        "BIC chooses K = 3",
        "-1521060.95398",
        "-1390234.422346",
        "0.480471112689",
    ):
        assert figure in said, figure


def test_a_folder_without_the_files_is_said(script, tmp_path, capsys):
    assert script.main([str(tmp_path)]) == 2
    assert "toy_data.txt" in capsys.readouterr().err
