"""Every command and option is in docs/cli.md, and nothing is there that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from mixmend.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
GROUP = get_command(app)
COMMANDS = dict(GROUP.commands)
_SHARED = {"reading": "### Reading", "model": "### The model"}


def section(heading: str, page: str = PAGE) -> str:
    """The part of the page under a heading, up to the next of the same or a higher level."""
    level = len(heading) - len(heading.lstrip("#"))
    start = page.find(f"{heading}\n")
    assert start >= 0, f"docs/cli.md has no section {heading!r}"
    following = re.compile(rf"^#{{1,{level}}} ", re.M).search(page, start + len(heading))
    return page[start : following.start() if following else len(page)]


def documented(name: str) -> str:
    """What the page says of a command: its own section and those that it refers to."""
    own = section(f"## `mixmend {name}`")
    shared = [
        section(heading)
        for word, heading in _SHARED.items()
        if f"](#{heading_anchor(word)})" in own
    ]
    return "\n".join([own, *shared])


def heading_anchor(word: str) -> str:
    return {"reading": "reading", "model": "the-model"}[word]


def spellings(parameter) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def missing_options(name: str, command, page: str) -> list[str]:
    """Options of a command of which no spelling stands in backticks on the page."""
    return [
        spelling
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
        for spelling in spellings(parameter)
        if not re.search(rf"`{re.escape(spelling)}[` =]", page)
    ]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_every_command_is_documented(name):
    assert missing_options(name, COMMANDS[name], documented(name)) == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_argument_and_the_table_of_commands_are_documented(name):
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    for argument in arguments:
        assert argument.metavar in section(f"## `mixmend {name}`")
    assert f"[`{name}`](#mixmend-{name})" in PAGE


def test_the_options_of_mixmend_itself_are_documented():
    assert missing_options("mixmend", GROUP, section("## Options of `mixmend` itself")) == []


def test_nothing_is_documented_that_does_not_exist():
    known = {
        spelling
        for command in [GROUP, *COMMANDS.values()]
        for parameter in command.params
        for spelling in spellings(parameter)
    } | {"--help", "-h"}
    named = set(re.findall(r"`(--?[a-z][a-z-]*)", PAGE))
    assert named - known == set()
    headed = set(re.findall(r"^## `mixmend ([a-z]+)`", PAGE, re.M))
    assert headed == set(COMMANDS)


def test_the_check_notices_an_undocumented_option_and_command():
    command = COMMANDS["complete"]
    page = documented("complete").replace("`--holdout SHARE`", "")
    assert missing_options("complete", command, page) == ["--holdout"]
    with pytest.raises(AssertionError, match="has no section '## `mixmend nothing`'"):
        documented("nothing")


def test_defaults_on_the_page_are_the_defaults():
    compared = 0
    for name, command in COMMANDS.items():
        lines = documented(name).splitlines()
        for parameter in command.params:
            start = f"| `{parameter.opts[0]}"
            line = next((line for line in lines if re.match(rf"{re.escape(start)}[` ,]", line)), "")
            stated = re.search(r"Default `([^`]+)`", line)
            if stated:
                assert float_or_text(stated.group(1)) == float_or_text(str(parameter.default))
                compared += 1
    assert compared > 15


def float_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def test_every_command_says_what_it_does():
    for command in COMMANDS.values():
        assert command.help
        assert all(p.help for p in command.params if p.name != "help")
