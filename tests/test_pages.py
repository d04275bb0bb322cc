"""The Python examples on the pages of docs/ run, and what they assert holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs").glob("*.md"))
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    )
    if ">>> " not in code  # dialogues are run with their page, one after the other
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_of_the_pages_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "example", "exec"), {})


def test_the_pages_have_examples():
    assert len(EXAMPLES) >= 3
