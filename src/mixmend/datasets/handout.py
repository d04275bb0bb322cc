"""The matrices of the MITx 6.86x collaborative-filtering handout, from the reader's own copy."""

from __future__ import annotations

import os
from pathlib import Path

from mixmend.errors import MixmendError
from mixmend.observed.matrix import ObservedMatrix

# whether a 0 marks a hole; netflix_complete still has 2429 of them
_ZERO_IS_HOLE = {
    "toy_data": False,
    "test_complete": False,
    "test_incomplete": True,
    "netflix_complete": True,
    "netflix_incomplete": True,
}


def load_handout(name: str, folder: str | os.PathLike[str]) -> ObservedMatrix:
    r"""Read one of the handout's text matrices.

    They are course material and not shipped with the library: take them from the course.

    Parameters
    ----------
    name : str
        One of "toy_data", "test_incomplete", "test_complete", "netflix_incomplete" and
        "netflix_complete". In toy_data and test_complete a zero is a number; in the others it
        marks a hole (netflix_complete has 2429 of them).
    folder : path-like
        The folder that holds ``NAME.txt``.

    Returns
    -------
    ObservedMatrix
        toy_data 250 × 2, test_… 20 × 5, netflix_… 1200 × 1200.

    Raises
    ------
    MixmendError
        If there is no such matrix or no such file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "test_incomplete.txt").write_text("5 0\n3 4\n")
    >>> load_handout("test_incomplete", folder).dense
    array([[ 5., nan],
           [ 3.,  4.]])
    """
    if name not in _ZERO_IS_HOLE:
        raise MixmendError(
            f"the handout has no matrix {name!r}; there are {', '.join(_ZERO_IS_HOLE)}."
        )
    path = Path(folder).expanduser() / f"{name}.txt"
    if not path.is_file():
        raise MixmendError(
            f"There is no file {path}. The handout's matrices are course material and not shipped "
            "with mixmend: take them from MITx 6.86x and give the folder they are in."
        )
    from mixmend.files.ratings import read_ratings

    return read_ratings(
        path,
        layout="wide",
        header=False,
        separator="blanks",
        missing=0 if _ZERO_IS_HOLE[name] else None,
    )
