"""What the tests of the command line share: running it, in this process or in its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from mixmend.cli import main

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def mixmend(capsys) -> Callable[..., Outcome]:
    """Run ``mixmend ARGUMENTS`` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(left.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def mixmend_process() -> Callable[..., Outcome]:
    """Run ``python -m mixmend ARGUMENTS`` in a process of its own."""

    def run(*arguments: object, **options: Any) -> Outcome:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), **options.pop("env", {})}
        done = subprocess.run(
            [sys.executable, "-m", "mixmend", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
            check=False,
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def made_ratings() -> tuple[list[str], list[str], np.ndarray]:
    """Labels of 60 rows and 20 columns, and values of two kinds of rows; NaN in the holes."""
    rng = np.random.default_rng(7)
    kinds = np.repeat([0, 1], 30)
    levels = rng.choice([1.5, 2.0, 3.0, 4.5, 5.0], size=(2, 20))
    values = levels[kinds] + 0.4 * rng.normal(size=(60, 20))
    values[rng.random(values.shape) < 0.4] = np.nan
    return [f"u{u:02d}" for u in range(60)], [f"i{i:02d}" for i in range(20)], values.round(2)


@pytest.fixture
def ratings_file(tmp_path, made_ratings) -> Path:
    """The made ratings as a long CSV file."""
    rows, columns, values = made_ratings
    lines = ["user,item,rating"]
    lines += [f"{rows[u]},{columns[i]},{values[u, i]}" for u, i in np.argwhere(~np.isnan(values))]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory, made_ratings) -> Path:
    """A saved mixture of two components, fitted to the made ratings."""
    import mixmend as mm

    rows, columns, values = made_ratings
    obs = mm.ObservedMatrix.from_dense(values, row_labels=rows, column_labels=columns)
    path = tmp_path_factory.mktemp("model") / "model.mixmend"
    mm.save(
        mm.GaussianMixture(2, n_init=3, prior="default", tol=1e-5, random_state=0).fit(obs), path
    )
    return path
