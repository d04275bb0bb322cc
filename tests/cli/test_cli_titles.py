"""Titles for identifiers, from the files that people have."""

from __future__ import annotations

import pytest

from mixmend.cli.titles import read_titles
from mixmend.errors import FileFormatError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1::Toy Story (1995)::Animation|Comedy\n2::Heat::Action\n", "Toy Story (1995)"),
        ("1|Toy Story (1995)|01-Jan-1995||http\n2|Heat|x||y\n", "Toy Story (1995)"),
        ("1\tToy Story (1995)\n2\tHeat\n", "Toy Story (1995)"),
        ("1;Toy Story (1995)\n2;Heat\n", "Toy Story (1995)"),
        ("1,Toy Story (1995),Animation|Comedy\n2,Heat,Action\n", "Toy Story (1995)"),
        ("movieId,title,genres\n1,Toy Story (1995),a|b\n2,Heat,c\n", "Toy Story (1995)"),
        ('genre,name,item_id\nx,"Toys, a Story; ""95""",1\ny,Heat,2\n', 'Toys, a Story; "95"'),
        ("\ufeffid,title\n1,Toy Story (1995)\n2,Heat\n", "Toy Story (1995)"),
        ("1,Toy Story (1995)\n\n2,Heat\n", "Toy Story (1995)"),
    ],
)
def test_titles_are_found_whatever_the_separator_and_header(tmp_path, text, expected):
    path = tmp_path / "titles"
    path.write_text(text, encoding="utf-8")
    assert read_titles(path) == {"1": expected, "2": "Heat"}


def test_a_file_that_is_not_utf8_is_latin1(tmp_path):
    path = tmp_path / "movies.dat"
    path.write_bytes("73::Misérables, Les (1995)::Drama\n".encode("latin-1"))
    assert read_titles(path) == {"73": "Misérables, Les (1995)"}


def test_a_line_without_title_is_named(tmp_path):
    path = tmp_path / "movies.csv"
    path.write_text("id,title\n1,Toy Story\n2\n")
    with pytest.raises(FileFormatError) as caught:
        read_titles(path)
    assert str(caught.value) == (
        f"{path}, line 3: no title in '2'. Each line needs an id and a title."
    )


def test_an_empty_file_is_an_error(tmp_path):
    path = tmp_path / "movies.csv"
    path.write_text("")
    with pytest.raises(FileFormatError, match=r"movies\.csv: the file of titles is empty\.$"):
        read_titles(path)
