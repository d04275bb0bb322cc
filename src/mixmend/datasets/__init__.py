"""Ratings to work with: made up with a known truth, shipped for the tour, or published."""

from mixmend.datasets.data import RatingsData, data_folder
from mixmend.datasets.demo import load_demo
from mixmend.datasets.handout import load_handout
from mixmend.datasets.synthetic import RatingsTruth, make_ratings

__all__ = [
    "RatingsData",
    "RatingsTruth",
    "data_folder",
    "fetch_movielens",
    "load_demo",
    "load_handout",
    "make_ratings",
]


def __getattr__(name: str) -> object:
    # the machinery of the network is only imported where it is used
    if name != "fetch_movielens":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mixmend.datasets.movielens import fetch_movielens

    globals()[name] = fetch_movielens
    return fetch_movielens
