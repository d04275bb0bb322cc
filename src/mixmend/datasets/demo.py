"""A small set of made-up films and viewers, for the tour and for the documentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixmend.datasets.data import RatingsData
from mixmend.datasets.synthetic import (
    STARS,
    RatingsTruth,
    allotted,
    draw_ratings,
    popularity_shares,
)

_SEED = 20240611
_VIEWERS, _FILMS, _RATINGS = 600, 300, 30_000

_GENRES = ("Comedy", "Drama", "Horror", "Romance", "Science fiction", "Thriller")
# what each kind of viewer thinks of each genre, in stars above or below the film's average
_TASTES = np.array(
    [
        [0.5, 0.1, -1.1, 0.6, -0.5, -0.3],
        [-0.5, 0.7, -0.4, 0.1, -0.1, 0.2],
        [-0.1, -0.6, 0.9, -0.8, 0.6, 0.5],
        [0.1, -0.1, 0.2, -0.3, -0.2, -0.2],
    ]
)
_SHARES = np.array([0.3, 0.25, 0.25, 0.2])

_ADJECTIVES = (
    "Amber Broken Clockwork Crooked Distant Drowsy Fearless Forgotten Frozen Gilded Hollow "
    "Invisible Lopsided Midnight Nameless Painted Paper Patient Reluctant Restless Salted Second "
    "Secret Seventh Silent Stolen Sudden Unlikely Velvet Wandering"
)
_NOUNS = (
    "Accordion Alibi Almanac Balcony Beekeeper Cartographer Comet Orchard Ferryman Greenhouse "
    "Horizon Inheritance Juggler Lantern Lighthouse Locksmith Monsoon Observatory Parade Pendulum "
    "Postcard Quarry Riddle Sandwich Staircase Tailor Umbrella Ventriloquist Weathervane Zeppelin"
)
_PATTERNS = ("The {0} {1}", "{0} {1}", "{1} of the {0} {2}", "A {0} {1}", "The {1} and the {2}")


def load_demo() -> RatingsData:
    """Make the built-in data: 600 viewers, 300 films with made-up titles, 30 000 ratings.

    Four kinds of viewers differ in which genres they like; the truth is known, so a fit
    can be held against it. The same everywhere, from a fixed seed.

    Returns
    -------
    RatingsData
        Column labels are the titles; ``truth`` says what the ratings were made from.

    Examples
    --------
    >>> data = load_demo()
    >>> data.ratings
    ObservedMatrix(600 × 300, 30000 observed, 16.67%)
    >>> str(data.titles[0]), data.genres[0]
    ('...', ('...',))
    """
    rng = np.random.default_rng(_SEED)
    titles = _titles(rng)
    genre = rng.integers(0, len(_GENRES), _FILMS)
    second = rng.integers(0, len(_GENRES), _FILMS)
    mixed = rng.random(_FILMS) < 0.4
    tastes = np.where(mixed, 0.5 * (_TASTES[:, genre] + _TASTES[:, second]), _TASTES[:, genre])
    tastes = tastes + 0.2 * rng.standard_normal(tastes.shape)
    truth = RatingsTruth(
        components=rng.choice(len(_SHARES), _VIEWERS, p=_SHARES).astype(np.int64),
        weights=_SHARES,
        component_means=tastes - _SHARES @ tastes,
        row_effects=0.4 * rng.standard_normal(_VIEWERS),
        column_effects=0.45 * rng.standard_normal(_FILMS),
        popularity=popularity_shares(_FILMS, "movielens")[rng.permutation(_FILMS)],
        mean=3.5,
        noise=0.75,
        levels=np.array(STARS),
    )
    counts = allotted(np.exp(0.7 * rng.standard_normal(_VIEWERS)), _RATINGS, _FILMS)
    ratings = draw_ratings(truth, counts, rng).with_labels(
        np.array([f"viewer {number:03d}" for number in range(1, _VIEWERS + 1)]), titles
    )
    genres = tuple(
        tuple(sorted({_GENRES[genre[i]], _GENRES[second[i]]} if mixed[i] else {_GENRES[genre[i]]}))
        for i in range(_FILMS)
    )
    return RatingsData(
        name="mixmend demo",
        ratings=ratings,
        titles=titles,
        genres=genres,
        licence="Made up by mixmend; free for any use.",
        source="generated",
        truth=truth,
    )


def _titles(rng: np.random.Generator) -> NDArray[np.str_]:
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    titles: dict[str, None] = {}
    while len(titles) < _FILMS:
        adjective = adjectives[rng.integers(len(adjectives))]
        noun, other = (nouns[at] for at in rng.choice(len(nouns), 2, replace=False))
        title = _PATTERNS[rng.integers(len(_PATTERNS))].format(adjective, noun, other)
        if title.startswith("A ") and title[2] in "AEIOU":
            title = f"An{title[1:]}"
        titles.setdefault(f"{title} ({rng.integers(1950, 2024)})")
    return np.array(list(titles))
