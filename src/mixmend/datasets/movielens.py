"""The public MovieLens ratings, from a local folder or from where GroupLens publishes them."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.datasets.data import RatingsData, data_folder
from mixmend.datasets.download import check_md5, download, unpack
from mixmend.errors import DataError, FileFormatError, MixmendError

ADDRESS = "https://files.grouplens.org/datasets/movielens"

_CITE = (
    "Acknowledge F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History and "
    "Context, ACM TiiS 5(4), doi:10.1145/2827872, and imply no endorsement. The whole licence is "
    "in the README beside the data."
)
_CLOSED = (
    "MovieLens data of GroupLens Research, University of Minnesota: for research; no commercial "
    f"use and no redistribution without permission. {_CITE}"
)
_SHARED_ALIKE = (
    "MovieLens data of GroupLens Research, University of Minnesota: for research; no commercial "
    f"use without permission; redistribution under the same conditions. {_CITE}"
)

Item: TypeAlias = tuple[str, str, tuple[str, ...]]  # identifier, title, genres


class _Set(NamedTuple):
    """A published data set: what it is called, what it holds, how to tell that it is whole."""

    title: str
    archive: str
    top: str
    md5: str | None
    n_ratings: int | None
    ratings: tuple[str, ...]
    items: str
    licence: str


# The checksums are those that GroupLens publishes beside each archive, in ml-….zip.md5.
# latest-small is made anew from time to time, so there is nothing to hold it against: of
# that one only the length and the archive's own check sums are looked at.
_SETS = {
    "100k": _Set(
        "MovieLens 100K",
        "ml-100k.zip",
        "ml-100k",
        "0e33842e24a9c977be4e0107933c0723",
        100_000,
        ("u.data",),
        "u.item",
        _CLOSED,
    ),
    "1m": _Set(
        "MovieLens 1M",
        "ml-1m.zip",
        "ml-1m",
        "c4d9eecfca2ab87c1945afe126590906",
        1_000_209,
        ("ratings.dat", "ratings.csv", "ratings.csv.gz"),
        "movies.dat",
        _CLOSED,
    ),
    "10m": _Set(
        "MovieLens 10M",
        "ml-10m.zip",
        "ml-10M100K",
        "ce571fd55effeba0271552578f2648bd",
        10_000_054,
        ("ratings.dat", "ratings.csv", "ratings.csv.gz"),
        "movies.dat",
        _CLOSED,
    ),
    "20m": _Set(
        "MovieLens 20M",
        "ml-20m.zip",
        "ml-20m",
        "cd245b17a1ae2cc31bb14903e1204af3",
        20_000_263,
        ("ratings.csv", "ratings.csv.gz"),
        "movies.csv",
        _SHARED_ALIKE,
    ),
    "25m": _Set(
        "MovieLens 25M",
        "ml-25m.zip",
        "ml-25m",
        "6b51fb2759a8657d3bfcbfc42b592ada",
        25_000_095,
        ("ratings.csv", "ratings.csv.gz"),
        "movies.csv",
        _SHARED_ALIKE,
    ),
    "latest-small": _Set(
        "MovieLens latest-small",
        "ml-latest-small.zip",
        "ml-latest-small",
        None,
        None,
        ("ratings.csv", "ratings.csv.gz"),
        "movies.csv",
        _SHARED_ALIKE,
    ),
}

_GENRES_100K = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)


def fetch_movielens(
    name: str = "100k",
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    *,
    address: str = ADDRESS,
) -> RatingsData:
    """Read a MovieLens data set, downloading it first if it is not there yet.

    Parameters
    ----------
    name : {"100k", "1m", "10m", "20m", "25m", "latest-small"}
        Which one.
    folder : path-like, optional
        Where it is or shall be: a folder that holds the files, or the unpacked folder
        (``ml-100k``), or the archive (``ml-100k.zip``). By default the environment
        variable MIXMEND_DATA or a folder of the system's cache.
    download : bool, default True
        Whether to download it if it is not there; it comes with its README, is held
        against the published checksum, and stays in the folder. ``latest-small`` changes
        from time to time and has no fixed checksum.
    address : str
        Where the archives are, for a mirror.

    Returns
    -------
    RatingsData
        Ratings (float32, which holds half stars exactly), titles, genres, licence.

    Raises
    ------
    MixmendError
        If there is no such set, or it is neither there nor to be had.
    FileFormatError
        If an archive is damaged, or is not what was published.
    DataError
        If the folder evidently holds another set.

    Examples
    --------
    >>> fetch_movielens("100k", "my/folder", download=False)
    Traceback (most recent call last):
    mixmend.errors.MixmendError: MovieLens 100K is not in my/folder: there is neither
    ml-100k/u.data nor ml-100k.zip. Allow the download, or give the folder that holds it.
    """
    known = _SETS.get(name.lower().removeprefix("ml-"))
    if known is None:
        raise MixmendError(f"there is no MovieLens set {name!r}; there are {', '.join(_SETS)}.")
    place = data_folder() if folder is None else Path(folder).expanduser()
    found = _ratings_file(place, known)
    if found is None:
        found = _unpacked(place, known, download, address)
    return _read(found, known)


def _ratings_file(place: Path, known: _Set) -> Path | None:
    for base in (place / known.top, place):
        for name in known.ratings:
            if (base / name).is_file():
                return base / name
    return None


def _unpacked(place: Path, known: _Set, may_download: bool, address: str) -> Path:
    archive = place / known.archive
    fresh = not archive.is_file()
    if fresh:
        if not may_download:
            raise MixmendError(
                f"{known.title} is not in {place}: there is neither {known.top}/{known.ratings[0]} "
                f"nor {known.archive}. Allow the download, or give the folder that holds it."
            )
        download(
            f"{address.rstrip('/')}/{known.archive}",
            archive,
            md5=known.md5,
            cure=f"Check the connection and try again, or get {known.archive} on another machine "
            f"and put it into {place}.",
        )
    elif known.md5 is not None:
        check_md5(archive, known.md5)
    # the tag genome of the larger sets takes more room than the ratings and is not used here
    base = unpack(archive, known.top, leave_out=("genome-",))
    if fresh:
        archive.unlink(missing_ok=True)  # ours, and unpacked; an archive of the user's stays
    found = _ratings_file(base, known)
    if found is None:
        raise FileFormatError(
            f"{archive} holds no {known.ratings[0]}; it is not {known.title}. "
            "Delete it and fetch it again."
        )
    return found


def _read(path: Path, known: _Set) -> RatingsData:
    from mixmend.files.ratings import read_ratings

    ratings = read_ratings(path, dtype="float32")
    wanted = known.n_ratings
    if wanted is not None and ratings.n_observed != wanted:
        text = f"{path} holds {ratings.n_observed} ratings, but {known.title} has {wanted}"
        if abs(ratings.n_observed - wanted) > 0.01 * wanted:
            raise DataError(f"{text}: it is another data set. Give the folder of the right one.")
        warnings.warn(f"{text}: some are missing or were added.", UserWarning, stacklevel=3)
    titles, genres = _titles(path.parent, known, ratings.column_labels)
    return RatingsData(known.title, ratings, titles, genres, known.licence, os.fspath(path))


def _titles(
    base: Path, known: _Set, labels: NDArray[Any]
) -> tuple[NDArray[Any] | None, tuple[tuple[str, ...], ...] | None]:
    """Titles and genres in the order of the columns, if their file is there."""
    path = base / known.items
    if not path.is_file():
        return None, None
    items = {key: (title, genres) for key, title, genres in _READERS[known.items](path)}
    found = [items.get(str(label), ("", ())) for label in labels]
    return np.array([title for title, _ in found]), tuple(genres for _, genres in found)


def _lines(path: Path) -> list[str]:
    """Lines of a text of 1998 or of today: UTF-8 if it is, else Latin-1."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return [line for line in text.split("\n") if line.strip()]


def _items_with_flags(path: Path) -> Iterator[Item]:
    genres = _GENRES_100K.split("|")
    for line in _lines(path):
        fields = line.strip().split("|")
        flags = zip(genres, fields[-len(genres) :], strict=True)
        yield fields[0], fields[1], tuple(genre for genre, flag in flags if flag == "1")


def _items_with_colons(path: Path) -> Iterator[Item]:
    for line in _lines(path):
        key, rest = line.strip().split("::", 1)
        title, _, genres = rest.rpartition("::")
        yield key, title, _genres(genres)


def _items_of_csv(path: Path) -> Iterator[Item]:
    for record in csv.DictReader(_lines(path)):
        yield record["movieId"], record["title"], _genres(record["genres"])


def _genres(text: str) -> tuple[str, ...]:
    return () if text == "(no genres listed)" else tuple(text.split("|"))


_READERS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "u.item": _items_with_flags,
    "movies.dat": _items_with_colons,
    "movies.csv": _items_of_csv,
}
