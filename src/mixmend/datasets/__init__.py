"""Ratings to work with: made up with a known truth, shipped for the tour, or published."""

from mixmend.datasets.synthetic import RatingsTruth, make_ratings

__all__ = ["RatingsTruth", "make_ratings"]
