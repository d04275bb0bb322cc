"""What a data set consists of, and where downloaded ones are kept."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mixmend.datasets.synthetic import RatingsTruth
from mixmend.observed.matrix import ObservedMatrix


@dataclass(frozen=True)
class RatingsData:
    """Ratings and what is known about the rated.

    Attributes
    ----------
    name : str
        Name of the data set.
    ratings : ObservedMatrix
        People in rows, films in columns, with their labels.
    titles : ndarray of str, shape (d,), or None
        Title of each column; empty where there is none.
    genres : tuple of tuples of str, or None
        Genres of each column.
    licence : str
        What may be done with the data, in a few words. Read it before you publish.
    source : str
        Where the data come from.
    truth : RatingsTruth or None
        What made-up ratings were made from.
    """

    name: str
    ratings: ObservedMatrix
    titles: NDArray[Any] | None
    genres: tuple[tuple[str, ...], ...] | None
    licence: str
    source: str
    truth: RatingsTruth | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"RatingsData({self.name!r}, {self.ratings}, from {self.source!r})"


def data_folder() -> Path:
    """Return the folder of downloaded data; it need not exist yet.

    The environment variable MIXMEND_DATA names it; otherwise it is ``mixmend`` in the
    place where the system keeps what can be fetched again.

    Examples
    --------
    >>> os.environ["MIXMEND_DATA"] = "/data/mixmend"
    >>> data_folder().as_posix()
    '/data/mixmend'
    >>> del os.environ["MIXMEND_DATA"]
    """
    given = os.environ.get("MIXMEND_DATA")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mixmend"
