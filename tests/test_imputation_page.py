"""The examples of docs/imputation.md run, and what they claim holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "imputation.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_of_the_page_run(code):
    exec(compile(code, str(PAGE), "exec"), {})


def test_the_page_has_examples():
    assert len(EXAMPLES) == 2
