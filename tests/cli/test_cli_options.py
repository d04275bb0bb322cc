"""Options that several commands share."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from mixmend.cli.bundles import unbundled
from mixmend.cli.options import parse_counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4", [4]), ("1,2,4", [1, 2, 4]), ("1-4", [1, 2, 3, 4]), ("8,1-3,2", [1, 2, 3, 8])],
)
def test_numbers_of_components_are_lists_and_ranges(text, expected):
    assert parse_counts(text) == expected


@pytest.mark.parametrize("text", ["", "a", "0", "4-2", "1,,2", "-3", "2.5"])
def test_anything_else_is_a_usage_error(text):
    with pytest.raises(typer.BadParameter) as caught:
        parse_counts(text)
    assert str(caught.value) == (
        f"'{text}' is not a list of numbers of components; write 4, or 1,2,4, or 1-6"
    )


@dataclass(frozen=True)
class Cup:
    size: Annotated[int, typer.Option(help="How large.")] = 3
    hot: bool = True


def test_a_bundle_becomes_options_and_comes_back_as_one_object():
    seen = []

    def serve(name: str, cup: Cup, sugar: int = 0) -> None:
        seen.append((name, cup, sugar))

    command = unbundled(serve)
    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "size", "hot", "sugar"]
    assert parameters["size"].default == 3
    assert parameters["sugar"].default == 0
    command(name="tea", size=1, hot=False, sugar=2)
    assert seen == [("tea", Cup(1, False), 2)]
    assert command.__doc__ == serve.__doc__


def test_typer_reads_a_bundled_command(capsys):
    app = typer.Typer()
    seen = []

    def serve(name: str, cup: Cup) -> None:
        seen.append((name, cup))

    app.command()(unbundled(serve))
    app(["tea", "--size", "7", "--no-hot"], standalone_mode=False)
    assert seen == [("tea", Cup(7, False))]
