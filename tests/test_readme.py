"""What README shows works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_the_first_two_shell_blocks_are_one_command_each_to_run_and_to_test():
    run, test = blocks("sh")[:2]
    assert run.count("\n") == test.count("\n") == 1
    assert run.startswith("python3 -m venv .venv && .venv/bin/pip install .")
    assert run.endswith(".venv/bin/mixmend demo\n")
    assert "-c constraints-dev.txt" in test
    assert test.endswith(".venv/bin/python -m pytest -n auto\n")
    assert README.index(run) < README.index("## ")  # before anything else


def test_the_python_tour_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    lines = [f"{u},{i},{rng.integers(1, 6)}" for u in range(40) for i in rng.permutation(30)[:12]]
    (tmp_path / "ratings.csv").write_text("user,item,rating\n" + "\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    (tour,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(tour, "README.md", "exec"), names)
    X, filled, std = (np.asarray(names[name]) for name in ("X", "filled", "std"))
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    assert np.isfinite(filled).all()
    assert (std[~np.isnan(X)] == 0).all()
    assert (std[np.isnan(X)] > 0).all()
    assert np.asarray(names["columns"]).shape == (40, 10)
    assert (tmp_path / "model.mixmend").exists()


def test_the_commands_of_the_tour_exist_with_their_options():
    from mixmend.cli.app import app

    commands = get_command(app).commands
    shown = re.findall(r"^\$ mixmend (\w+)(.*)$", README, re.M)
    assert len(shown) >= 6
    for name, rest in shown:
        known = {
            spelling for p in commands[name].params for spelling in (*p.opts, *p.secondary_opts)
        }
        options = re.findall(r"\s(--?[a-z][a-z-]*)", rest.split("#")[0])
        assert set(options) <= known


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)", README))))
def test_every_link_to_a_file_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_pages_of_docs_link_to_what_exists():
    for page in [*ROOT.glob("docs/*.md"), ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
                plain = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
                assert anchor in plain, f"{page.name}: #{anchor}"
